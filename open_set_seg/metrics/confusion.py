"""Closed-set segmentation quality: the confusion matrix and the intersection over union."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class ConfusionMatrix:
    """Counts of true against predicted classes, pooled over all pixels of all frames.

    Args:
        num_classes: K. True labels from K up (*unknown*, *unlabelled*, outliers) are not counted.

    Attributes:
        counts: (K, K) int64, rows are true classes and columns predicted ones.
    """

    def __init__(self, num_classes: int) -> None:
        self.counts: NDArray[np.int64] = np.zeros((num_classes, num_classes), np.int64)

    def add(self, truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]]) -> None:
        """Count the pixels of a frame.

        Raises:
            ValueError: shapes that differ, or a prediction outside 0..K-1 on a counted pixel.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f"truth is {truth.shape} but the prediction {predicted.shape}")
        classes = self.counts.shape[0]
        counted = (truth >= 0) & (truth < classes)
        true, guess = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
        if guess.size and not 0 <= guess.min() <= guess.max() < classes:
            raise ValueError(f"a predicted label is not one of the {classes} classes")
        pairs = np.bincount(true * classes + guess, minlength=classes * classes)
        self.counts += pairs.reshape(classes, classes)

    def class_iou(self) -> NDArray[np.float64]:
        """(K,) TP / (TP + FP + FN), in [0, 1]; NaN for a class neither true nor predicted."""
        hits = np.diagonal(self.counts).astype(np.float64)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - hits
        iou = np.full(hits.shape, np.nan)
        np.divide(hits, union, out=iou, where=union > 0)
        return iou

    def mean_iou(self) -> float:
        """Mean of ``class_iou`` over the classes that occur; NaN if nothing was counted."""
        iou = self.class_iou()
        present = iou[~np.isnan(iou)]
        return float(present.mean()) if present.size else float("nan")

    def pixel_accuracy(self) -> float:
        """Share of counted pixels with the right class; NaN if nothing was counted."""
        total = int(self.counts.sum())
        return int(np.trace(self.counts)) / total if total else float("nan")
