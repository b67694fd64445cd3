"""How well obstacles are found and how well their distance is known, by distance band.

Rule of matching (``MatchRule``). A detected obstacle is *true* iff at least ``min_purity`` of its
pixels lie on true objects, all of them taken together; otherwise it is *false*. A true object is
*found* iff some true detection covers at least ``min_coverage`` of its visible pixels; the
detection that covers most of it is the one that its distance is compared with. So one detection
may find two objects that it merges, but a detection that floods the road finds nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Mask, Obstacle

Band = tuple[float, float]
BANDS: tuple[Band, ...] = tuple((float(near), float(near + 5)) for near in range(5, 50, 5))
# The median of |x| of a standard Gaussian, inverted: makes a median deviation a standard deviation.
MAD_TO_SIGMA = 1.482602218505602


@dataclass(frozen=True, eq=False)
class TrueObject:
    """An object that is really there.

    Attributes:
        mask: (H, W) bool, its visible pixels.
        distance: of its near face in metres (10th percentile of the exact Z over ``mask``).
    """

    mask: Mask
    distance: float


@dataclass(frozen=True)
class MatchRule:
    """When a detection is true and an object found; see the module.

    Args:
        min_coverage: share of the object's pixels that its detection covers.
        min_purity: share of a detection's pixels that lie on true objects.
        min_visible_px: objects with fewer visible pixels are not asked for: they count neither as
            found nor as missed, yet a detection of them is not false.
    """

    min_coverage: float = 0.25
    min_purity: float = 0.25
    min_visible_px: int = 1


@dataclass(frozen=True)
class Matching:
    """Who found what in one frame.

    Attributes:
        true: for each detection, whether it is one of true objects.
        asked: for each object, whether it is large enough to be asked for.
        finders: for each object, the index of the detection that found it, or None.
    """

    true: tuple[bool, ...]
    asked: tuple[bool, ...]
    finders: tuple[int | None, ...]


@dataclass(frozen=True)
class BandMetrics:
    """What happened in one distance band; NaN where there was nothing to measure.

    Attributes:
        band: [near, far) in metres.
        objects: true objects whose true distance is in the band.
        found: how many of them were found.
        recall: found / objects.
        false_per_frame: false detections whose *measured* distance is in the band, per frame.
        measured: found objects with a known measured distance.
        median_relative_error: median of |measured - true| / true.
        bias: median of measured - true, metres.
        spread: robust standard deviation of measured - true (1.4826 x MAD), metres.
        bias_in_sigmas: median of (measured - true) / stated sigma.
        spread_in_sigmas: its robust standard deviation: 1 where the stated sigma is honest.
    """

    band: Band
    objects: int
    found: int
    recall: float
    false_per_frame: float
    measured: int
    median_relative_error: float
    bias: float
    spread: float
    bias_in_sigmas: float
    spread_in_sigmas: float


@dataclass(frozen=True)
class ObjectMetrics:
    """Results by band and over all bands together.

    Attributes:
        frames: number of frames.
        bands: nearest first.
        overall: everything between the first band's near and the last band's far limit.
        false_of_unknown_distance_per_frame: false detections without a distance, in no band.
        false_per_frame: all false detections per frame, of whatever distance.
    """

    frames: int
    bands: tuple[BandMetrics, ...]
    overall: BandMetrics
    false_of_unknown_distance_per_frame: float
    false_per_frame: float


@dataclass(frozen=True)
class _Outcome:
    true_distance: float
    found: bool
    measured: float
    sigma: float


def object_metrics(
    frames: Iterable[tuple[Sequence[Obstacle], Sequence[TrueObject]]],
    rule: MatchRule | None = None,
    bands: Sequence[Band] = BANDS,
) -> ObjectMetrics:
    """Recall, false obstacles and distance error by distance band, pooled over all frames.

    Args:
        frames: (detected obstacles, true objects) of every examined frame; consumed once.
        rule: of matching.
        bands: adjoining [near, far) intervals in metres, nearest first.

    Raises:
        ValueError: no frame at all, or bands that do not adjoin.
    """
    if not bands or any(one[1] != two[0] for one, two in itertools.pairwise(bands)):
        raise ValueError("bands must adjoin, nearest first")
    outcomes: list[_Outcome] = []
    false_distances: list[float] = []
    count = 0
    for obstacles, objects in frames:
        count += 1
        found, false = _judge(obstacles, objects, match_objects(obstacles, objects, rule))
        outcomes += found
        false_distances += false
    if count == 0:
        raise ValueError("there is no frame to judge")
    return ObjectMetrics(
        frames=count,
        bands=tuple(_summarise(band, outcomes, false_distances, count) for band in bands),
        overall=_summarise((bands[0][0], bands[-1][1]), outcomes, false_distances, count),
        false_of_unknown_distance_per_frame=sum(map(math.isnan, false_distances)) / count,
        false_per_frame=len(false_distances) / count,
    )


def match_objects(
    obstacles: Sequence[Obstacle], objects: Sequence[TrueObject], rule: MatchRule | None = None
) -> Matching:
    """Which detection found which object in one frame, by the rule of this module."""
    rule = rule or MatchRule()
    overlap = np.zeros((len(obstacles), len(objects)), np.int64)
    on_objects = np.zeros(len(obstacles), np.int64)
    for row, obstacle in enumerate(obstacles):
        left, top, width, height = obstacle.box
        window = (slice(top, top + height), slice(left, left + width))
        union = np.zeros(obstacle.mask.shape, np.bool_)
        for column, true_object in enumerate(objects):
            common = true_object.mask[window] & obstacle.mask
            overlap[row, column] = np.count_nonzero(common)
            union |= common
        on_objects[row] = np.count_nonzero(union)
    areas = np.array([obstacle.area_px for obstacle in obstacles], np.int64)
    is_true = on_objects >= np.maximum(rule.min_purity * areas, 1)
    overlap[~is_true] = 0
    asked, finders = [], []
    for column, true_object in enumerate(objects):
        visible = int(np.count_nonzero(true_object.mask))
        best = int(np.argmax(overlap[:, column])) if obstacles else -1
        found = best >= 0 and overlap[best, column] >= max(rule.min_coverage * visible, 1)
        asked.append(visible >= max(rule.min_visible_px, 1))
        finders.append(best if found else None)
    return Matching(tuple(is_true.tolist()), tuple(asked), tuple(finders))


def _judge(
    obstacles: Sequence[Obstacle], objects: Sequence[TrueObject], matching: Matching
) -> tuple[list[_Outcome], list[float]]:
    """What became of each true object, and the distances of the false detections."""
    outcomes = []
    for true_object, asked, finder in zip(objects, matching.asked, matching.finders, strict=True):
        if asked:
            by = None if finder is None else obstacles[finder]
            outcomes.append(
                _Outcome(
                    true_object.distance,
                    by is not None,
                    by.distance if by else math.nan,
                    by.distance_sigma if by else math.nan,
                )
            )
    detections = zip(obstacles, matching.true, strict=True)
    return outcomes, [one.distance for one, true in detections if not true]


def _summarise(
    band: Band, outcomes: list[_Outcome], false_distances: list[float], frames: int
) -> BandMetrics:
    near, far = band
    inside = [outcome for outcome in outcomes if near <= outcome.true_distance < far]
    found = sum(outcome.found for outcome in inside)
    known = [outcome for outcome in inside if math.isfinite(outcome.measured)]
    true = np.array([outcome.true_distance for outcome in known])
    error = np.array([outcome.measured for outcome in known]) - true
    in_sigmas = error / np.array([outcome.sigma for outcome in known])
    false = sum(near <= distance < far for distance in false_distances)
    return BandMetrics(
        band=band,
        objects=len(inside),
        found=found,
        recall=found / len(inside) if inside else math.nan,
        false_per_frame=false / frames,
        measured=len(known),
        median_relative_error=_median(np.abs(error) / true),
        bias=_median(error),
        spread=_spread(error),
        bias_in_sigmas=_median(in_sigmas),
        spread_in_sigmas=_spread(in_sigmas),
    )


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if values.size else math.nan


def _spread(values: NDArray[np.float64]) -> float:
    return MAD_TO_SIGMA * _median(np.abs(values - np.median(values))) if values.size else math.nan
