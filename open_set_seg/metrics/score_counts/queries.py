"""What can be asked of a threshold curve, however it was counted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np

from open_set_seg.metrics.protocols import PixelRule
from open_set_seg.metrics.score_counts.curve import (
    Curve,
    OperatingPoint,
    Piece,
    curve_metrics,
    thin,
)


class ThresholdCurve(ABC):
    """True and false positives at descending thresholds.

    Attributes:
        kind: ``PixelRule.curve`` of the rules that it answers to.
    """

    kind: ClassVar[Literal["exact", "smiyc_binned"]]

    @property
    @abstractmethod
    def outliers(self) -> int:
        """Number of outlier pixels."""

    @property
    @abstractmethod
    def inliers(self) -> int:
        """Number of inlier pixels."""

    @abstractmethod
    def _pieces(self) -> Iterator[Piece]:
        """The curve from the highest threshold down."""

    def metrics(self, rule: PixelRule | None = None) -> dict[str, float]:
        """AP, FPR95, AUROC, best_F1 and best_F1_threshold of all pixels together.

        With TP(t), FP(t) the outliers and inliers of score >= t, P and N their numbers:
        AP = sum over thresholds of (recall step) x precision, no interpolation; FPR95 = FP / N at
        the rule's operating point; AUROC = the chance that an outlier scores above an inlier, ties
        counting half; best_F1 = max of 2 TP / (P + TP + FP), at the highest threshold that reaches
        it. All in [0, 1], and right to the rounding of the last quotient.

        Args:
            rule: which operating point; None: the first with TPR >= 0.95.

        Raises:
            ValueError: no outlier or no inlier was counted, or a rule of another kind of curve.
        """
        rule = rule or PixelRule()
        if rule.curve != self.kind:
            raise ValueError(f"the rule wants a curve of kind {rule.curve}, not {self.kind}")
        self._require_both()
        return curve_metrics(self._pieces(), self.outliers, self.inliers, rule)

    def threshold_at_tpr(self, tpr: float, strict: bool = False) -> float:
        """The highest score t with TPR(t) >= ``tpr`` (``strict``: >), TPR counting scores >= t.

        Raises:
            ValueError: no outlier was counted, or a rate outside [0, 1] or that no score reaches.
        """
        if not self.outliers:
            raise ValueError("a threshold at a TPR needs outliers, but there are none")
        point = OperatingPoint(
            PixelRule(operating_point="above" if strict else "at_least", tpr=tpr), self.outliers
        )
        for piece in self._pieces():
            point.see(piece)
        return point.threshold

    def threshold_at_fpr(self, fpr: float) -> float:
        """The lowest score t with FPR(t) <= ``fpr``, FPR counting scores >= t; inf if none has.

        Raises:
            ValueError: no inlier was counted, or a rate outside [0, 1].
        """
        if not self.inliers or not 0 <= fpr <= 1:
            raise ValueError(f"{self.inliers} inliers give no threshold at an FPR of {fpr}")
        # As for the TPR, the rate is the decimal that it is written as: 0.29 of 100 is 29.
        allowed = math.floor(Fraction(repr(float(fpr))) * self.inliers)
        threshold = math.inf
        for piece in self._pieces():
            stop = int(np.searchsorted(piece.false_positives, allowed, side="right"))
            if stop:
                threshold = float(piece.scores[stop - 1])
            if stop < piece.scores.size:
                break
        return threshold

    def curve(self, points: int = 1000) -> Curve:
        """TP and FP at up to ``points`` thresholds, thinned for drawing; the ends are kept."""
        return thin(self._pieces(), self.outliers, self.inliers, points)

    def _require_both(self) -> None:
        if not self.outliers or not self.inliers:
            raise ValueError(
                f"the metrics need outliers and inliers, but there are {self.outliers} and "
                f"{self.inliers}"
            )
