"""Numbers that say how good a result is; each names its protocol."""

from open_set_seg.metrics.confusion import ConfusionMatrix
from open_set_seg.metrics.objects import (
    BandMetrics,
    MatchRule,
    ObjectMetrics,
    TrueObject,
    object_metrics,
)
from open_set_seg.metrics.pixels import PROTOCOLS, PixelProtocol, pixel_metrics

__all__ = [
    "PROTOCOLS",
    "BandMetrics",
    "ConfusionMatrix",
    "MatchRule",
    "ObjectMetrics",
    "PixelProtocol",
    "TrueObject",
    "object_metrics",
    "pixel_metrics",
]
