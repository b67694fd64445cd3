"""The curve with the quantile thresholds of SegmentMeIfYouCan's code, for parity with its tables.

What the benchmark publishes since August 2023 (``PixBinaryClass``, and ``PixBinaryClass-uniThr``
for ``bins="uniform"``) comes from a curve with few thresholds a frame. The exact curve is better;
this one says what the benchmark's own code would say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.score_counts.curve import Piece, accumulate
from open_set_seg.metrics.score_counts.keys import Scores, split_scores
from open_set_seg.metrics.score_counts.queries import ThresholdCurve

if TYPE_CHECKING:
    from typing_extensions import Self

QUANTILES = 384  # of each class, in each frame
UNIFORM_BINS, UNIFORM_RANGE = 4096, (-0.01, 1.01)
FILE, ROWS_FILE = "binned_curve.json", "binned_curve.npy"

Values = NDArray[np.float64]


class BinnedCurve(ThresholdCurve):
    """Counts pixels between thresholds, over any number of frames.

    ``quantiles``: the thresholds of a frame are up to 384 quantiles of its outliers' scores, up to
    384 of its inliers', and its range widened by max(1 %, 0.01); the frames' counts are pooled by
    sorting all thresholds. ``uniform``: 4096 bins from -0.01 to 1.01 for scores in [0, 1].
    Bins of equal thresholds are added up, so that the order of the frames does not matter. Where
    several frames share the highest threshold (scores that saturate, as float16 ones do at 1), the
    benchmark's code has one point more: this threshold with the counts of one of these frames
    alone, of which depends on how equal numbers are sorted. Its AP, AUROC and best F1 may then be
    quite different ones.

    Source: SegmentMeIfYouCan/road-anomaly-benchmark, ``metrics/pixel_classification.py``.
    """

    kind = "smiyc_binned"

    def __init__(self, bins: Literal["quantiles", "uniform"] = "quantiles") -> None:
        if bins not in ("quantiles", "uniform"):
            raise ValueError(f"bins are quantiles or uniform, not {bins!r}")
        self.bins = bins
        self._totals = [0, 0]
        self._rows: list[Values] = []  # (n, 3): lower edge, inliers, outliers

    @property
    def outliers(self) -> int:
        """Number of outlier pixels."""
        return self._totals[1]

    @property
    def inliers(self) -> int:
        """Number of inlier pixels."""
        return self._totals[0]

    def add(self, scores: Scores, labels: NDArray[np.uint8]) -> None:
        """Count the pixels of a frame, as ``ScoreCounts.add``.

        Raises:
            ValueError: what ``ScoreCounts.add`` refuses, or an infinite score.
        """
        parts = [np.sort(part) for part in split_scores(scores, labels)]
        if any(part.size and np.isinf(part[[0, -1]]).any() for part in parts):
            raise ValueError("quantile thresholds need finite scores, but one is infinite")
        if not any(part.size for part in parts):
            return
        edges = self._edges(parts)
        below = [np.searchsorted(part, edges.astype(np.float64)) for part in parts]
        if self.bins == "uniform":  # the last bin is closed
            for part, count in zip(parts, below, strict=True):
                count[-1] = np.searchsorted(part, edges[-1], side="right")
        counts = [np.diff(count).astype(np.float64) for count in below]
        self._rows.append(np.stack([edges[:-1], *counts], axis=1))
        self._totals = [total + part.size for total, part in zip(self._totals, parts, strict=True)]

    def merge(self, other: Self) -> None:
        """Add what another curve counted.

        Raises:
            ValueError: the other one has another kind of bins.
        """
        if other.bins != self.bins:
            raise ValueError(f"{other.bins} bins cannot be added to {self.bins} bins")
        self._rows += other._rows
        self._totals = [a + b for a, b in zip(self._totals, other._totals, strict=True)]

    def save(self, folder: Path) -> None:
        """Write the counts into an existing, empty folder."""
        np.save(folder / ROWS_FILE, self._table())
        text = json.dumps({"bins": self.bins, "inliers": self.inliers, "outliers": self.outliers})
        (folder / FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        curve = cls(content["bins"])
        curve._totals = [content["inliers"], content["outliers"]]
        curve._rows = [np.load(folder / ROWS_FILE, allow_pickle=False)]
        return curve

    def _edges(self, parts: list[NDArray[Any]]) -> Values:
        """Ascending, distinct."""
        if self.bins == "uniform":
            return np.linspace(*UNIFORM_RANGE, UNIFORM_BINS + 1)
        present = [part.astype(np.float64) for part in parts if part.size]
        low, high = min(part[0] for part in present), max(part[-1] for part in present)
        margin = max((high - low) * 1e-2, 1e-2)
        # Where a margin is lost in rounding, the neighbouring number keeps the highest bin open.
        lowest = min(low - margin, np.nextafter(low, -np.inf))
        highest = max(high + margin, np.nextafter(high, np.inf))
        quantiles = [_quantiles(part, min(QUANTILES, part.size)) for part in present]
        return np.unique(np.concatenate([[lowest, highest], *quantiles]))

    def _table(self) -> Values:
        """(n, 3) lower edge, inliers, outliers; descending, distinct edges."""
        rows = np.concatenate(self._rows or [np.empty((0, 3))])
        edges, place = np.unique(-rows[:, 0], return_inverse=True)
        table = np.zeros((edges.size, 3))
        table[:, 0] = -edges
        np.add.at(table[:, 1:], place.reshape(-1), rows[:, 1:])
        return table

    def _pieces(self) -> Iterator[Piece]:
        table = self._table()
        counts = table[:, 1:].astype(np.int64)
        missing = np.array(self._totals) - counts.sum(axis=0)
        if missing.any():  # outside the uniform range: below every threshold
            table = np.append(table, [[table[-1, 0] - 1, 0, 0]], axis=0)
            counts = np.append(counts, missing[None], axis=0)
        if counts.size:
            yield from accumulate([(table[:, 0], counts[:, 1], counts[:, 0])])


def _quantiles(ascending: Values, number: int) -> Values:
    """``number`` evenly spaced quantiles with linear interpolation, the ends among them."""
    place = np.linspace(0, 1, number) * (ascending.size - 1)
    left = np.floor(place).astype(np.int64)
    right = np.minimum(left + 1, ascending.size - 1)
    share = place - left
    step = ascending[right] - ascending[left]
    # Towards the nearer end, as np.quantile does: equal to its values to the last bit.
    near_right = ascending[right] - step * (1 - share)
    result: Values = np.where(share >= 0.5, near_right, ascending[left] + step * share)
    return result
