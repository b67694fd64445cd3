"""The true and the predicted components of one frame, and how they overlap.

The order of operations decides the figures: scores strictly above the threshold are predicted,
but for void pixels; 8-connected components are formed; small predicted ones are removed; small
true ones become void, and what is predicted there vanishes with them, so that a predicted
component may end up smaller than the smallest one that is kept.

Of a true component k with P the predicted components that touch it, all together,
sIoU = |k and P| / (|k| + |P| - |k and P| - a), a = pixels of P in *other* true components. Of a
predicted component, the precision is the share of its pixels in true components. Source: Chan et
al., SegmentMeIfYouCan (NeurIPS 2021), section 3 and its code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.connected import label_components
from open_set_seg.metrics.protocols import ComponentRule
from open_set_seg.metrics.thresholding import strictly_above

INLIER, OUTLIER, IGNORE = 0, 1, 255

Scores = NDArray[np.floating[Any]]
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class FrameComponents:
    """The components of one frame, in the order of their first pixels; pixels are counted.

    Attributes:
        true: (pixels of P in k, adjusted union) of each true component k.
        predicted: (pixels in true components, all its pixels) of each predicted component.
    """

    true: tuple[tuple[int, int], ...]
    predicted: tuple[tuple[int, int], ...]

    @property
    def siou(self) -> list[float]:
        """sIoU of every true component."""
        return [part / whole for part, whole in self.true]

    @property
    def precision(self) -> list[float]:
        """Precision of every predicted component."""
        return [part / whole for part, whole in self.predicted]


def find_components(
    scores: Scores, labels: Labels, threshold: float, rule: ComponentRule
) -> FrameComponents:
    """The components of a frame and how they overlap; see the module for the order of operations.

    Args and errors: as ``ComponentCounts.add``.
    """
    void = _check(scores, labels)
    true, true_count = label_components(labels == OUTLIER)
    predicted, predicted_count = label_components(strictly_above(scores, threshold) & ~void)
    predicted_sizes = np.bincount(predicted.ravel(), minlength=predicted_count + 1)
    predicted = np.where(
        predicted_sizes < rule.min_predicted_px, 0, np.arange(predicted_count + 1)
    )[predicted]
    true_sizes = np.bincount(true.ravel(), minlength=true_count + 1)
    small = true_sizes < rule.min_true_px
    small[0] = False
    predicted[small[true]] = 0
    true[small[true]] = 0
    return _overlap(true, true_count, predicted, predicted_count)


def _overlap(
    true: NDArray[Any], true_count: int, predicted: NDArray[Any], predicted_count: int
) -> FrameComponents:
    """Pixel counts from two label images."""
    columns = predicted_count + 1
    both = (true > 0) & (predicted > 0)
    pairs, common = np.unique(
        true[both].astype(np.int64) * columns + predicted[both], return_counts=True
    )
    true_of, predicted_of = np.divmod(pairs, columns)
    true_sizes = np.bincount(true.ravel(), minlength=true_count + 1)
    predicted_sizes = np.bincount(predicted.ravel(), minlength=columns)
    inside = _sums(predicted_of, common, columns)
    part = _sums(true_of, common, true_count + 1)
    # Of the predicted components that touch k, the pixels in k are the common ones, those in other
    # true components are the rest of the inside ones: only what lies outside all of them is left.
    outside = _sums(true_of, (predicted_sizes - inside)[predicted_of], true_count + 1)
    whole = true_sizes + outside
    kept_true = 1 + np.flatnonzero(true_sizes[1:])
    kept_predicted = 1 + np.flatnonzero(predicted_sizes[1:])
    return FrameComponents(
        tuple(zip(part[kept_true].tolist(), whole[kept_true].tolist(), strict=True)),
        tuple(
            zip(
                inside[kept_predicted].tolist(),
                predicted_sizes[kept_predicted].tolist(),
                strict=True,
            )
        ),
    )


def _check(scores: Scores, labels: Labels) -> NDArray[np.bool_]:
    """Where the labels are void; refuses what cannot be judged."""
    if scores.shape != labels.shape or scores.ndim != 2:
        raise ValueError(
            f"scores of shape {scores.shape} but labels of shape {labels.shape}; both are (H, W)"
        )
    void: NDArray[np.bool_] = labels == IGNORE
    if not np.all(void | (labels == OUTLIER) | (labels == INLIER)):
        raise ValueError("labels are 0 (inlier), 1 (outlier) and 255 (void)")
    if np.any(np.isnan(scores) & ~void):
        raise ValueError("a score is NaN: it is neither above nor below any threshold")
    return void


def _sums(places: NDArray[Any], values: NDArray[Any], size: int) -> NDArray[np.int64]:
    sums = np.zeros(size, np.int64)
    np.add.at(sums, places, values)
    return sums
