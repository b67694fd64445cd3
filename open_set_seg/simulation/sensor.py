"""The disparity that a real matcher would report, made from the exact one by its known defects."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import DisparityMap, FloatImage, ImageRGB, Mask
from open_set_seg.simulation.streams import open_stream


@dataclass(frozen=True)
class MatcherModel:
    """How a block matcher errs.

    Attributes:
        quantum: step of the result, pixels (OpenCV: 1/16).
        sigma: standard deviation of the noise, pixels; half of its variance is shared among
            neighbours, as overlapping blocks share their pixels.
        texture: mean absolute horizontal gradient (of 255) below which a match is mostly refused.
        fattening: radius in pixels by which near surfaces grow over far ones.
        speckles: wrong blobs per million pixels.
        search: largest disparity as a share of the image width.
    """

    quantum: float = 1.0 / 16.0
    sigma: float = 0.20
    texture: float = 0.22
    fattening: int = 1
    speckles: float = 60.0
    search: float = 0.125

    def max_disparity(self, width: int) -> float:
        """End of the search range: a multiple of 16 minus 1, as block matchers have it."""
        return 16.0 * max(1, math.ceil(self.search * width / 16.0)) - 1.0


def occluded(disparity: FloatImage) -> Mask:
    """Pixels of the left view that something nearer hides in the right view.

    Every pixel is carried to column ``x - d`` of the right view; where two arrive the larger
    disparity wins. A pixel that lost, or left the image, is occluded.
    """
    height, width = disparity.shape
    columns = np.arange(width)[None, :] - disparity
    target = np.round(columns).astype(np.int64)
    inside = target >= 0
    rows = np.repeat(np.arange(height), width).reshape(height, width)
    flat = rows * width + np.clip(target, 0, width - 1)
    nearest = np.zeros(height * width, np.float32)
    np.maximum.at(nearest, flat[inside], disparity[inside])
    return np.asarray(~inside | (disparity < nearest[flat] - 1.0))


def sense_disparity(
    disparity: FloatImage,
    image: ImageRGB,
    focal_length: float,
    baseline: float,
    noise_key: tuple[int, str],
    model: MatcherModel | None = None,
) -> DisparityMap:
    """What a matcher reports for the left view.

    Args:
        disparity: (H, W) float32 exact disparity, pixels, 0 for the sky.
        image: (H, W, 3) uint8 left image: matching needs its texture.
        noise_key: seed and name of the random stream.

    Returns:
        Values in steps of 1/16 px; ``min_disparity - 1`` marks invalid pixels, as OpenCV does.
    """
    model = model or MatcherModel()
    rng = open_stream(*noise_key)
    height, width = disparity.shape
    maximum = model.max_disparity(width)
    hidden = occluded(disparity)
    kernel = np.ones((2 * model.fattening + 1,) * 2, np.uint8)
    fat = cv2.dilate(disparity, kernel)
    # Only real jumps fatten; a slanted surface stays where it is.
    jump = fat - disparity > np.maximum(1.0, 0.08 * fat)
    grown = jump & (rng.random((height, width), dtype=np.float32) < 0.7)
    measured = np.where(grown, fat, disparity)
    measured = measured + _noise(rng, (height, width), model.sigma)
    measured = _add_speckles(rng, measured, model.speckles, maximum)
    measured = np.round(measured / model.quantum) * model.quantum
    invalid = (hidden & ~grown) | _textureless(rng, image, model.texture)
    invalid |= (disparity <= 0.0) & ~grown
    invalid |= (measured <= 0.0) | (measured > maximum)
    values = np.where(invalid, -1.0, measured).astype(np.float32)
    return DisparityMap(
        values=values,
        focal_length=focal_length,
        baseline=baseline,
        min_disparity=0.0,
        max_disparity=maximum,
        quantum=model.quantum,
    )


def _noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> FloatImage:
    """Normal noise, half of its variance correlated over a few pixels."""
    own = rng.standard_normal(shape, dtype=np.float32)
    shared = _smooth_noise(rng, shape, 1.5)
    return np.asarray(np.float32(sigma * np.sqrt(0.5)) * (own + shared), np.float32)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], radius: float) -> FloatImage:
    """Noise of deviation 1 that is alike over about ``radius`` pixels."""
    noise: FloatImage = rng.standard_normal(shape, dtype=np.float32)
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), radius), np.float32)
    return np.asarray(smooth / max(float(smooth.std()), 1e-6), np.float32)


def _add_speckles(
    rng: np.random.Generator, values: NDArray[np.float32], rate: float, maximum: float
) -> NDArray[np.float32]:
    """Small blobs of wrong matches anywhere in the search range."""
    height, width = values.shape
    values = np.ascontiguousarray(values, np.float32)
    for _ in range(int(rng.poisson(rate * height * width / 1e6))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        radius = int(rng.integers(1, 4))
        cv2.circle(values, centre, radius, float(rng.uniform(1.0, maximum)), -1)
    return values


def _textureless(rng: np.random.Generator, image: ImageRGB, threshold: float) -> Mask:
    """Where blocks look alike along the row: mostly refused, the more the smoother."""
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    gradient = np.abs(cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3)) / 8.0
    support = cv2.blur(gradient, (9, 9))
    patches = _smooth_noise(rng, image.shape[:2], 3.0)
    return np.asarray(support < threshold * (1.0 + 0.35 * patches))
