"""Knowing when not to know: clear against blind, drift, and the health of the camera."""

from open_set_seg.monitoring.camera_health import (
    CameraHealth,
    CameraHealthConfig,
    HealthReading,
    HealthReport,
)
from open_set_seg.monitoring.drift import DriftMonitor
from open_set_seg.monitoring.drift_report import DriftConfig, DriftedStatistic, DriftReport
from open_set_seg.monitoring.ground_plane import GroundPlane, fit_ground_plane
from open_set_seg.monitoring.reference import ReferenceFrames
from open_set_seg.monitoring.states import State, worst_state
from open_set_seg.monitoring.summaries import (
    STATISTICS,
    DriftReference,
    DriftReferenceError,
    ScoreSummary,
    summarise,
)
from open_set_seg.monitoring.visibility import (
    Band,
    Visibility,
    VisibilityConfig,
    assess_visibility,
)

__all__ = [
    "STATISTICS",
    "Band",
    "CameraHealth",
    "CameraHealthConfig",
    "DriftConfig",
    "DriftMonitor",
    "DriftReference",
    "DriftReferenceError",
    "DriftReport",
    "DriftedStatistic",
    "GroundPlane",
    "HealthReading",
    "HealthReport",
    "ReferenceFrames",
    "ScoreSummary",
    "State",
    "Visibility",
    "VisibilityConfig",
    "assess_visibility",
    "fit_ground_plane",
    "summarise",
    "worst_state",
]
