"""Counts of every image on a coarse grid of scores: what resampling of images needs.

A resample of images is a weighted sum of their counts, so no pixel is looked at twice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.protocols import PixelRule
from open_set_seg.metrics.score_counts.curve import needed_outliers
from open_set_seg.metrics.score_counts.keys import Scores, encode, split_scores

if TYPE_CHECKING:
    from typing_extensions import Self

GRID_BITS = 20
FILE = "image_counts.json"
CHUNK = 2**21  # cells of resamples that are looked at together

Matrix = NDArray[np.float64]


class ImageCounts:
    """Counts of outliers and inliers per image and cell of score.

    A cell holds the float32 scores that agree in the first ``GRID_BITS`` bits: sign, exponent and
    eleven bits of the fraction, so scores in one cell differ by less than 2^-11 of their size. An
    occupied cell takes 12 bytes; an image of two million pixels occupies five to fifty thousand.

    Args:
        rule: which TPR FPR95 is read at, and whether it must be passed; ``above_thinned`` counts
            as ``above`` and ``closest`` as ``at_least``, which on groups are the same figures but
            for their resolution.
    """

    def __init__(self, rule: PixelRule | None = None) -> None:
        self.rule = rule or PixelRule()
        self._images: dict[str, NDArray[np.uint32]] = {}  # id -> (n, 3) cell, inliers, outliers

    @property
    def ids(self) -> list[str]:
        """Of all images, sorted: the columns of the weights."""
        return sorted(self._images)

    def add(self, image_id: str, scores: Scores, labels: NDArray[np.uint8]) -> None:
        """Count the pixels of an image; arguments as for ``ScoreCounts.add``.

        Raises:
            ValueError: an image that was added before, and what ``ScoreCounts.add`` refuses.
        """
        self._refuse_known([image_id])
        cells = [_cells(part) for part in split_scores(scores, labels)]
        occupied = np.unique(np.concatenate([part[0] for part in cells]))
        table = np.zeros((occupied.size, 3), np.uint32)
        table[:, 0] = occupied
        for column, (values, counts) in enumerate(cells, 1):
            table[np.searchsorted(occupied, values), column] = counts
        self._images[image_id] = table

    def merge(self, other: Self) -> None:
        """Add the images of another accumulator.

        Raises:
            ValueError: another rule, or an image that both hold.
        """
        if other.rule != self.rule:
            raise ValueError(f"images counted for {other.rule} do not fit {self.rule}")
        self._refuse_known(other._images)
        self._images |= other._images

    def save(self, folder: Path) -> None:
        """Write the counts into an existing, empty folder."""
        tables = [self._images[name] for name in self.ids]
        content = {
            "rule": vars(self.rule),
            "images": [[name, len(table)] for name, table in zip(self.ids, tables, strict=True)],
        }
        (folder / FILE).write_text(json.dumps(content), encoding="utf-8")
        np.save(folder / "cells.npy", np.concatenate([np.empty((0, 3), np.uint32), *tables]))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        rows = np.load(folder / "cells.npy", allow_pickle=False)
        counts = cls(PixelRule(**content["rule"]))
        ends = np.cumsum([size for _, size in content["images"]], dtype=np.int64)
        parts = np.split(rows, ends[:-1]) if ends.size else []
        names = [name for name, _ in content["images"]]
        counts._images = dict(zip(names, parts, strict=True))
        return counts

    def statistics(
        self, weights: NDArray[np.integer[Any]], bins: int = 2048
    ) -> dict[str, NDArray[np.float64]]:
        """AP, FPR95, AUROC and best_F1 of resampled images, all their pixels pooled.

        The cells are grouped: every cell in which the pooled outliers or the pooled inliers pass
        another 2 / ``bins`` of their number is a group, and so is what lies between two of them, up
        to 2 ``bins`` groups in all. Scores of one group count as ties. The figures then differ from
        exact ones by less than 0.005 (the tests' bound; 0.001 is usual), which is little beside
        what resampling changes.

        Args:
            weights: (B, n) how often each of the ``ids`` was drawn.
            bins: resolution.

        Returns:
            (B,) each; NaN where a resample has no outlier or no inlier.

        Raises:
            ValueError: weights of another shape, or negative ones.
        """
        weights = np.asarray(weights)
        if weights.ndim != 2 or weights.shape[1] != len(self._images) or (weights < 0).any():
            raise ValueError(
                f"weights are (B, {len(self._images)}) and not negative, not {weights.shape}"
            )
        inliers, outliers = self._binned(bins)
        rows = max(1, CHUNK // max(1, inliers.shape[1]))
        parts = [
            _statistics(chunk @ outliers, chunk @ inliers, self.rule)
            for chunk in (
                weights[start : start + rows].astype(np.float64)
                for start in range(0, len(weights), rows)
            )
        ]
        return {
            key: np.concatenate([np.empty(0), *(part[key] for part in parts)])
            for key in ("AP", "FPR95", "AUROC", "best_F1")
        }

    def _binned(self, bins: int) -> tuple[Matrix, Matrix]:
        """(n, bins) inliers and outliers of every image, from the highest score down."""
        tables = [self._images[name] for name in self.ids]
        cells = np.unique(np.concatenate([np.empty(0, np.uint32), *(t[:, 0] for t in tables)]))
        pooled = np.zeros((cells.size, 2), np.int64)
        for table in tables:
            pooled[np.searchsorted(cells, table[:, 0])] += table[:, 1:]
        descending = np.cumsum(pooled[::-1], axis=0)
        levels = descending * (bins // 2) // np.maximum(descending[-1:], 1)
        # A cell that passes a level is a group by itself: what lies above it is not tied with its
        # pixels, which may be many, and what lies below not with a single outlier.
        passes = np.any(np.diff(levels, axis=0, prepend=0) != 0, axis=1)
        group = np.zeros(cells.size, np.int64)
        group[1:] = np.cumsum(passes[1:] | passes[:-1])
        ascending_group = group[::-1]
        size = int(group[-1]) + 1 if group.size else 0
        result = np.zeros((2, len(tables), size))
        for row, table in enumerate(tables):
            place = ascending_group[np.searchsorted(cells, table[:, 0])]
            for column in (0, 1):
                result[column, row] = np.bincount(place, table[:, column + 1], minlength=size)
        return result[0], result[1]

    def _refuse_known(self, names: Any) -> None:
        for name in names:
            if name in self._images:
                raise ValueError(f"the image {name!r} was added before")


def _cells(scores: Scores) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Occupied cells, ascending, and their counts."""
    with np.errstate(over="ignore"):  # beyond float32: the cell of the infinite
        short = scores.astype(np.float32, copy=False)
    cells = encode(short) >> np.uint32(32 - GRID_BITS)
    first = int(cells.min()) if cells.size else 0
    counts = np.bincount(cells.astype(np.int64) - first)
    occupied = np.flatnonzero(counts)
    return occupied + first, counts[occupied]


def _statistics(outliers: Matrix, inliers: Matrix, rule: PixelRule) -> dict[str, Matrix]:
    """The metrics of every row of counts at descending scores."""
    true, false = np.cumsum(outliers, axis=1), np.cumsum(inliers, axis=1)
    empty = np.zeros(len(outliers))
    positives = true[:, -1] if true.size else empty
    negatives = false[:, -1] if false.size else empty
    judged = (positives > 0) & (negatives > 0)
    true, false, outliers, inliers = (a[judged] for a in (true, false, outliers, inliers))
    p, n = positives[judged, None], negatives[judged, None]
    values: dict[str, Matrix] = {}
    precision = np.divide(true, true + false, out=np.zeros_like(true), where=true + false > 0)
    values["AP"] = (outliers / p * precision).sum(axis=1)
    strict = rule.operating_point in ("above", "above_thinned")
    needed = np.array([needed_outliers(rule.tpr, int(total), strict) for total in p[:, 0]])
    point = np.argmax(true >= needed[:, None], axis=1) if len(true) else np.empty(0, np.int64)
    values["FPR95"] = np.take_along_axis(false, point[:, None], 1)[:, 0] / n[:, 0]
    values["AUROC"] = 1 - (outliers / p * ((false - inliers / 2) / n)).sum(axis=1)
    values["best_F1"] = (2 * true / (p + true + false)).max(axis=1, initial=0)
    result = {}
    for key, value in values.items():
        result[key] = np.full(judged.shape, np.nan)
        result[key][judged] = value
    return result
