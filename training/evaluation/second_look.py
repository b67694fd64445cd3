"""Measures whose threshold comes from a first look at all frames: components and open-mIoU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from open_set_seg.frame import LabelImage
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.metrics import (
    ComponentCounts,
    OpenSetFold,
    OpenWorldConfusionMatrix,
    ScoreCounts,
    open_set_labels,
    open_set_metrics,
    other_fold,
)
from open_set_seg.metrics.image_confusions import ImageConfusions, Values, mean_ious
from open_set_seg.metrics.protocols import ComponentRule, OpenSetRule
from open_set_seg.metrics.score_counts.counts import MEMORY_LIMIT
from training.evaluation.measures import intervals_of
from training.evaluation.seen import SeenFrame
from training.sources import EvaluationError, ScoreMap


@dataclass(frozen=True)
class Components:
    """Connected components above the threshold of the best pixel F1."""

    score: str
    rule: ComponentRule
    threshold: float
    resamples: int = 0

    @property
    def key(self) -> str:
        """See ``Measure``."""
        return f"components-{self.score}"

    def begin(self) -> ComponentCounts:
        """See ``Measure``."""
        return ComponentCounts(self.rule)

    def load(self, folder: Path) -> ComponentCounts:
        """See ``Measure``."""
        return ComponentCounts.load(folder)

    def add(self, counts: ComponentCounts, seen: SeenFrame) -> None:
        """See ``Measure``."""
        counts.add(seen.frame.id, seen.score(self.score), seen.outliers, self.threshold)

    def report(self, counts: ComponentCounts, result: dict[str, Any]) -> None:
        """See ``Measure``."""
        found = intervals_of(counts.statistics, len(counts.ids), self.resamples)
        result["scores"][self.score]["components"] = {
            "threshold": self.threshold,
            **counts.metrics(),
            "by_tau": [asdict(row) for row in counts.by_tau()],
            "intervals": found,
        }


@dataclass(frozen=True)
class FoldThreshold:
    """First look of open-mIoU: the threshold that a fold finds for the other one."""

    score: str
    group: str
    rule: OpenSetRule
    memory: int = MEMORY_LIMIT

    @property
    def key(self) -> str:
        """See ``Measure``."""
        return f"threshold-{self.score}-{self.group}"

    def begin(self) -> ScoreCounts:
        """See ``Measure``."""
        return ScoreCounts(self.memory)

    def load(self, folder: Path) -> ScoreCounts:
        """See ``Measure``."""
        return ScoreCounts.load(folder)

    def add(self, counts: ScoreCounts, seen: SeenFrame) -> None:
        """See ``Measure``; a frame of the other fold changes nothing."""
        if seen.frame.group not in self.rule.groups:
            folds = " and ".join(self.rule.groups)
            raise EvaluationError(
                f"open-mIoU has the folds {folds}, but {seen.frame.id} is of {seen.frame.group!r}"
            )
        if seen.frame.group != self.group:
            return
        counts.add(*shrink(seen.score(self.score), seen.outliers, self.rule.scale))

    def report(self, counts: ScoreCounts, result: dict[str, Any]) -> None:
        """See ``Measure``; puts the threshold under ``thresholds`` by score and group."""
        thresholds = result["thresholds"].setdefault(self.score, {})
        if counts.outliers:
            thresholds[self.group] = counts.threshold_at_tpr(self.rule.tpr, strict=True)
        else:
            result["left_out"].append(
                f"open-mIoU of {self.score} was not measured: the fold {self.group!r} has no "
                "outlier to find a threshold by"
            )


class FoldCounts:
    """Confusion matrices by fold and frame; an accumulator.

    Args:
        num_classes: K.
        groups: names of the folds.

    Attributes:
        open_world, closed_set: by fold.
    """

    def __init__(self, num_classes: int, groups: tuple[str, ...]) -> None:
        self.open_world = {group: ImageConfusions(num_classes, open_world=True) for group in groups}
        self.closed_set = {group: ImageConfusions(num_classes) for group in groups}

    def merge(self, other: FoldCounts) -> None:
        """Take in the counts of other frames."""
        for mine, theirs in zip(self._parts(), other._parts(), strict=True):
            mine[1].merge(theirs[1])

    def save(self, folder: Path) -> None:
        """Write everything into an empty folder."""
        for name, part in self._parts():
            (folder / name).mkdir()
            part.save(folder / name)

    def fill(self, folder: Path) -> FoldCounts:
        """Read what ``save`` wrote into this empty one."""
        for name, part in self._parts():
            part.merge(ImageConfusions.load(folder / name))
        return self

    def statistics(self, weights: NDArray[np.int64], classes: int) -> dict[str, Values]:
        """The figures of draws of all frames, those of the first fold first; at fixed thresholds.

        Args:
            weights: (B, n).
            classes: K.
        """
        sums: dict[str, Values] = {}
        start = 0
        for group, opened in self.open_world.items():
            part = weights[:, start : start + len(opened.ids)]
            start += len(opened.ids)
            open_counts = opened.resampled(part)
            figures = {
                "open_mIoU": mean_ious(open_counts, range(classes)),
                "closed_mIoU": mean_ious(self.closed_set[group].resampled(part), range(classes)),
                "mIoU_K_plus_1": mean_ious(open_counts, range(classes + 1)),
            }
            drawn = part.sum(axis=1)
            for name, values in figures.items():
                weighted = np.where(drawn > 0, drawn * values, 0.0)
                sums[name] = sums.get(name, 0.0) + weighted / weights.sum(axis=1)
        return sums

    def _parts(self) -> Iterator[tuple[str, ImageConfusions]]:
        for group in self.open_world:
            yield f"{group}-open_world", self.open_world[group]
            yield f"{group}-closed_set", self.closed_set[group]


@dataclass(frozen=True)
class OpenSet:
    """Second look of open-mIoU: every fold at the threshold that the other one found.

    Attributes:
        thresholds: by the group that found it.
    """

    score: str
    rule: OpenSetRule
    label_space: LabelSpace
    thresholds: Mapping[str, float]
    resamples: int = 0

    @property
    def key(self) -> str:
        """See ``Measure``."""
        return f"open_set-{self.score}"

    def begin(self) -> FoldCounts:
        """See ``Measure``."""
        return FoldCounts(self.label_space.num_classes, self.rule.groups)

    def load(self, folder: Path) -> FoldCounts:
        """See ``Measure``."""
        return self.begin().fill(folder)

    def add(self, counts: FoldCounts, seen: SeenFrame) -> None:
        """See ``Measure``."""
        group, name = seen.frame.group, seen.frame.id
        threshold = self.thresholds[other_fold(self.rule.groups, group)]
        scores, classes = seen.score(self.score), self.label_space.num_classes
        opened = open_set_labels(seen.nearest, scores, threshold, classes)
        counts.open_world[group].add(name, seen.labels, opened)
        counts.closed_set[group].add(name, seen.labels, seen.nearest)

    def report(self, counts: FoldCounts, result: dict[str, Any]) -> None:
        """See ``Measure``."""
        folds = []
        for group, opened in counts.open_world.items():
            total = opened.total()
            assert isinstance(total, OpenWorldConfusionMatrix)
            threshold = self.thresholds[other_fold(self.rule.groups, group)]
            closed = counts.closed_set[group].total()
            folds.append(OpenSetFold(group, len(opened.ids), threshold, total, closed))
        classes = self.label_space.num_classes
        result["scores"][self.score]["open_set"] = {
            **asdict(open_set_metrics(folds)),
            "folds": [self._describe(fold) for fold in folds],
            "intervals": intervals_of(
                lambda weights: counts.statistics(weights, classes),
                sum(fold.images for fold in folds),
                self.resamples,
            ),
        }

    def _describe(self, fold: OpenSetFold) -> dict[str, Any]:
        iou = fold.open_world.class_iou().tolist()
        return {
            "group": fold.group,
            "images": fold.images,
            "threshold": fold.threshold,
            "open_mIoU": fold.open_world.open_mean_iou(),
            "closed_mIoU": fold.closed_set.mean_iou(),
            "mIoU_K_plus_1": fold.open_world.mean_iou_with_unknown(),
            "unknown_IoU": fold.open_world.unknown_iou(),
            "class_IoU": dict(zip(self.label_space.classes, iou[:-1], strict=True)),
            "confusion": fold.open_world.counts.tolist(),
        }


def shrink(scores: ScoreMap, outliers: LabelImage, scale: float) -> tuple[ScoreMap, LabelImage]:
    """A score map and its truth at the size at which a fold's threshold is found.

    Scores bilinearly between pixel centres and without smoothing, labels by the nearest pixel.
    """
    values = torch.from_numpy(np.array(scores))[None, None]
    labels = torch.from_numpy(np.array(outliers))[None, None]
    small = functional.interpolate(values, scale_factor=scale, mode="bilinear")
    truth = functional.interpolate(labels, scale_factor=scale, mode="nearest")
    return small[0, 0].numpy(), truth[0, 0].numpy()
