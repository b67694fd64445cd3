"""Numbers that say how good a result is; each names its protocol."""

from open_set_seg.metrics.components import (
    ComponentCounts,
    component_metrics,
    component_threshold,
)
from open_set_seg.metrics.confusion import ConfusionMatrix, OpenWorldConfusionMatrix
from open_set_seg.metrics.object_matching import Matching, MatchRule, TrueObject, match_objects
from open_set_seg.metrics.objects import (
    BandMetrics,
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
from open_set_seg.metrics.pixels import PROTOCOLS, PixelProtocol, pixel_metrics

__all__ = [
    "PROTOCOLS",
    "BandMetrics",
    "ComponentCounts",
    "ConfusionMatrix",
    "MatchRule",
    "Matching",
    "ObjectCounts",
    "ObjectMetrics",
    "OpenSetFold",
    "OpenSetMetrics",
    "OpenWorldConfusionMatrix",
    "PixelProtocol",
    "TrueObject",
    "component_metrics",
    "component_threshold",
    "match_objects",
    "object_metrics",
    "open_set_labels",
    "open_set_metrics",
    "other_fold",
    "pixel_metrics",
]
