"""Numbers that say how good a result is; each names its protocol."""

from open_set_seg.metrics.confusion import ConfusionMatrix
from open_set_seg.metrics.objects import (
    BandMetrics,
    Matching,
    MatchRule,
    ObjectMetrics,
    TrueObject,
    match_objects,
    object_metrics,
)
from open_set_seg.metrics.pixels import PROTOCOLS, PixelProtocol, pixel_metrics

__all__ = [
    "PROTOCOLS",
    "BandMetrics",
    "ConfusionMatrix",
    "MatchRule",
    "Matching",
    "ObjectMetrics",
    "PixelProtocol",
    "TrueObject",
    "match_objects",
    "object_metrics",
    "pixel_metrics",
]
