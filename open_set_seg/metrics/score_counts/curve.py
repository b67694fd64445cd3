"""Metrics from the counts at descending thresholds, which come in pieces.

Every figure is a quotient of integers that add up exactly, so it does not depend on how the
thresholds were cut into pieces.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.protocols import PixelRule

Counts = NDArray[np.int64]

# Precisions are added as multiples of 2^-52, in two halves whose weighted sums fit 64 bits for up
# to 2^36 pixels.
_PRECISION_BITS = 52
_HALF = 26


@dataclass(frozen=True, eq=False)
class Piece:
    """Neighbouring points of the curve, from the highest threshold down.

    Attributes:
        scores: (n,) descending, distinct.
        outliers: (n,) number of outliers with exactly this score.
        inliers: likewise.
        true_positives: (n,) outliers of this score and above.
        false_positives: likewise.
    """

    scores: NDArray[np.floating[Any]]
    outliers: Counts
    inliers: Counts
    true_positives: Counts
    false_positives: Counts


@dataclass(frozen=True, eq=False)
class Curve:
    """Points of a curve, thinned for drawing.

    Attributes:
        thresholds: (n,) descending; a pixel is predicted outlier at score >= threshold.
        true_positives: (n,) outliers that reach the threshold.
        false_positives: (n,) inliers that reach it.
        outliers: number of all outliers.
        inliers: number of all inliers.
    """

    thresholds: NDArray[np.float64]
    true_positives: Counts
    false_positives: Counts
    outliers: int
    inliers: int


def accumulate(
    steps: Iterable[tuple[NDArray[np.floating[Any]], Counts, Counts]],
) -> Iterator[Piece]:
    """Pieces of the curve from (scores, outliers, inliers) at descending scores."""
    true_positives = false_positives = 0
    for scores, outliers, inliers in steps:
        above = true_positives + np.cumsum(outliers), false_positives + np.cumsum(inliers)
        yield Piece(scores, outliers, inliers, *above)
        true_positives, false_positives = int(above[0][-1]), int(above[1][-1])


def curve_metrics(
    pieces: Iterable[Piece], outliers: int, inliers: int, rule: PixelRule
) -> dict[str, float]:
    """AP, FPR95, AUROC, best_F1 and best_F1_threshold; all but the last in [0, 1]."""
    precision = lost = 0
    best_f1, best_threshold = -1.0, math.nan
    point = OperatingPoint(rule, outliers)
    for piece in pieces:
        point.see(piece)
        # Where no outlier is, the recall stands still and the precision falls.
        at = np.flatnonzero(piece.outliers)
        if not at.size:
            continue
        found, true, false = (
            counts[at] for counts in (piece.outliers, piece.true_positives, piece.false_positives)
        )
        units = np.rint(np.ldexp(true / (true + false), _PRECISION_BITS)).astype(np.int64)
        precision += _dot(found, units)
        # Twice the pairs in which an outlier does not score above an inlier; ties count half.
        lost += _dot(found, 2 * false - piece.inliers[at])
        f1 = 2 * true / (outliers + true + false)
        best = int(np.argmax(f1))
        if f1[best] > best_f1:
            best_f1, best_threshold = float(f1[best]), float(piece.scores[at[best]])
    pairs = 2 * outliers * inliers
    return {
        "AP": precision / (outliers << _PRECISION_BITS),
        "FPR95": point.false_positives / inliers,
        "AUROC": (pairs - lost) / pairs,
        "best_F1": best_f1,
        "best_F1_threshold": best_threshold,
    }


def _dot(weights: Counts, values: Counts) -> int:
    """Exact scalar product of integers below 2^36 in sum and 2^53 each."""
    low = int(np.dot(weights, values & ((1 << _HALF) - 1)))
    return (int(np.dot(weights, values >> _HALF)) << _HALF) + low


def needed_outliers(tpr: float, outliers: int, strict: bool) -> int:
    """The fewest true positives whose TPR is >= ``tpr``, or > ``tpr``.

    The rate is taken as the decimal that it is written as: 0.95 is nineteen twentieths.

    Raises:
        ValueError: a rate that no threshold can reach.
    """
    exact = Fraction(repr(float(tpr))) * outliers
    needed = math.floor(exact) + 1 if strict else math.ceil(exact)
    if not 0 <= tpr <= 1 or needed > outliers:
        raise ValueError(f"no threshold has a TPR {'>' if strict else '>='} {tpr}")
    return max(needed, 1)


class OperatingPoint:
    """Finds the point of the curve at which a rule reads the FPR.

    Attributes:
        threshold: of that point; NaN until it was found.
        false_positives: at that point.
    """

    def __init__(self, rule: PixelRule, outliers: int) -> None:
        self.threshold = math.nan
        self.false_positives = 0
        self._rule = rule
        self._outliers = outliers
        self._closest = math.inf
        self._found = self._settled = False
        self._step = (-1, -1)
        if rule.operating_point != "closest":
            strict = rule.operating_point != "at_least"
            self._needed = needed_outliers(rule.tpr, outliers, strict)

    def see(self, piece: Piece) -> None:
        """Look at the next points."""
        if self._settled:
            return
        if self._rule.operating_point == "closest":
            self._see_closest(piece)
        elif self._rule.operating_point == "above_thinned":
            self._see_thinned(piece)
        else:
            at = int(np.searchsorted(piece.true_positives, self._needed))
            if at < piece.scores.size:
                self._take(piece, at)
                self._settled = True

    def _take(self, piece: Piece, at: int) -> None:
        self.threshold = float(piece.scores[at])
        self.false_positives = int(piece.false_positives[at])

    def _see_closest(self, piece: Piece) -> None:
        """The TPR closest to that wanted; of equally close ones that of the lowest threshold.

        But where all outliers are found the first such point counts. Rates are compared as
        float64, as hendrycks' code does.
        """
        stop = int(np.searchsorted(piece.true_positives, self._outliers)) + 1
        self._settled = stop <= piece.scores.size
        distance = np.abs(piece.true_positives[:stop] / self._outliers - self._rule.tpr)
        last = distance.size - 1 - int(np.argmin(distance[::-1]))
        if distance[last] <= self._closest:
            self._closest = float(distance[last])
            self._take(piece, last)

    def _see_thinned(self, piece: Piece) -> None:
        """The first point above the rate that scikit-learn's ``drop_intermediate`` keeps.

        A point goes if the step to it and the step from it are the same, in true and in false
        positives; the first and the last point stay.
        """
        steps = np.stack([piece.outliers, piece.inliers])
        at = 0
        if not self._found:
            at = int(np.searchsorted(piece.true_positives, self._needed))
            if at == piece.scores.size:
                return
            self._found = True
            first_of_all = at == 0 and piece.true_positives[0] == piece.outliers[0]
            first_of_all &= bool(piece.false_positives[0] == piece.inliers[0])
            self._step = (int(steps[0, at]), int(steps[1, at]))
            self._take(piece, at)
            self._settled = first_of_all
            at += 1
        differs = np.any(steps[:, at:] != np.array(self._step)[:, None], axis=0)
        stop = at + int(np.argmax(differs)) if differs.any() else piece.scores.size
        if not self._settled and stop > at:
            self._take(piece, stop - 1)
        self._settled |= stop < piece.scores.size


def thin(pieces: Iterable[Piece], outliers: int, inliers: int, points: int) -> Curve:
    """At most ``points`` of a curve, the first and the last among them.

    A point is kept where TPR or FPR enters the next of ``points`` / 2 - 1 equal intervals.

    Raises:
        ValueError: fewer than four points.
    """
    if points < 4:
        raise ValueError(f"a curve needs four points or more, not {points}")
    bins = points // 2 - 1
    kept: list[tuple[NDArray[np.float64], Counts, Counts]] = []
    before = -1, -1
    for piece in pieces:
        rows = (
            (piece.true_positives * bins) // max(outliers, 1),
            (piece.false_positives * bins) // max(inliers, 1),
        )
        enters = np.zeros(piece.scores.size, bool)
        for row, previous in zip(rows, before, strict=True):
            enters |= np.diff(row, prepend=previous) != 0
        if kept:  # it was the last point so far, and is not the last of all
            kept.pop()
        kept += [_points(piece, enters), _points(piece, slice(-1, None) if not enters[-1] else [])]
        before = int(rows[0][-1]), int(rows[1][-1])
    empty = np.empty(0, np.int64)
    thresholds = np.concatenate([np.empty(0), *(part[0] for part in kept)])
    counts = [np.concatenate([empty, *(part[row] for part in kept)]) for row in (1, 2)]
    return Curve(thresholds, counts[0], counts[1], outliers, inliers)


def _points(piece: Piece, chosen: Any) -> tuple[NDArray[np.float64], Counts, Counts]:
    return (
        piece.scores[chosen].astype(np.float64),
        piece.true_positives[chosen],
        piece.false_positives[chosen],
    )
