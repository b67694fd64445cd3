"""Counts what differs between two networks that look at the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from open_set_seg.frame import LabelImage, Prediction
from open_set_seg.label_spaces import UNLABELLED, LabelSpace
from open_set_seg.metrics import ConfusionMatrix, ScoreCounts

# Of the two networks' score counts together; what is beyond lies in scratch files.
MEMORY = 512 * 2**20


@dataclass(frozen=True)
class Quality:
    """How good a network is on labelled frames; all in [0, 1], None where it cannot be said.

    Attributes:
        ap, fpr95: of the published score, all pixels of all frames pooled (Fishyscapes' rules).
        miou: of the known classes, unknown and unlabelled pixels left out.
    """

    ap: float | None = None
    fpr95: float | None = None
    miou: float | None = None


@dataclass(frozen=True)
class Figures:
    """What changed from the reference to the candidate.

    Attributes:
        frames, pixels: that were compared.
        max_score_difference: largest absolute difference of the published score at a pixel.
        mean_score_difference: its mean over all pixels.
        classes_changed: share of the pixels whose nearest class differs.
        decisions_changed: share of the pixels that are unknown for one of them alone, at the
            frozen threshold.
        reference, candidate: the quality of each.
    """

    frames: int
    pixels: int
    max_score_difference: float
    mean_score_difference: float
    classes_changed: float
    decisions_changed: float
    reference: Quality
    candidate: Quality

    @property
    def changes(self) -> dict[str, float | None]:
        """What limits are set on, by name: the differences, and |candidate - reference|."""
        return {
            "max_score_difference": self.max_score_difference,
            "mean_score_difference": self.mean_score_difference,
            "classes_changed": self.classes_changed,
            "decisions_changed": self.decisions_changed,
            "ap_change": _distance(self.reference.ap, self.candidate.ap),
            "fpr95_change": _distance(self.reference.fpr95, self.candidate.fpr95),
            "miou_change": _distance(self.reference.miou, self.candidate.miou),
        }


class Comparison:
    """Accumulates the differences over frames.

    Args:
        label_space: of both networks.
        truth: label space of the labels; None without truth. Only outliers are read off labels
            with other classes than the networks'.
    """

    def __init__(self, label_space: LabelSpace, truth: LabelSpace | None) -> None:
        self._truth = truth
        same = truth is not None and truth.classes == label_space.classes
        self._confusions = [ConfusionMatrix(label_space.num_classes) for _ in range(2)]
        self._with_classes = same
        self._counts = [ScoreCounts(MEMORY // 2) for _ in range(2)]
        self._frames = self._pixels = self._classes = self._decisions = 0
        self._largest = self._sum = 0.0

    def add(
        self, reference: Prediction, candidate: Prediction, labels: LabelImage | None = None
    ) -> None:
        """Count a frame that both have answered.

        Raises:
            ValueError: sizes or thresholds that differ.
        """
        if reference.anomaly.shape != candidate.anomaly.shape:
            raise ValueError(
                f"expected answers of one size, found {reference.anomaly.shape} and "
                f"{candidate.anomaly.shape}"
            )
        if reference.threshold != candidate.threshold:
            raise ValueError(
                f"expected one threshold, found {reference.threshold} and {candidate.threshold}"
            )
        difference = np.abs(reference.anomaly.astype(np.float64) - candidate.anomaly)
        self._frames += 1
        self._pixels += difference.size
        self._largest = max(self._largest, float(difference.max()))
        self._sum += float(difference.sum())
        self._classes += int((reference.nearest != candidate.nearest).sum())
        unknown = [p.anomaly > p.threshold for p in (reference, candidate)]
        self._decisions += int((unknown[0] != unknown[1]).sum())
        if labels is not None and self._truth is not None:
            self._judge((reference, candidate), labels, self._truth)

    def figures(self) -> Figures:
        """Of everything that was added; ``ValueError`` if that is nothing."""
        if not self._frames:
            raise ValueError("expected frames to compare two networks on, found none")
        reference, candidate = (self._quality(index) for index in range(2))
        return Figures(
            frames=self._frames,
            pixels=self._pixels,
            max_score_difference=self._largest,
            mean_score_difference=self._sum / self._pixels,
            classes_changed=self._classes / self._pixels,
            decisions_changed=self._decisions / self._pixels,
            reference=reference,
            candidate=candidate,
        )

    def _judge(
        self, answers: tuple[Prediction, Prediction], labels: LabelImage, truth: LabelSpace
    ) -> None:
        outliers = (labels == truth.unknown_id).astype(np.uint8)
        outliers[labels == UNLABELLED] = 255
        for counts, confusion, answer in zip(self._counts, self._confusions, answers, strict=True):
            counts.add(answer.anomaly, outliers)
            if self._with_classes:
                confusion.add(labels, answer.nearest)

    def _quality(self, index: int) -> Quality:
        counts, miou = self._counts[index], self._confusions[index].mean_iou()
        ap = fpr95 = None
        if counts.outliers and counts.inliers:
            metrics = counts.metrics()
            ap, fpr95 = metrics["AP"], metrics["FPR95"]
        return Quality(ap, fpr95, None if math.isnan(miou) else miou)


def _distance(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else abs(other - one)
