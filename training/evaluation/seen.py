"""A frame with the answer of a source to it: what measures look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import LabelImage, Mask
from open_set_seg.ground import GroundConfig, find_ground
from open_set_seg.label_spaces import UNLABELLED, LabelSpace
from open_set_seg.metrics import decode_distance
from open_set_seg.metrics.protocols import DistanceRule
from training.datasets.frames import LabelledFrame
from training.sources import Answer, EvaluationError, ScoreMap

ROAD_CLASSES = ("road", "road line")

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class SeenFrame:
    """A frame and what a source says about it.

    Attributes:
        frame: with its truth.
        answer: the source's.
        truth_space: of ``frame.labels``.
        answer_space: of ``answer.nearest``.
    """

    frame: LabelledFrame
    answer: Answer
    truth_space: LabelSpace | None
    answer_space: LabelSpace | None

    @property
    def outliers(self) -> LabelImage:
        """The truth, (H, W) uint8: 0 inlier, 1 outlier, 255 ignored.

        Raises:
            EvaluationError: it is hidden.
        """
        if self.frame.outliers is None:
            raise EvaluationError(
                f"the truth of {self.frame.id} is hidden: nothing can be measured here. Write the "
                "scores with python -m training.submit and hand them to the benchmark"
            )
        return self.frame.outliers

    @property
    def labels(self) -> LabelImage:
        """True classes, (H, W) uint8; K outlier, 255 unlabelled."""
        if self.frame.labels is None:
            raise EvaluationError(f"{self.frame.id} has no classes")
        return self.frame.labels

    @property
    def nearest(self) -> LabelImage:
        """Predicted classes, (H, W) uint8."""
        if self.answer.nearest is None:
            raise EvaluationError("the source of the scores knows no classes")
        return self.answer.nearest

    @cached_property
    def ground(self) -> Mask | None:
        """The predicted drivable region; None where there is none."""
        assert self.answer_space is not None
        return find_ground(self.nearest, self.answer_space, GroundConfig())

    def score(self, name: str) -> ScoreMap:
        """A score map, of the truth's size."""
        scores = self.answer.scores[name]
        if scores.shape != self.outliers.shape:
            raise EvaluationError(
                f"{self.frame.id}: the truth is {self.outliers.shape} but the image {scores.shape}"
            )
        return scores

    def distance(self, rule: DistanceRule) -> NDArray[np.float64]:
        """(H, W) metres; NaN where unknown."""
        if rule not in self._distances:
            disparity = self.frame.disparity
            if disparity is None:
                raise EvaluationError(f"{self.frame.id} has no disparity: no distance is known")
            focal = (disparity.camera.fx + disparity.camera.fy) / 2
            found = decode_distance(disparity.codes, disparity.baseline, focal, rule)
            self._distances[rule] = found
        return self._distances[rule]

    @cached_property
    def _distances(self) -> dict[DistanceRule, NDArray[np.float64]]:
        return {}

    def within(self, region: str) -> Bytes:
        """The truth inside a region of ``REGIONS``, 255 outside."""
        return REGIONS[region](self)


def _whole_image(seen: SeenFrame) -> Bytes:
    return seen.outliers


def _true_road(seen: SeenFrame) -> Bytes:
    """Road, its lines, and the unknown objects (which stand on it)."""
    assert seen.truth_space is not None
    road = np.isin(seen.labels, [seen.truth_space.id_of(name) for name in ROAD_CLASSES])
    return np.where(road | (seen.outliers == 1), seen.outliers, np.uint8(UNLABELLED))


def _ground_hull(seen: SeenFrame) -> Bytes:
    """The convex hull of the predicted ground; nothing where none was predicted."""
    if seen.ground is None:
        return np.full_like(seen.outliers, UNLABELLED)
    return np.where(seen.ground, seen.outliers, np.uint8(UNLABELLED))


REGIONS: dict[str, Callable[[SeenFrame], Bytes]] = {
    "whole image": _whole_image,
    "true road": _true_road,
    "ground hull": _ground_hull,
}
# Regions that only a source with classes can have.
PREDICTED_REGIONS = frozenset({"ground hull"})
