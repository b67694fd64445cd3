"""The accumulator of score counts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.score_counts.curve import Counts, Piece, accumulate
from open_set_seg.metrics.score_counts.keys import Scores, decode, split
from open_set_seg.metrics.score_counts.queries import ThresholdCurve
from open_set_seg.metrics.score_counts.store import KeyStore

if TYPE_CHECKING:
    from typing_extensions import Self

MEMORY_LIMIT = 384 * 2**20


class ScoreCounts(ThresholdCurve):
    """Counts outliers and inliers at every distinct score, over any number of frames.

    What is kept are integers, so the figures are the same to the last bit however the frames are
    ordered, split over processes, saved in between and merged.

    Args:
        memory_limit: bytes that the counts may take in memory; what is beyond lies in a scratch
            file. The caller divides what it has between its accumulators.
        scratch: folder of the scratch file; None: the system's folder of temporary files.
    """

    kind = "exact"

    def __init__(self, memory_limit: int = MEMORY_LIMIT, scratch: Path | None = None) -> None:
        self._store = KeyStore(memory_limit, scratch)

    @property
    def outliers(self) -> int:
        """Number of outlier pixels."""
        return self._store.totals[1]

    @property
    def inliers(self) -> int:
        """Number of inlier pixels."""
        return self._store.totals[0]

    def add(self, scores: Scores, labels: NDArray[np.uint8]) -> None:
        """Count the pixels of a frame.

        Args:
            scores: any shape; float16, float32 or float64; higher is more anomalous.
            labels: of the same shape; 0 inlier, 1 outlier, 255 ignore.

        Raises:
            ValueError: shapes that differ, other labels, a score that is NaN on a counted pixel,
                or scores that are no floats.
        """
        self._store.add(*split(scores, labels))

    def merge(self, other: Self) -> None:
        """Add what another accumulator counted."""
        self._store.merge(other._store)

    def save(self, folder: Path) -> None:
        """Write the counts into an existing, empty folder."""
        self._store.save(folder)

    @classmethod
    def load(
        cls, folder: Path, memory_limit: int = MEMORY_LIMIT, scratch: Path | None = None
    ) -> Self:
        """Read what ``save`` wrote."""
        counts = cls(memory_limit, scratch)
        counts._store.read(folder)
        return counts

    def histogram(self, edges: Sequence[float]) -> tuple[Counts, Counts]:
        """Exact numbers of inliers and outliers between ``edges``.

        Args:
            edges: (n + 1,) ascending; bins are half-open [low, high) but for the last, which is
                closed. What lies outside is not counted.

        Returns:
            (n,) inliers and (n,) outliers.
        """
        bounds = np.asarray(edges, np.float64)
        if bounds.ndim != 1 or bounds.size < 2 or not np.all(np.diff(bounds) > 0):
            raise ValueError("a histogram needs two or more ascending edges")
        reached = np.zeros((2, bounds.size), np.int64)
        for piece in self._pieces():
            ascending = piece.scores[::-1].astype(np.float64)
            first = np.searchsorted(ascending, bounds, side="left")
            first[-1] = np.searchsorted(ascending, bounds[-1], side="right")
            for row, counts in enumerate((piece.inliers, piece.outliers)):
                below = np.concatenate([[0], np.cumsum(counts[::-1])])
                reached[row] += below[first]
        inliers, outliers = np.diff(reached, axis=1)
        return inliers, outliers

    def range(self, finite: bool = False) -> tuple[float, float]:
        """The smallest and the largest score that was counted.

        Args:
            finite: leave infinite scores out.

        Raises:
            ValueError: there is none.
        """
        low = high = math.nan
        for piece in self._pieces():
            scores = piece.scores[np.isfinite(piece.scores)] if finite else piece.scores
            if scores.size:
                high = float(scores[0]) if math.isnan(high) else high
                low = float(scores[-1])
        if math.isnan(low):
            raise ValueError("nothing was counted")
        return low, high

    def _pieces(self) -> Iterator[Piece]:
        steps = self._store.steps()
        return accumulate((decode(keys), outliers, inliers) for keys, outliers, inliers in steps)
