"""open-mIoU with the threshold of every fold chosen on the other one.

For each of two folds (towns): the threshold is the first, from the top, at which the true positive
rate on the *other* fold exceeds 0.95; pixels that score above it become *unknown*; an open-world
confusion matrix gives the IoU of the known classes. The result is the mean of the two folds
weighted by their numbers of images. Source: DenseHybrid (ECCV 2022), section 5.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import LabelImage
from open_set_seg.metrics.confusion import ConfusionMatrix, OpenWorldConfusionMatrix
from open_set_seg.metrics.thresholding import strictly_above


@dataclass(frozen=True, eq=False)
class OpenSetFold:
    """What was counted on one fold.

    Attributes:
        group: its name.
        images: how many it has, the weight of the fold.
        threshold: found on the other fold; scores above it are *unknown*.
        open_world: truth against the classes with *unknown*.
        closed_set: truth against the nearest classes, outliers not counted.
    """

    group: str
    images: int
    threshold: float
    open_world: OpenWorldConfusionMatrix
    closed_set: ConfusionMatrix


@dataclass(frozen=True)
class OpenSetMetrics:
    """Means over the folds, weighted by their numbers of images; fractions, NaN if undefined.

    Attributes:
        open_mIoU: mean IoU of the K known classes in the open world.
        closed_mIoU: the same of the nearest classes, outliers not counted.
        mIoU_K_plus_1: mean IoU with *unknown* as one more class.
    """

    open_mIoU: float
    closed_mIoU: float
    mIoU_K_plus_1: float


def open_set_metrics(folds: Sequence[OpenSetFold]) -> OpenSetMetrics:
    """The image-count weighted means of the folds.

    Raises:
        ValueError: no fold, or a fold without images.
    """
    if not folds or any(fold.images < 1 for fold in folds):
        raise ValueError(
            f"every fold needs images, but these have {[fold.images for fold in folds]}"
        )

    def mean(values: Sequence[float]) -> float:
        products = (fold.images * value for fold, value in zip(folds, values, strict=True))
        return math.fsum(products) / sum(fold.images for fold in folds)

    return OpenSetMetrics(
        open_mIoU=mean([fold.open_world.open_mean_iou() for fold in folds]),
        closed_mIoU=mean([fold.closed_set.mean_iou() for fold in folds]),
        mIoU_K_plus_1=mean([fold.open_world.mean_iou_with_unknown() for fold in folds]),
    )


def other_fold(groups: tuple[str, str], group: str) -> str:
    """The fold that finds the threshold for ``group``.

    Raises:
        ValueError: a group that is neither of the two.
    """
    if group not in groups:
        raise ValueError(f"the folds are {groups[0]!r} and {groups[1]!r}, not {group!r}")
    return groups[1 - groups.index(group)]


def open_set_labels(
    nearest: LabelImage, scores: NDArray[np.floating[Any]], threshold: float, num_classes: int
) -> LabelImage:
    """(H, W) the nearest class, or K (*unknown*) where the score is strictly above the threshold.

    Raises:
        ValueError: shapes that differ.
    """
    if nearest.shape != scores.shape:
        raise ValueError(f"classes are {nearest.shape} but scores {scores.shape}")
    return np.where(strictly_above(scores, threshold), np.uint8(num_classes), nearest)
