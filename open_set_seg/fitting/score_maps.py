"""The map that publishes an unbounded score."""

from __future__ import annotations

import math

from open_set_seg.fitting.histogram import FloatHistogram
from open_set_seg.scores import LogisticMap

HIGH_LEVEL = 0.95
# Published value of the median: ln(0.95 / 0.05) = ln 19 scales below the value 1/2.
MEDIAN_ODDS = 19.0
# Least scale as a share of the location: scores that are all the same have no scale of their own.
LEAST_SCALE = 1e-6


def fit_score_map(inliers: FloatHistogram) -> LogisticMap:
    """The map that publishes the median inlier pixel as 0.05 and the 95th percentile as 0.5.

    location = q95, scale = (q95 - q50) / ln 19, and at least ``LEAST_SCALE`` max(1, |location|). A
    threshold of 0.5 thus means 5 % false alarms among inlier pixels like those of the fit.

    Args:
        inliers: scores of inlier pixels.

    Raises:
        ValueError: no score among them is finite.
    """
    middle, high = inliers.quantile(0.5), inliers.quantile(HIGH_LEVEL)
    least = LEAST_SCALE * max(1.0, abs(high))
    return LogisticMap(high, max((high - middle) / math.log(MEDIAN_ODDS), least))
