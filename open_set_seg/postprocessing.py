"""Steps that change a finished anomaly map: each a small object that is called with the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import FloatImage, LabelImage, Mask
from open_set_seg.ground import GroundConfig, find_ground
from open_set_seg.label_spaces import LabelSpace


class Step(Protocol):
    """See the module."""

    def __call__(
        self, anomaly: FloatImage, nearest: LabelImage, space: LabelSpace, lowest: float
    ) -> FloatImage:
        """The changed map; the given one is left as it was.

        Args:
            anomaly: (H, W), higher is more anomalous, without NaN.
            nearest: (H, W), nearest known class.
            space: of ``nearest``.
            lowest: the least anomalous value that there is.
        """


@dataclass(frozen=True)
class GroundFocus:
    """Nothing off the ground is anomalous: the convex hull of predicted road and sidewalk stays.

    Source: NFlowJS, section 5.2. A frame without any ground keeps its whole map: there an obstacle
    may hide the road.
    """

    def __call__(
        self, anomaly: FloatImage, nearest: LabelImage, space: LabelSpace, lowest: float
    ) -> FloatImage:
        """See ``Step``."""
        ground = find_ground(nearest, space, GroundConfig())
        if ground is None:
            return np.copy(anomaly)
        focused: FloatImage = np.where(ground, anomaly, np.float32(lowest))
        return focused


@dataclass(frozen=True)
class Erosion:
    """Erosion of the confidence: every pixel gets the largest anomaly within ``radius``.

    The step by which Morph-OpenPixel (da Silva et al.: Towards Open-Set Semantic Segmentation of
    Aerial Images, LAGIRS 2020) differs from thresholding softmax: it erodes the prediction's
    confidence, which is lowest at the borders of objects (as NFlowJS describes it, Sensors 2024,
    section 5). Unknown regions grow. The window, a square of 2 radius + 1 pixels that ends at the
    image's edge, is ours.

    Attributes:
        radius: in pixels, from 0 (no change) to 100.
    """

    radius: int = 1

    def __post_init__(self) -> None:
        _require(0 <= self.radius <= 100, "radius in 0 to 100", self.radius)

    def __call__(
        self, anomaly: FloatImage, nearest: LabelImage, space: LabelSpace, lowest: float
    ) -> FloatImage:
        """See ``Step``."""
        window = np.ones((2 * self.radius + 1,) * 2, np.uint8)
        # A repeated edge adds no value that the window does not hold already.
        eroded = cv2.dilate(anomaly, window, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(eroded, np.float32)


@dataclass(frozen=True)
class BoundarySuppression:
    """Iterative boundary suppression and dilated smoothing (Jung et al., ICCV 2021, section 3.3).

    Written for standardised max-logits, for which borders of classes look like anomalies. A pixel
    is on a border where the largest class id among its four neighbours and itself is not the
    smallest of its 3 x 3 window. With the border grown by width - 1, ..., 1, 0 steps to the four
    neighbours, its pixels get the mean of those pixels of their 3 x 3 window that are not on it
    (or keep their value, if there are none). Then a 7 x 7 Gaussian of deviation 1 whose taps lie
    ``dilation`` pixels apart smooths the whole map. Edges are repeated.

    Values that are not finite stay, and give nothing to others.

    Attributes:
        width: how often borders are replaced, 0 to 32; the paper's 4.
        dilation: in pixels, 0 (no smoothing) to 32; the paper's 6.
    """

    width: int = 4
    dilation: int = 6

    def __post_init__(self) -> None:
        _require(0 <= self.width <= 32, "width in 0 to 32", self.width)
        _require(0 <= self.dilation <= 32, "dilation in 0 to 32", self.dilation)

    def __call__(
        self, anomaly: FloatImage, nearest: LabelImage, space: LabelSpace, lowest: float
    ) -> FloatImage:
        """See ``Step``."""
        finite = np.isfinite(anomaly)
        if not finite.any():
            return np.copy(anomaly)
        # Sums of the largest floats are none: a power of two brings them down and back.
        huge = np.abs(anomaly[finite]).max() > 1e30
        scale = np.float32(2.0**-12 if huge else 1.0)
        found = np.where(finite, anomaly, np.float32(0.0)) * scale
        borders = [_find_borders(nearest)]
        for _ in range(1, self.width):
            borders.append(np.asarray(cv2.dilate(borders[-1], _CROSS), np.uint8))
        for border in reversed(borders[: self.width]):
            inside = (border == 0) & finite
            means, known = _weighted_means(found, inside, np.ones(3))
            found = np.where((border > 0) & known, means, found)
        if self.dilation:
            taps = np.zeros(6 * self.dilation + 1)
            taps[:: self.dilation] = np.exp(-0.5 * np.arange(-3.0, 4.0) ** 2)
            found, _ = _weighted_means(found, finite, taps)
        # Means lie between their terms, but not to the last bit.
        known_values = anomaly[finite] * scale
        found = np.clip(found, known_values.min(), known_values.max()) / scale
        kept: FloatImage = np.where(finite, found, anomaly)
        return kept


POSTPROCESSING: dict[str, type[GroundFocus] | type[Erosion] | type[BoundarySuppression]] = {
    "ground_focus": GroundFocus,
    "erosion": Erosion,
    "boundary_suppression": BoundarySuppression,
}

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def _find_borders(nearest: LabelImage) -> LabelImage:
    """1 on borders of classes, else 0."""
    largest = cv2.dilate(nearest, _CROSS)
    smallest = cv2.erode(nearest, np.ones((3, 3), np.uint8))
    return np.asarray(largest != smallest, np.uint8)


def _weighted_means(
    values: FloatImage, counted: Mask, taps: NDArray[np.float64]
) -> tuple[FloatImage, Mask]:
    """Means of counted pixels with the weights ``taps`` along both axes, and where there are any.

    Every image is filtered directly: OpenCV's running sums would carry the rounding of one huge
    value along its row.
    """
    taps, weights = taps / taps.sum(), counted.astype(np.float32)
    sums = [
        cv2.sepFilter2D(image, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REPLICATE)
        for image in (values * weights, weights)
    ]
    known = np.asarray(sums[1] > 0.0)
    return np.asarray(sums[0] / np.where(known, sums[1], 1.0), np.float32), known


def _require(holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise ValueError(f"expected {expected}, found {found}")
