"""The highest threshold at which a frame would still alarm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from open_set_seg.calibration.bounds import CalibrationError
from open_set_seg.frame import Camera, FloatImage, FrameResult, Mask, Prediction, RangeMap
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.obstacles import ObstacleConfig, Region, find_regions

Band = tuple[float, float]
# A distance is the inverse of an inverse range: it may miss the range by a rounding.
ROUNDING = 1e-9
# Regions are cut out where their ranges are looked at; to know of an alarm one is enough.
ANY_ALARM = 1
ALL_ALARMS = 2**31 - 1


@dataclass(frozen=True)
class FrameStatistic:
    """What calibration needs to know of a frame without unknown objects.

    Attributes:
        score: the frame alarms at a threshold t in [0, 1] if and only if score > t; 0 where it
            alarms at none of them. One of the frame's float32 scores.
        stamp_ns: of the image.
        recording: number of the recording that it belongs to; frames of two recordings are never
            taken for neighbours.
        bands: for each band of distances, in their order, a score as above for obstacles in that
            band, or None where the frame shows no ground at that distance.
    """

    score: float
    stamp_ns: int = 0
    recording: int = 0
    bands: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        for score in (self.score, *self.bands):
            if score is not None and not 0 <= score <= 1:
                raise CalibrationError(f"expected a frame's score in [0, 1], found {score}")


def frame_statistic(
    prediction: Prediction,
    range_map: RangeMap | None,
    ground: Mask,
    camera: Camera | None,
    label_space: LabelSpace,
    config: ObstacleConfig,
) -> float:
    """The largest score s such that pixels of s and above make an obstacle; 0 where none does.

    An alarm is an obstacle of kind *unknown*. At t the mask is {anomaly > t}; a lower t gives a
    larger mask, and nothing that ``find_regions`` does with a mask lets an alarm go when it
    grows: the opening of a larger mask is larger, each of its components lies inside one of the
    larger mask, and touching the ground, pixels, pixels without range and the sum of Z^2 over
    pixels can only rise (also as rounded sums: more terms, none negative, in the same order). So
    the frame alarms at t if and only if t < s, and s is found by bisection among the frame's
    scores with ``find_regions`` itself.

    Chosen known classes are left aside. Their regions *shrink* when the threshold falls, because
    *unknown* takes pixels from them; those of *unknown* do not depend on them, and that they take
    up places among ``max_obstacles`` can only silence an alarm.

    Args:
        as for ``find_regions``; the prediction's threshold is not used.
    """
    alarms = _alarms_at(prediction, range_map, ground, camera, label_space, config)
    return _bisect(_candidates(prediction.anomaly), lambda t: bool(alarms(t, ANY_ALARM)))


def band_statistics(
    prediction: Prediction,
    range_map: RangeMap | None,
    ground: Mask,
    camera: Camera | None,
    label_space: LabelSpace,
    config: ObstacleConfig,
    bands: Sequence[Band],
) -> tuple[float | None, ...]:
    """For each [near, far) band a score s: no obstacle lies in the band at any threshold t >= s.

    The distance of an obstacle is *not* monotone in the threshold: a growing region may leave the
    band. But it lies between the smallest and the largest range of the region's pixels, and these
    move apart as the region grows. So s is the highest threshold at which there is an obstacle
    with a pixel before ``far`` and a pixel behind ``near``: at t >= s none can be in the band. At
    t < s there may or may not be one; a threshold from these scores errs on the safe side.

    Args:
        bands: metres; the rest as for ``frame_statistic``.

    Returns:
        None for a band in which fewer than ``config.min_area_px`` pixels of the ground have a
        range: the frame says nothing about it.
    """
    if range_map is None or camera is None:
        return (None,) * len(bands)
    depth = range_map.depth
    alarms = _alarms_at(prediction, range_map, ground, camera, label_space, config)
    candidates = _candidates(prediction.anomaly)
    reaches: dict[float, list[tuple[float, float]]] = {}

    def reach(threshold: float) -> list[tuple[float, float]]:
        if threshold not in reaches:
            found = alarms(threshold, ALL_ALARMS)
            reaches[threshold] = [_reach(region, depth) for region in found]
        return reaches[threshold]

    scores: list[float | None] = []
    for near, far in bands:
        shown = int(np.count_nonzero(ground & (depth >= near) & (depth < far)))
        if shown < config.min_area_px:
            scores.append(None)
            continue

        def reaches_band(threshold: float, near: float = near, far: float = far) -> bool:
            near, far = near * (1 - ROUNDING), far * (1 + ROUNDING)
            return any(low < far and high >= near for low, high in reach(threshold))

        scores.append(_bisect(candidates, reaches_band))
    return tuple(scores)


def statistic_of_result(
    result: FrameResult,
    label_space: LabelSpace,
    config: ObstacleConfig,
    bands: Sequence[Band] = (),
    recording: int = 0,
) -> FrameStatistic | None:
    """The statistic of a frame that a detector has processed at any threshold.

    Returns:
        None for a frame that was not examined: it cannot alarm, so it says nothing about how often
        examined frames do.
    """
    if result.ground is None:
        return None
    inputs = (result.prediction, result.range_map, result.ground, result.camera)
    return FrameStatistic(
        frame_statistic(*inputs, label_space, config),
        result.stamp_ns,
        recording,
        band_statistics(*inputs, label_space, config, bands) if bands else (),
    )


def _alarms_at(
    prediction: Prediction,
    range_map: RangeMap | None,
    ground: Mask,
    camera: Camera | None,
    label_space: LabelSpace,
    config: ObstacleConfig,
) -> Callable[[float, int], tuple[Region, ...]]:
    """At most so many of the regions of *unknown* that are obstacles at a threshold."""

    def alarms(threshold: float, most: int) -> tuple[Region, ...]:
        searched = replace(prediction, threshold=threshold)
        chosen = replace(config, known_classes=(), max_obstacles=most)
        return find_regions(searched, range_map, ground, camera, label_space, chosen).regions

    return alarms


def _candidates(anomaly: FloatImage) -> NDArray[np.float32]:
    """Distinct scores above 0, rising: only there does the mask change with t >= 0."""
    scores = np.unique(anomaly)
    return scores[scores > 0]


def _bisect(candidates: NDArray[np.float32], alarms: Callable[[float], bool]) -> float:
    """The largest candidate whose pixels, with all above it, alarm; 0 if none."""
    # The mask of "candidate and above" is that of "> the candidate below".
    below = np.concatenate([np.zeros(1, np.float32), candidates[:-1]])
    silent, alarming = candidates.size, 0  # known of those from ``silent`` on, and before the other
    # Down from the top in growing steps first: masks of high thresholds are sparse, hence cheap.
    step = 64
    while silent and not alarming:
        probe = max(0, silent - step)
        if alarms(float(below[probe])):
            alarming = probe + 1
        else:
            silent, step = probe, 2 * step
    while alarming < silent:
        middle = (alarming + silent) // 2
        if alarms(float(below[middle])):
            alarming = middle + 1
        else:
            silent = middle
    return float(candidates[alarming - 1]) if alarming else 0.0


def _reach(region: Region, depth: FloatImage) -> tuple[float, float]:
    """Smallest and largest range of a region's pixels; nothing (inf, -inf) without ranges."""
    left, top, width, height = region.box
    ranges = depth[top : top + height, left : left + width][region.mask]
    ranges = ranges[np.isfinite(ranges)]
    if not ranges.size:
        return np.inf, -np.inf
    return float(ranges.min()), float(ranges.max())
