"""Which connected regions of an image are obstacles.

All decisions about regions are sums over their pixels, computed for all regions at once from the
pixels of the mask: a noisy mask with thousands of regions costs little more than a clean one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.components import Components, find_runs, label_components
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
    found: list[tuple[str, Components, NDArray[np.intp], int, int]] = []
    for kind, mask in _masks(prediction, label_space, config):
        components = label_components(mask)
        areas, boxes = components.areas(), components.boxes()
        for number in _kept(components, areas, mask & gate, depth, pixel_area, config):
            found.append((kind, components, boxes[number], int(areas[number]), int(number)))
    found.sort(key=lambda entry: -entry[3])
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
    if not config.opening:
        return masks
    return [(name, _open(mask)) for name, mask in masks]


def _open(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, NEIGHBOURHOOD)
    return opened.astype(np.uint8, copy=False)


def _kept(
    components: Components,
    areas: NDArray[np.int64],
    touching: NDArray[np.uint8],
    depth: FloatImage | None,
    pixel_area: float,
    config: ObstacleConfig,
) -> NDArray[np.intp]:
    """Numbers of the components that are obstacles.

    Args:
        touching: (H, W) pixels of components that touch the ground.
        pixel_area: a pixel at range Z covers Z^2 times this.
    """
    touches = np.zeros(components.count, np.bool_)
    runs = find_runs(touching)
    touches[components.labels[runs.rows, runs.columns]] = True
    keep = touches & (areas >= config.min_area_px)
    if depth is None:
        return np.flatnonzero(keep & (areas >= config.min_blind_area_px))
    # Only pixels of what may still be kept are looked at.
    chosen = keep[components.numbers]
    runs = components.runs.select(chosen)
    numbers = np.repeat(components.numbers[chosen], runs.lengths)
    z = depth.ravel()[runs.pixels(depth.shape[1])].astype(np.float64)
    blind = np.isnan(z)
    z[blind] = 0.0
    blind_px = np.bincount(numbers[blind], minlength=components.count)
    square = np.bincount(numbers, weights=np.square(z), minlength=components.count)
    large = square * pixel_area >= config.min_area_m2
    return np.flatnonzero(keep & (large | (blind_px >= config.min_blind_area_px)))


def _cut_out(
    kind: str, components: Components, box: NDArray[np.intp], area: int, number: int
) -> Region:
    left, top, width, height = (int(value) for value in box)
    mask: Mask = components.labels[top : top + height, left : left + width] == number
    return Region(kind, (left, top, width, height), mask, area)
