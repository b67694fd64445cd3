"""Measures whose threshold comes from a first look at all frames: components and open-mIoU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from open_set_seg.frame import LabelImage
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.metrics import (
    ComponentCounts,
    ConfusionMatrix,
    OpenSetFold,
    OpenWorldConfusionMatrix,
    ScoreCounts,
    open_set_labels,
    open_set_metrics,
    other_fold,
)
from open_set_seg.metrics.bootstrap import image_intervals
from open_set_seg.metrics.protocols import ComponentRule, OpenSetRule
from open_set_seg.metrics.score_counts.counts import MEMORY_LIMIT
from training.evaluation.measures import LEVEL, interval_values
from training.evaluation.seen import SeenFrame
from training.evaluation.sources import EvaluationError, ScoreMap


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
        found = None
        if self.resamples:
            found = interval_values(
                image_intervals(counts.statistics, len(counts.ids), self.resamples, LEVEL)
            )
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
        if not counts.outliers:
            raise EvaluationError(f"the fold {self.group!r} has no outlier to find a threshold by")
        threshold = counts.threshold_at_tpr(self.rule.tpr, strict=True)
        result["thresholds"].setdefault(self.score, {})[self.group] = threshold


class FoldCounts:
    """Confusion matrices and numbers of frames by fold; an accumulator.

    Args:
        num_classes: K.
        groups: names of the folds.
    """

    def __init__(self, num_classes: int, groups: tuple[str, ...]) -> None:
        self.open_world = {group: OpenWorldConfusionMatrix(num_classes) for group in groups}
        self.closed_set = {group: ConfusionMatrix(num_classes) for group in groups}
        self.images = dict.fromkeys(groups, 0)

    def merge(self, other: FoldCounts) -> None:
        """Add the counts of other frames."""
        for group in self.images:
            self.open_world[group].merge(other.open_world[group])
            self.closed_set[group].merge(other.closed_set[group])
            self.images[group] += other.images[group]

    def save(self, folder: Path) -> None:
        """Write everything into an empty folder."""
        for group in self.images:
            for name, matrix in self._matrices(group):
                (folder / group / name).mkdir(parents=True)
                matrix.save(folder / group / name)
        (folder / "images.json").write_text(json.dumps(self.images) + "\n", encoding="utf-8")

    def fill(self, folder: Path) -> FoldCounts:
        """Read what ``save`` wrote into this empty one."""
        for group in self.images:
            for name, matrix in self._matrices(group):
                matrix.merge(type(matrix).load(folder / group / name))
        self.images = json.loads((folder / "images.json").read_text(encoding="utf-8"))
        return self

    def _matrices(self, group: str) -> tuple[tuple[str, Any], ...]:
        return ("open_world", self.open_world[group]), ("closed_set", self.closed_set[group])


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
        group = seen.frame.group
        threshold = self.thresholds[other_fold(self.rule.groups, group)]
        scores, classes = seen.score(self.score), self.label_space.num_classes
        opened = open_set_labels(seen.nearest, scores, threshold, classes)
        counts.open_world[group].add(seen.labels, opened)
        counts.closed_set[group].add(seen.labels, seen.nearest)
        counts.images[group] += 1

    def report(self, counts: FoldCounts, result: dict[str, Any]) -> None:
        """See ``Measure``."""
        folds = [
            OpenSetFold(
                group,
                images,
                self.thresholds[other_fold(self.rule.groups, group)],
                counts.open_world[group],
                counts.closed_set[group],
            )
            for group, images in counts.images.items()
        ]
        metrics = asdict(open_set_metrics(folds))
        described = [self._describe(fold) for fold in folds]
        result["scores"][self.score]["open_set"] = {**metrics, "folds": described}

    def _describe(self, fold: OpenSetFold) -> dict[str, Any]:
        names = (*self.label_space.classes, "unknown")
        iou = fold.open_world.class_iou().tolist()
        return {
            "group": fold.group,
            "images": fold.images,
            "threshold": fold.threshold,
            "open_mIoU": fold.open_world.open_mean_iou(),
            "closed_mIoU": fold.closed_set.mean_iou(),
            "mIoU_K_plus_1": fold.open_world.mean_iou_with_unknown(),
            "unknown_IoU": fold.open_world.unknown_iou(),
            "class_IoU": dict(zip(names[:-1], iou, strict=False)),
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
