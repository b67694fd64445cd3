"""Numbers that say how good a result is; each names its protocol."""

from open_set_seg.metrics.components import (
    ComponentCounts,
    component_metrics,
    component_threshold,
)
from open_set_seg.metrics.confusion import ConfusionMatrix, OpenWorldConfusionMatrix
from open_set_seg.metrics.distance import DistanceCounts, decode_distance
from open_set_seg.metrics.image_counts import ImageCounts
from open_set_seg.metrics.image_metrics import ImageMetrics
from open_set_seg.metrics.object_bands import BandMetrics
from open_set_seg.metrics.object_matching import Matching, MatchRule, TrueObject, match_objects
from open_set_seg.metrics.objects import (
    ObjectCounts,
    ObjectMetrics,
    object_metrics,
)
from open_set_seg.metrics.open_iou import (
    OpenSetFold,
    OpenSetMetrics,
    open_set_labels,
    open_set_metrics,
    other_fold,
)
from open_set_seg.metrics.pixels import pixel_metrics
from open_set_seg.metrics.protocols import (
    PROTOCOLS,
    ComponentRule,
    DistanceRule,
    OpenSetRule,
    PixelRule,
    Protocol,
)
from open_set_seg.metrics.score_counts import Curve, ScoreCounts
from open_set_seg.metrics.smiyc_curve import BinnedCurve

__all__ = [
    "PROTOCOLS",
    "BandMetrics",
    "BinnedCurve",
    "ComponentCounts",
    "ComponentRule",
    "ConfusionMatrix",
    "Curve",
    "DistanceCounts",
    "DistanceRule",
    "ImageCounts",
    "ImageMetrics",
    "MatchRule",
    "Matching",
    "ObjectCounts",
    "ObjectMetrics",
    "OpenSetFold",
    "OpenSetMetrics",
    "OpenSetRule",
    "OpenWorldConfusionMatrix",
    "PixelRule",
    "Protocol",
    "ScoreCounts",
    "TrueObject",
    "component_metrics",
    "component_threshold",
    "decode_distance",
    "match_objects",
    "object_metrics",
    "open_set_labels",
    "open_set_metrics",
    "other_fold",
    "pixel_metrics",
]
