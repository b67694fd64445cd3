"""Which connected regions of an image are obstacles.

All decisions about regions are sums over their pixels, computed for all regions at once from the
pixels of the mask: a noisy mask with thousands of regions costs little more than a clean one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Camera, FloatImage, Mask, Prediction, RangeMap
from open_set_seg.label_spaces import UNKNOWN_NAME, LabelSpace
from open_set_seg.obstacles.config import ObstacleConfig

NEIGHBOURHOOD = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Region:
    """A connected region of the image.

    Attributes:
        kind: ``unknown``, or the name of a known class.
        box: (left, top, width, height) in pixels.
        mask: (box height, box width) bool.
        area_px: number of pixels.
    """

    kind: str
    box: tuple[int, int, int, int]
    mask: Mask
    area_px: int


@dataclass(frozen=True, eq=False)
class RegionSearch:
    """The regions that are obstacles, largest first, and how many more there were."""

    regions: tuple[Region, ...]
    left_out: int


def find_regions(
    prediction: Prediction,
    range_map: RangeMap | None,
    ground: Mask,
    camera: Camera | None,
    label_space: LabelSpace,
    config: ObstacleConfig,
) -> RegionSearch:
    """8-connected regions that are obstacles by the rules of ``ObstacleConfig``.

    Regions of *unknown* are those where ``anomaly > threshold``; regions of a chosen known class
    those that are labelled with it, so the two never overlap. A region touches the ground if one
    of its pixels is in the ground region or is an 8-neighbour of it; its mask is not clipped.

    Args:
        prediction: what the segmenter says, H x W.
        range_map: range of each pixel; None: every pixel is without range.
        ground: (H, W) the region that gates obstacles.
        camera: needed with ``range_map`` for square metres; None: range is not used either.
        label_space: of the prediction.
        config: sizes, chosen classes and the most regions to return.

    Raises:
        ValueError: a chosen class is not in the label space.
    """
    config.check_classes(label_space)
    gate = np.empty(ground.shape, np.uint8)
    cv2.dilate(ground.view(np.uint8), NEIGHBOURHOOD, dst=gate)
    depth = None if range_map is None or camera is None else range_map.depth
    pixel_area = 0.0 if camera is None else 1 / (camera.fx * camera.fy)
    found: list[tuple[str, NDArray[np.int32], NDArray[np.int32], int]] = []
    for kind, mask in _masks(prediction, label_space, config):
        components, stats = _components(mask, config)
        for number in _kept(components, stats, gate, depth, pixel_area, config):
            found.append((kind, components, stats[number], int(number)))
    found.sort(key=lambda entry: -int(entry[2][cv2.CC_STAT_AREA]))
    regions = tuple(_cut_out(*entry) for entry in found[: config.max_obstacles])
    return RegionSearch(regions, len(found) - len(regions))


def _masks(
    prediction: Prediction, label_space: LabelSpace, config: ObstacleConfig
) -> list[tuple[str, NDArray[np.uint8]]]:
    unknown = prediction.anomaly > prediction.threshold
    masks = [(UNKNOWN_NAME, unknown.view(np.uint8))]
    for name in config.known_classes:
        chosen = (prediction.nearest == label_space.id_of(name)) & ~unknown
        masks.append((name, chosen.view(np.uint8)))
    return masks


def _components(
    mask: NDArray[np.uint8], config: ObstacleConfig
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    if config.opening:
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, NEIGHBOURHOOD).astype(np.uint8, copy=False)
    _, components, stats, _ = cv2.connectedComponentsWithStats(
        mask, connectivity=8, ltype=cv2.CV_32S
    )
    return components.astype(np.int32, copy=False), stats.astype(np.int32, copy=False)


def _kept(
    components: NDArray[np.int32],
    stats: NDArray[np.int32],
    gate: NDArray[np.uint8],
    depth: FloatImage | None,
    pixel_area: float,
    config: ObstacleConfig,
) -> NDArray[np.intp]:
    """Numbers of the components that are obstacles; a pixel covers Z^2 ``pixel_area``."""
    count = stats.shape[0]
    pixels = np.flatnonzero(components)
    numbers = components.ravel()[pixels]
    touches = np.bincount(numbers, weights=gate.ravel()[pixels], minlength=count) > 0
    area_px = stats[:, cv2.CC_STAT_AREA]
    if depth is None:
        blind_px: NDArray[np.int64] | NDArray[np.int32] = area_px
        large = np.zeros(count, np.bool_)
    else:
        z = depth.ravel()[pixels].astype(np.float64)
        seen = ~np.isnan(z)
        blind_px = np.bincount(numbers[~seen], minlength=count)
        square = np.bincount(numbers[seen], weights=np.square(z[seen]), minlength=count)
        large = square * pixel_area >= config.min_area_m2
    keep = touches & (area_px >= config.min_area_px)
    keep &= large | (blind_px >= config.min_blind_area_px)
    keep[0] = False
    return np.flatnonzero(keep)


def _cut_out(
    kind: str, components: NDArray[np.int32], stats: NDArray[np.int32], number: int
) -> Region:
    left, top, width, height, area = (int(value) for value in stats)
    mask: Mask = components[top : top + height, left : left + width] == number
    return Region(kind, (left, top, width, height), mask, area)
