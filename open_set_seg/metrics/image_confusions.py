"""Confusion matrices, image by image, so that images can be drawn again for intervals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.confusion import ConfusionMatrix, OpenWorldConfusionMatrix

if TYPE_CHECKING:
    from typing_extensions import Self

FILE = "image_confusions.json"

Weights = NDArray[np.integer[Any]]
Values = NDArray[np.float64]


class ImageConfusions:
    """The confusion matrix of every image.

    Args:
        num_classes: K.
        open_world: whether *unknown* is a label of the matrices too.
    """

    def __init__(self, num_classes: int, open_world: bool = False) -> None:
        self.num_classes, self.open_world = num_classes, open_world
        self._images: dict[str, NDArray[np.int64]] = {}

    @property
    def ids(self) -> list[str]:
        """Of all images, sorted: the columns of the weights."""
        return sorted(self._images)

    def add(
        self, image_id: str, truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]]
    ) -> None:
        """Count the pixels of an image; arguments as for ``ConfusionMatrix.add``.

        Raises:
            ValueError: an image that was added before, and what ``ConfusionMatrix.add`` refuses.
        """
        if image_id in self._images:
            raise ValueError(f"the image {image_id!r} was added before")
        matrix = self._empty()
        matrix.add(truth, predicted)
        self._images[image_id] = matrix.counts

    def merge(self, other: Self) -> None:
        """Take in the images of another counter.

        Raises:
            ValueError: other classes, or an image that both hold.
        """
        if (other.num_classes, other.open_world) != (self.num_classes, self.open_world):
            raise ValueError("confusions of different classes do not add up")
        twice = self._images.keys() & other._images.keys()
        if twice:
            raise ValueError(f"the image {min(twice)!r} was counted twice")
        self._images |= other._images

    def save(self, folder: Path) -> None:
        """Write everything into an empty folder."""
        content = {
            "num_classes": self.num_classes,
            "open_world": self.open_world,
            "images": self.ids,
        }
        (folder / FILE).write_text(json.dumps(content) + "\n", encoding="utf-8")
        np.save(folder / "counts.npy", self._stacked())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        confusions = cls(content["num_classes"], content["open_world"])
        counts = np.load(folder / "counts.npy", allow_pickle=False)
        confusions._images = dict(zip(content["images"], counts, strict=True))
        return confusions

    def total(self) -> ConfusionMatrix:
        """All images together."""
        matrix = self._empty()
        matrix.counts = self._stacked().sum(axis=0)
        return matrix

    def resampled(self, weights: Weights) -> NDArray[np.int64]:
        """(B, L, L) the totals of B draws of the images, from weights (B, n)."""
        stacked = self._stacked()
        labels = stacked.shape[-1]
        flat = weights.astype(np.int64) @ stacked.reshape(len(stacked), labels * labels)
        return np.asarray(flat.reshape(len(weights), *stacked.shape[1:]), np.int64)

    def statistics(self, weights: Weights) -> dict[str, Values]:
        """``mIoU`` over the known classes and ``pixel_accuracy`` of B resamples.

        Args:
            weights: (B, n) how often each of the ``ids`` was drawn.

        Returns:
            (B,) each; NaN where nothing was counted.
        """
        counts = self.resampled(weights)
        miou = mean_ious(counts, range(self.num_classes))
        return {"mIoU": miou, "pixel_accuracy": accuracies(counts)}

    def _empty(self) -> ConfusionMatrix:
        kind = OpenWorldConfusionMatrix if self.open_world else ConfusionMatrix
        return kind(self.num_classes)

    def _stacked(self) -> NDArray[np.int64]:
        if not self._images:
            return np.zeros((0, *self._empty().counts.shape), np.int64)
        return np.stack([self._images[name] for name in self.ids])


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
