"""Segmentation quality: confusion matrices and the intersection over union read off them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.label_spaces import UNLABELLED

if TYPE_CHECKING:
    from typing_extensions import Self

FILE = "confusion.npy"


class ConfusionMatrix:
    """Counts of true against predicted classes, pooled over all pixels of all frames.

    Args:
        num_classes: K. True labels from K up (*unknown*, *unlabelled*, outliers) are not counted.

    Attributes:
        num_classes: K.
        counts: (K, K) int64, rows are true classes and columns predicted ones.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ValueError(f"a confusion matrix needs at least one class, not {num_classes}")
        self.num_classes = num_classes
        labels = self._counted_labels()
        self.counts: NDArray[np.int64] = np.zeros((labels, labels), np.int64)

    def _counted_labels(self) -> int:
        return self.num_classes

    def add(self, truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]]) -> None:
        """Count the pixels of a frame.

        Raises:
            ValueError: shapes that differ, or a prediction that is none of the matrix's columns on
                a counted pixel.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f"truth is {truth.shape} but the prediction {predicted.shape}")
        labels = self.counts.shape[0]
        counted = (truth >= 0) & (truth < labels)
        true, guess = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
        if guess.size and not 0 <= guess.min() <= guess.max() < labels:
            raise ValueError(f"a predicted label is not one of the {labels} classes")
        pairs = np.bincount(true * labels + guess, minlength=labels * labels)
        self.counts += pairs.reshape(labels, labels)

    def merge(self, other: Self) -> None:
        """Add the counts of another matrix of the same kind.

        Raises:
            ValueError: another kind, or another number of classes.
        """
        if type(other) is not type(self) or other.num_classes != self.num_classes:
            raise ValueError(
                f"a {type(self).__name__} of {self.num_classes} classes cannot take in a "
                f"{type(other).__name__} of {other.num_classes}"
            )
        self.counts += other.counts

    def save(self, folder: Path) -> None:
        """Write the counts into an empty folder."""
        np.save(folder / FILE, self.counts)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            ValueError: the file holds no counts of this kind of matrix.
        """
        counts = np.load(folder / FILE, allow_pickle=False)
        unknown = cls(1)._counted_labels() - 1
        square = counts.ndim == 2 and counts.shape[0] == counts.shape[1] > unknown
        if not square or counts.dtype != np.int64 or counts.min() < 0:
            raise ValueError(
                f"{folder / FILE}: counts are square int64 and not negative, this is "
                f"{counts.shape} {counts.dtype}"
            )
        matrix = cls(counts.shape[0] - unknown)
        matrix.counts = counts
        return matrix

    def class_iou(self) -> NDArray[np.float64]:
        """TP / (TP + FP + FN) of every row, in [0, 1]; NaN for a label neither true nor predicted.

        Shape (K,); (K + 1,) with *unknown* last in an open world.
        """
        hits = np.diagonal(self.counts).astype(np.float64)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - hits
        iou = np.full(hits.shape, np.nan)
        np.divide(hits, union, out=iou, where=union > 0)
        return iou

    def mean_iou(self) -> float:
        """Mean of ``class_iou`` over the known classes that occur; NaN if none does."""
        return _mean_of_present(self.class_iou()[: self.num_classes])

    def pixel_accuracy(self) -> float:
        """Share of counted pixels with the right label; NaN if nothing was counted."""
        total = int(self.counts.sum())
        return int(np.trace(self.counts)) / total if total else float("nan")


class OpenWorldConfusionMatrix(ConfusionMatrix):
    """The same with *unknown* as label K: outliers are its truth, rejected pixels its prediction.

    Args:
        num_classes: K, the known classes. The truth is 0..K-1, K on outliers and 255 on pixels that
            are not counted; the prediction 0..K.

    Attributes:
        counts: (K + 1, K + 1) int64.
    """

    def _counted_labels(self) -> int:
        return self.num_classes + 1

    def add(self, truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]]) -> None:
        """Count the pixels of a frame.

        Raises:
            ValueError: as ``ConfusionMatrix.add``, or a true label other than 0..K and 255.
        """
        strange = (truth < 0) | ((truth > self.num_classes) & (truth != UNLABELLED))
        if strange.any():
            raise ValueError(
                f"true labels are 0 to {self.num_classes} and {UNLABELLED} (ignored), not "
                f"{int(truth[strange].flat[0])}"
            )
        super().add(truth, predicted)

    def open_mean_iou(self) -> float:
        """open-mIoU: mean IoU of the K known classes, outliers counting against them.

        An outlier that is taken for class k is a false positive of k, a pixel of k that is
        rejected a false negative; the IoU of *unknown* itself takes no part. It equals the
        closed-set mIoU where detection is perfect. Source: DenseHybrid (ECCV 2022).
        """
        return self.mean_iou()

    def unknown_iou(self) -> float:
        """IoU of *unknown*; NaN where it is neither true nor predicted."""
        return float(self.class_iou()[self.num_classes])

    def mean_iou_with_unknown(self) -> float:
        """Mean IoU over the K + 1 labels that occur, *unknown* among them; NaN if none does."""
        return _mean_of_present(self.class_iou())


def _mean_of_present(iou: NDArray[np.float64]) -> float:
    present = iou[~np.isnan(iou)]
    return float(present.mean()) if present.size else float("nan")
