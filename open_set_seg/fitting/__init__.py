"""What scores know of inlier data, fitted to images that show nothing unknown.

Images are seen one by one and memory does not grow with their number. The same images give the same
statistics up to rounding in float64, in whatever order they come.
"""

from open_set_seg.fitting.histogram import FloatHistogram
from open_set_seg.fitting.moments import ClassMoments
from open_set_seg.fitting.runs import choose_scores, fit_score_maps, fit_statistics
from open_set_seg.fitting.score_maps import fit_score_map
from open_set_seg.fitting.statistics import FittingRules, StatisticsAccumulator

__all__ = [
    "ClassMoments",
    "FittingRules",
    "FloatHistogram",
    "StatisticsAccumulator",
    "choose_scores",
    "fit_score_map",
    "fit_score_maps",
    "fit_statistics",
]
