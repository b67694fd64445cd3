"""How a stream of frames is watched."""

from __future__ import annotations

from dataclasses import dataclass, field

from open_set_seg.detector import DetectorConfig
from open_set_seg.monitoring import CameraHealthConfig, DriftConfig, VisibilityConfig
from open_set_seg.tracking import TrackingConfig


@dataclass(frozen=True)
class ObserverConfig:
    """How a stream of frames is watched.

    Args:
        detector: frame -> obstacles. Without a threshold there, that of the calibration holds, and
            without a calibration the model's own.
        tracking: ids and states over time; None: obstacles as the detector numbers them.
        visibility: what an empty list is worth.
        camera_health: limits of a healthy picture.
        drift: bounds of the test for drift, which needs a calibration's reference.
    """

    detector: DetectorConfig = field(default_factory=DetectorConfig)
    tracking: TrackingConfig | None = field(default_factory=TrackingConfig)
    visibility: VisibilityConfig = field(default_factory=VisibilityConfig)
    camera_health: CameraHealthConfig = field(default_factory=CameraHealthConfig)
    drift: DriftConfig = field(default_factory=DriftConfig)
