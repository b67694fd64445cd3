"""Exact counts of outliers and inliers at every distinct score, in bounded memory."""

from open_set_seg.metrics.score_counts.counts import ScoreCounts
from open_set_seg.metrics.score_counts.curve import Curve

__all__ = ["Curve", "ScoreCounts"]
