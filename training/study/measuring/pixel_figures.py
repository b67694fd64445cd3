"""Exact AP, FPR95, AUROC and best F1 of chosen outliers among sorted inliers.

Only thresholds at which an outlier lies matter to these figures. Inliers that are sorted once thus
answer for any number of groups of outliers, at the price of looking the outliers up. The figures
themselves are ``curve_metrics``, as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics import PixelRule
from open_set_seg.metrics.score_counts.curve import Piece, curve_metrics

FIGURES = ("AP", "FPR95", "AUROC", "best_F1")

Scores = NDArray[np.floating[Any]]


def pixel_figures(outliers: Scores, inliers: Sequence[Scores]) -> dict[str, float]:
    """AP, FPR95, AUROC and best F1, equal to those of ``ScoreCounts`` to the last bit.

    FPR95 is read at the first threshold, from the top, with TPR >= 0.95.

    Args:
        outliers: (n,) scores, in any order; none is NaN.
        inliers: any number of parts, each (m,) and ascending; together they are all inliers.

    Returns:
        By name, in [0, 1]; NaN throughout where there is no outlier or no inlier.
    """
    total = sum(part.size for part in inliers)
    if not outliers.size or not total:
        return dict.fromkeys(FIGURES, math.nan)
    ascending, counts = np.unique(outliers, return_counts=True)
    scores, found = ascending[::-1], counts[::-1].astype(np.int64)
    at_least, above = np.zeros((2, scores.size), np.int64)
    for part in inliers:
        # Queries in ascending order walk through the part instead of jumping about in it.
        at_least += part.size - np.searchsorted(part, ascending, "left")[::-1]
        above += part.size - np.searchsorted(part, ascending, "right")[::-1]
    piece = Piece(scores, found, at_least - above, np.cumsum(found), at_least)
    figures = curve_metrics([piece], outliers.size, total, PixelRule())
    return {name: figures[name] for name in FIGURES}
