"""What an obstacle is like: where, how far, how large, how certain."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Camera, Mask, Obstacle, Prediction, RangeMap
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.obstacles.config import ObstacleConfig
from open_set_seg.obstacles.near_face import estimate_near_face
from open_set_seg.obstacles.regions import NEIGHBOURHOOD, Region, find_regions
from open_set_seg.stereo import back_project

# Extents are taken between these quantiles of the pixels, then widened by what a rectangle loses.
EXTENT_QUANTILES = (0.02, 0.98)
SMALLEST_INNER_SHARE = 0.4


@dataclass(frozen=True)
class _Geometry:
    distance: float = math.nan
    distance_sigma: float = math.nan
    position: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    width: float = math.nan
    height: float = math.nan


def find_obstacles(
    prediction: Prediction,
    range_map: RangeMap | None,
    ground: Mask,
    camera: Camera | None,
    label_space: LabelSpace,
    config: ObstacleConfig,
) -> tuple[Obstacle, ...]:
    """Obstacles of a frame, nearest first, those of unknown distance last.

    ``find_regions`` says which regions are obstacles, ``measure_regions`` what is said of each.
    """
    search = find_regions(prediction, range_map, ground, camera, label_space, config)
    return measure_regions(search.regions, prediction, range_map, camera, config)


def measure_regions(
    regions: tuple[Region, ...],
    prediction: Prediction,
    range_map: RangeMap | None,
    camera: Camera | None,
    config: ObstacleConfig,
) -> tuple[Obstacle, ...]:
    """One obstacle per region, nearest first, those of unknown distance last.

    Without range map or camera all metres are NaN.
    """
    obstacles = [_measure(region, prediction, range_map, camera, config) for region in regions]
    obstacles.sort(key=_nearest_first)
    return tuple(replace(obstacle, id=number) for number, obstacle in enumerate(obstacles))


def _nearest_first(obstacle: Obstacle) -> tuple[bool, float, int]:
    unknown = math.isnan(obstacle.distance)
    return unknown, 0.0 if unknown else obstacle.distance, -obstacle.area_px


def _measure(
    region: Region,
    prediction: Prediction,
    range_map: RangeMap | None,
    camera: Camera | None,
    config: ObstacleConfig,
) -> Obstacle:
    left, top, width, height = region.box
    window = (slice(top, top + height), slice(left, left + width))
    scores = prediction.anomaly[window][region.mask]
    geometry, valid_share = _Geometry(), 0.0
    if range_map is not None and camera is not None:
        depth, sigma = range_map.depth[window], range_map.sigma[window]
        valid = region.mask & np.isfinite(depth)
        valid_px = int(np.count_nonzero(valid))
        valid_share = valid_px / region.area_px
        if valid_px >= config.min_valid_px and valid_share >= config.min_valid_share:
            trusted = _without_border(valid, region.mask, valid_px)
            geometry = _locate(region, depth[trusted], sigma[trusted], camera)
    return Obstacle(
        id=0,
        kind=region.kind,
        distance=geometry.distance,
        distance_sigma=geometry.distance_sigma,
        valid_share=valid_share,
        position=geometry.position,
        width=geometry.width,
        height=geometry.height,
        mean_score=float(scores.mean(dtype=np.float64)),
        peak_score=float(scores.max()),
        nearest_classes=_class_shares(prediction.nearest[window][region.mask]),
        box=region.box,
        area_px=region.area_px,
        outline=_outline(region),
        mask=region.mask,
    )


def _without_border(valid: Mask, mask: Mask, valid_px: int) -> Mask:
    """Valid pixels off the region's border, where a matcher mixes object and background.

    All valid pixels where too little would be left.
    """
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, NEIGHBOURHOOD)[1:-1, 1:-1].astype(np.bool_) & valid
    return inner if np.count_nonzero(inner) >= SMALLEST_INNER_SHARE * valid_px else valid


def _locate(
    region: Region, depth: NDArray[np.float32], sigma: NDArray[np.float32], camera: Camera
) -> _Geometry:
    """Distance of the near face; position and size of the region at that distance."""
    distance, distance_sigma = estimate_near_face(depth, sigma)
    left, top, _, _ = region.box
    first_column, last_column = _extent(_sums(region.mask, axis=0))
    first_row, last_row = _extent(_sums(region.mask, axis=1))
    x, y, _ = back_project(
        left + (first_column + last_column) / 2, top + (first_row + last_row) / 2, distance, camera
    )
    return _Geometry(
        distance,
        distance_sigma,
        (float(x), float(y), distance),
        (last_column - first_column) * distance / camera.fx,
        (last_row - first_row) * distance / camera.fy,
    )


def _sums(mask: Mask, axis: int) -> NDArray[np.int32]:
    sums = cv2.reduce(mask.view(np.uint8), axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    return np.asarray(sums, np.int32).ravel()


def _extent(counts: NDArray[np.int32]) -> tuple[float, float]:
    """First and last edge of a region from its pixel count per column (or row).

    The edges are quantiles of the pixels' area, so a thread or a spike does not move them,
    widened so that a rectangle gets its true edges; pixel i reaches from i - 1/2 to i + 1/2.
    Every count is positive, because a connected region leaves no gap in its box.
    """
    below, above = EXTENT_QUANTILES
    cumulative = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    edges = np.arange(cumulative.size) - 0.5
    first, last = np.interp([below * cumulative[-1], above * cumulative[-1]], cumulative, edges)
    margin = (last - first) * (1 / (above - below) - 1) / 2
    return float(first - margin), float(last + margin)


def _class_shares(nearest: NDArray[np.uint8]) -> tuple[tuple[int, float], ...]:
    counts = np.bincount(nearest, minlength=1)
    present = np.flatnonzero(counts)
    ordered = present[np.argsort(-counts[present], kind="stable")]
    return tuple((int(label), float(counts[label]) / nearest.size) for label in ordered)


def _outline(region: Region) -> NDArray[np.int32]:
    left, top, _, _ = region.box
    contours, _ = cv2.findContours(
        region.mask.astype(np.uint8),
        cv2.RETR_EXTERNAL,
        cv2.CHAIN_APPROX_SIMPLE,
        offset=(left, top),
    )
    return max(contours, key=len).reshape(-1, 2).astype(np.int32)
