"""How well an anomaly score separates outlier pixels from inlier pixels.

All numbers are exact: no binning, and ties count as what they are. Only thresholds at scores of
outliers matter (between two of them the recall stands still while the false positives grow), so
the scores of inliers are kept as sorted runs, one per frame, and are only ever counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

INLIER, OUTLIER, IGNORE = 0, 1, 255


@dataclass(frozen=True)
class PixelProtocol:
    """What the conventions of a benchmark are.

    Attributes:
        pooling: ``pixels``: all pixels of all frames form one sample.
        recall_rule: the operating point of FPR95 is the first point of the curve, from the highest
            threshold down, with TPR ``>=`` 0.95.
        source: where the convention comes from.
    """

    pooling: Literal["pixels"]
    recall_rule: Literal[">="]
    source: str


PROTOCOLS = {
    "fishyscapes": PixelProtocol(
        pooling="pixels",
        recall_rule=">=",
        source="Fishyscapes (bdlb), and SegmentMeIfYouCan but for its binned thresholds",
    ),
}


def pixel_metrics(
    frames: Iterable[tuple[NDArray[np.floating[Any]], NDArray[np.uint8]]],
    protocol: str = "fishyscapes",
) -> dict[str, float]:
    """AP, FPR95, AUROC and best F1 of an anomaly score (higher is more anomalous).

    With TP(t), FP(t) the outliers and inliers of score >= t, P and N their numbers:
    AP = sum over thresholds of (recall step) x precision, no interpolation; FPR95 = FP / N at the
    first threshold, from the top, with TP / P >= 0.95; AUROC = the chance that an outlier scores
    above an inlier, ties counting half; best_F1 = max of 2 TP / (P + TP + FP), at the highest
    threshold that reaches it. All in [0, 1].

    Args:
        frames: (scores, labels) of equal shape per frame; labels 0 inlier, 1 outlier, 255 ignore.
            Consumed once; 4 bytes per inlier of float32 scores are kept.
        protocol: key of ``PROTOCOLS``.

    Raises:
        ValueError: an unknown protocol, shapes that differ, labels other than 0, 1, 255, a score
            that is NaN on a counted pixel, or no outlier or no inlier at all.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    outlier_scores: list[NDArray[np.floating[Any]]] = []
    inlier_runs: list[NDArray[np.floating[Any]]] = []
    for scores, labels in frames:
        outliers, inliers = _split(scores, labels)
        outlier_scores.append(outliers)
        inlier_runs.append(np.sort(inliers))
    positives = sum(run.size for run in outlier_scores)
    negatives = sum(run.size for run in inlier_runs)
    if positives == 0 or negatives == 0:
        raise ValueError(
            f"the metrics need outliers and inliers, but there are {positives} and {negatives}"
        )
    thresholds, counts = np.unique(np.concatenate(outlier_scores), return_counts=True)
    reached, above = _count_inliers(inlier_runs, thresholds)
    return _curve_metrics(thresholds[::-1], counts[::-1], reached[::-1], above[::-1], negatives)


def _split(
    scores: NDArray[np.floating[Any]], labels: NDArray[np.uint8]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Scores of the outliers and of the inliers."""
    if scores.shape != labels.shape:
        raise ValueError(f"scores of shape {scores.shape} but labels of shape {labels.shape}")
    outlier, inlier = labels == OUTLIER, labels == INLIER
    if not np.all(outlier | inlier | (labels == IGNORE)):
        raise ValueError("labels are 0 (inlier), 1 (outlier) and 255 (ignore)")
    outliers, inliers = scores[outlier], scores[inlier]
    if np.isnan(outliers).any() or np.isnan(inliers).any():
        raise ValueError("a score is NaN: it is neither above nor below any threshold")
    return outliers, inliers


def _count_inliers(
    runs: list[NDArray[np.floating[Any]]], thresholds: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each threshold the number of inliers that reach it, and that lie above it."""
    reached = np.zeros(thresholds.size, np.int64)
    above = np.zeros(thresholds.size, np.int64)
    for run in runs:
        reached += run.size - np.searchsorted(run, thresholds, side="left")
        above += run.size - np.searchsorted(run, thresholds, side="right")
    return reached, above


def _curve_metrics(
    thresholds: NDArray[np.floating[Any]],
    counts: NDArray[np.int64],
    false_positives: NDArray[np.int64],
    inliers_above: NDArray[np.int64],
    negatives: int,
) -> dict[str, float]:
    """The metrics from counts at descending thresholds."""
    true_positives = np.cumsum(counts)
    positives = int(true_positives[-1])
    precision = true_positives / (true_positives + false_positives)
    f1 = 2 * true_positives / (positives + true_positives + false_positives)
    # In integers, 100 TP >= 95 P: 0.95 itself has no exact binary form.
    operating_point = int(np.argmax(100 * true_positives >= 95 * positives))
    best = int(np.argmax(f1))
    # An outlier loses to the inliers above it and to half of those that it ties with.
    lost = float(np.sum(counts * ((false_positives + inliers_above) / 2)))
    return {
        "AP": float(np.sum(counts * precision)) / positives,
        "FPR95": int(false_positives[operating_point]) / negatives,
        "AUROC": 1 - lost / positives / negatives,
        "best_F1": float(f1[best]),
        "best_F1_threshold": float(thresholds[best]),
    }
