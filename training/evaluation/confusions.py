"""Confusion matrices, frame by frame, so that frames can be drawn again for intervals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.label_spaces import LabelSpace
from open_set_seg.metrics import ConfusionMatrix
from training.evaluation.measures import intervals_of
from training.evaluation.seen import SeenFrame

Weights = NDArray[np.integer[Any]]
Values = NDArray[np.float64]


class FrameConfusions:
    """The confusion matrix of every frame; an accumulator.

    Args:
        kind: of the matrices: closed set or open world.
        num_classes: K.
    """

    def __init__(self, kind: type[ConfusionMatrix], num_classes: int) -> None:
        self._kind, self._classes = kind, num_classes
        self._frames: dict[str, NDArray[np.int64]] = {}

    @property
    def ids(self) -> list[str]:
        """Of the frames, sorted: the columns of weights."""
        return sorted(self._frames)

    def add(self, frame_id: str, truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> None:
        """Count the pixels of a frame that was not counted before."""
        if frame_id in self._frames:
            raise ValueError(f"{frame_id} was counted before")
        matrix = self._kind(self._classes)
        matrix.add(truth, predicted)
        self._frames[frame_id] = matrix.counts

    def merge(self, other: FrameConfusions) -> None:
        """Take in the frames of another one."""
        twice = self._frames.keys() & other._frames.keys()
        if twice:
            raise ValueError(f"{min(twice)} was counted twice")
        self._frames |= other._frames

    def save(self, folder: Path) -> None:
        """Write everything into an empty folder."""
        (folder / "ids.json").write_text(json.dumps(self.ids) + "\n", encoding="utf-8")
        np.save(folder / "counts.npy", self._stacked())

    def fill(self, folder: Path) -> FrameConfusions:
        """Read what ``save`` wrote into this empty one."""
        ids = json.loads((folder / "ids.json").read_text(encoding="utf-8"))
        counts = np.load(folder / "counts.npy", allow_pickle=False)
        self._frames = dict(zip(ids, counts, strict=True))
        return self

    def total(self) -> ConfusionMatrix:
        """All frames together."""
        matrix = self._kind(self._classes)
        matrix.counts = self._stacked().sum(axis=0)
        return matrix

    def resampled(self, weights: Weights) -> NDArray[np.int64]:
        """(B, L, L) the totals of B draws of the frames, from weights (B, n)."""
        stacked = self._stacked()
        flat = weights.astype(np.int64) @ stacked.reshape(len(stacked), -1)
        return np.asarray(flat.reshape(len(weights), *stacked.shape[1:]), np.int64)

    def _stacked(self) -> NDArray[np.int64]:
        empty = self._kind(self._classes).counts
        if not self._frames:
            return np.zeros((0, *empty.shape), np.int64)
        return np.stack([self._frames[name] for name in self.ids])


def mean_ious(counts: NDArray[np.int64], labels: Sequence[int]) -> Values:
    """(B,) mean IoU over those of ``labels`` that occur, of confusion matrices (B, L, L)."""
    hits = np.diagonal(counts, axis1=1, axis2=2)
    union = counts.sum(axis=1) + counts.sum(axis=2) - hits
    iou = np.full(hits.shape, np.nan)
    np.divide(hits, union, out=iou, where=union > 0)
    chosen = iou[:, list(labels)]
    present = ~np.isnan(chosen)
    number = present.sum(axis=1)
    means = np.full(len(counts), np.nan)
    np.divide(np.where(present, chosen, 0.0).sum(axis=1), number, out=means, where=number > 0)
    return means


def accuracies(counts: NDArray[np.int64]) -> Values:
    """(B,) share of pixels with the right label."""
    total = counts.sum(axis=(1, 2))
    right = np.trace(counts, axis1=1, axis2=2)
    shares = np.full(len(counts), np.nan)
    np.divide(right, total, out=shares, where=total > 0)
    return shares


@dataclass(frozen=True)
class ClosedSet:
    """The confusion of known classes; outliers are not counted."""

    label_space: LabelSpace
    resamples: int = 0

    @property
    def key(self) -> str:
        """See ``Measure``."""
        return "closed_set"

    def begin(self) -> FrameConfusions:
        """See ``Measure``."""
        return FrameConfusions(ConfusionMatrix, self.label_space.num_classes)

    def load(self, folder: Path) -> FrameConfusions:
        """See ``Measure``."""
        return self.begin().fill(folder)

    def add(self, confusions: FrameConfusions, seen: SeenFrame) -> None:
        """See ``Measure``."""
        confusions.add(seen.frame.id, seen.labels, seen.nearest)

    def report(self, confusions: FrameConfusions, result: dict[str, Any]) -> None:
        """See ``Measure``."""
        confusion, classes = confusions.total(), self.label_space.classes

        def statistics(weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
            counts = confusions.resampled(weights)
            miou = mean_ious(counts, range(len(classes)))
            each = {name: mean_ious(counts, [label]) for label, name in enumerate(classes)}
            return {"mIoU": miou, "pixel_accuracy": accuracies(counts), **each}

        result["closed_set"] = {
            "mIoU": confusion.mean_iou(),
            "pixel_accuracy": confusion.pixel_accuracy(),
            "class_IoU": dict(zip(classes, confusion.class_iou().tolist(), strict=True)),
            "intervals": intervals_of(statistics, len(confusions.ids), self.resamples),
        }
