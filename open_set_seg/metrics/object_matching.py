"""Which detected obstacle found which true object.

Rule of matching (``MatchRule``). A detected obstacle is *true* iff at least ``min_purity`` of its
pixels lie on true objects, all of them taken together; otherwise it is *false*. A true object is
*found* iff some true detection covers at least ``min_coverage`` of its visible pixels; the
detection that covers most of it is the one that its distance is compared with. So one detection
may find two objects that it merges, but a detection that floods the road finds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from open_set_seg.frame import Mask, Obstacle


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
class Outcome:
    """What became of a true object.

    Attributes:
        distance: its true one in metres.
        visible_px: its size.
        found: whether a detection found it.
        measured: distance of that detection in metres; NaN where it has none.
        sigma: stated standard deviation of ``measured``; NaN likewise.
    """

    distance: float
    visible_px: int
    found: bool
    measured: float
    sigma: float


@dataclass(frozen=True)
class FalseDetection:
    """Where a false detection is in metres (NaN: unknown), and its size in pixels."""

    distance: float
    area_px: int


@dataclass(frozen=True)
class FrameObjects:
    """Everything that happened in one frame; objects that are not asked for left out."""

    outcomes: tuple[Outcome, ...]
    false: tuple[FalseDetection, ...]


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


def judge_objects(
    obstacles: Sequence[Obstacle], objects: Sequence[TrueObject], rule: MatchRule
) -> FrameObjects:
    """What became of each true object that is asked for, and the false detections."""
    matching = match_objects(obstacles, objects, rule)
    outcomes = []
    for true_object, asked, finder in zip(objects, matching.asked, matching.finders, strict=True):
        if asked:
            by = None if finder is None else obstacles[finder]
            outcomes.append(
                Outcome(
                    distance=float(true_object.distance),
                    visible_px=int(np.count_nonzero(true_object.mask)),
                    found=by is not None,
                    measured=float(by.distance) if by else math.nan,
                    sigma=float(by.distance_sigma) if by else math.nan,
                )
            )
    detections = zip(obstacles, matching.true, strict=True)
    false = tuple(
        FalseDetection(float(one.distance), one.area_px) for one, true in detections if not true
    )
    return FrameObjects(tuple(outcomes), false)
