"""Parameters of what watches the stream of frames: ids, visibility, the camera, drift.

``tracking.x``, ``visibility.x`` and ``drift.x`` are fields of TrackingConfig, VisibilityConfig and
DriftConfig, ``camera_health.x_warn`` and ``x_alarm`` the two limits of a field of
CameraHealthConfig. Of each the fields that depend on the robot and its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from open_set_seg.monitoring import CameraHealthConfig, DriftConfig, VisibilityConfig
from open_set_seg.ros.parameters import Parameter
from open_set_seg.tracking import TrackingConfig

_TRACKING, _VISIBILITY = TrackingConfig(), VisibilityConfig()
_CAMERA, _DRIFT = CameraHealthConfig(), DriftConfig()

MARKED_STATES = ("all", "confirmed")


def _limits(name: str, text: str, high: float) -> tuple[Parameter, Parameter]:
    warn, alarm = getattr(_CAMERA, name)
    return (
        Parameter(f"camera_health.{name}_warn", warn, f"{text}: a warning.", 1e-3, high),
        Parameter(f"camera_health.{name}_alarm", alarm, f"{text}: an error.", 1e-3, high),
    )


WATCHING_PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "calibration", "auto",
        "What `open-set-seg calibrate` wrote: auto (beside the model, if it is there), off, or a "
        "file.", live=False, can_be_off=True,
    ),
    Parameter(
        "marked_states", "all",
        "Obstacles in ~/obstacles/points; confirmed: a frame later, and fewer are false.",
        choices=MARKED_STATES,
    ),
    Parameter("tracking.enabled", True, "Give obstacles ids and states over time."),
    Parameter(
        "tracking.confirm_hits", _TRACKING.confirm_hits,
        "Frames of the last confirm_window that must show an obstacle to confirm it.", 1, 100,
    ),
    Parameter("tracking.confirm_window", _TRACKING.confirm_window, "See confirm_hits.", 1, 100),
    Parameter(
        "tracking.lose_misses", _TRACKING.lose_misses,
        "Frames of the last lose_window without a confirmed obstacle that end that.", 1, 100,
    ),
    Parameter("tracking.lose_window", _TRACKING.lose_window, "See lose_misses.", 1, 100),
    Parameter(
        "tracking.max_gap_s", _TRACKING.max_gap_s,
        "Time between frames beyond which everything begins anew, s.", 0.01, 3600.0,
    ),
    Parameter(
        "tracking.largest_speed", _TRACKING.largest_speed,
        "Nothing moves faster against the camera, m/s.", 0.1, 300.0,
    ),
    Parameter(
        "visibility.corridor_width", _VISIBILITY.corridor_width,
        "Width of the strip ahead of which ~/visibility speaks, m.", 0.1, 100.0,
    ),
    Parameter(
        "visibility.camera_height", 0.0,
        "Of the camera above flat ground, m, for frames whose ranges give no plane; 0: unknown.",
        0.0, 100.0,
    ),
    Parameter(
        "visibility.min_share", _VISIBILITY.min_share,
        "Smallest share of a band of the strip that is not called blind.", 1e-3, 1.0,
    ),
    *_limits("frozen_s", "Time without a change in the picture, s", 3600.0),
    *_limits("black_share", "Share of black pixels", 1.0),
    *_limits("white_share", "Share of white pixels", 1.0),
    *_limits("blur_ratio", "Sharpness as a share of the usual, so low", 1.0),
    Parameter(
        "drift.false_alarm_probability", _DRIFT.false_alarm_probability,
        "Of ever calling frames drifted that are like the calibration's.", 1e-9, 0.5,
    ),
    Parameter(
        "drift.interval_s", _DRIFT.interval_s,
        "Time between frames that are judged, s: after it the robot sees another place.",
        0.0, 3600.0,
    ),
    Parameter(
        "drift.recovery_frames", _DRIFT.recovery_frames,
        "Judged frames in a row that must look as the calibration's to take a warning back.",
        1, 10**6,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class WatchingSettings:
    """How the stream of frames is watched.

    Attributes:
        calibration: ``auto``, ``off``, or a path.
        marked_states: which obstacles ``~/obstacles/points`` holds.
        tracking: None: none.
    """

    calibration: str = "auto"
    marked_states: str = "all"
    tracking: TrackingConfig | None = field(default_factory=TrackingConfig)
    visibility: VisibilityConfig = field(default_factory=VisibilityConfig)
    camera_health: CameraHealthConfig = field(default_factory=CameraHealthConfig)
    drift: DriftConfig = field(default_factory=DriftConfig)


def build_watching(values: Mapping[str, Any]) -> WatchingSettings:
    """Of converted values of all ``WATCHING_PARAMETERS``; others are left alone.

    Raises:
        ValueError: values that contradict each other.
    """
    tracking = _group(values, "tracking")
    enabled = tracking.pop("enabled")
    visibility = _group(values, "visibility")
    visibility["camera_height"] = visibility["camera_height"] or None
    limits = _group(values, "camera_health")
    names = [name.removesuffix("_warn") for name in limits if name.endswith("_warn")]
    pairs: dict[str, Any] = {
        name: (limits[f"{name}_warn"], limits[f"{name}_alarm"]) for name in names
    }
    followed = TrackingConfig(**tracking)  # contradictions are refused also while it is off
    return WatchingSettings(
        calibration=values["calibration"],
        marked_states=values["marked_states"],
        tracking=followed if enabled else None,
        visibility=VisibilityConfig(**visibility),
        camera_health=CameraHealthConfig(**pairs),
        drift=DriftConfig(**_group(values, "drift")),
    )


def _group(values: Mapping[str, Any], group: str) -> dict[str, Any]:
    prefix = f"{group}."
    return {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix)
    }
