"""What the observer says of a frame, as diagnostics: threshold, visibility, camera, drift.

The three of a frame go out with its obstacles as ``~/visibility``, and the newest ones once a
second among the node's diagnostics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from open_set_seg.frame import Problem
from open_set_seg.monitoring import DriftReport, HealthReport, State, Visibility
from open_set_seg.ros.diagnostics import ERROR, OK, STALE, WARN, build_array, build_status

if TYPE_CHECKING:
    from open_set_seg.observer import Observation, OperatingPoint

_LEVELS: Mapping[State, bytes] = {"ok": OK, "warn": WARN, "alarm": ERROR}
_FAULT_UNITS = {
    "frozen": "seconds without a change",
    "underexposed": "share of black pixels",
    "overexposed": "share of white pixels",
    "blurred": "share of the usual sharpness",
}
_NO_REFERENCE = "not judged: there is no calibration that says what scores are usual"


def build_visibility(header: Any, name: str, observation: Observation) -> Any:
    """DiagnosticArray with the image's header: what the obstacle list of this frame is worth."""
    message = build_array(header.stamp, build_frame_statuses(name, observation))
    message.header = header
    return message


def build_frame_statuses(name: str, observation: Observation) -> list[Any]:
    """The statuses ``visibility``, ``camera`` and ``drift`` of a frame.

    Args:
        name: of the node.
    """
    return [
        _visibility_status(f"{name}: visibility", observation),
        _camera_status(f"{name}: camera", observation.camera_health),
        _drift_status(f"{name}: drift", observation.drift),
    ]


def build_stale_statuses(name: str, silence_s: float | None) -> list[Any]:
    """The same three where no frame was examined for so long (None: ever)."""
    text = "no frame yet" if silence_s is None else f"no frame for {silence_s:.0f} s"
    return [
        build_status(f"{name}: {kind}", STALE, text, {})
        for kind in ("visibility", "camera", "drift")
    ]


def describe_watching(observation: Observation) -> list[Problem]:
    """What the log shall hear of the camera and of drift."""
    problems = []
    health, drift = observation.camera_health, observation.drift
    for fault in health.faults:
        reading = getattr(health, fault)
        problems.append(
            Problem(
                f"camera.{fault}",
                f"the camera's picture is {fault} ({_FAULT_UNITS[fault]}: {reading.value:.3g}), so "
                "that what is found in it is not to be relied upon",
                "error" if reading.state == "alarm" else "warning",
            )
        )
    if drift is not None and drift.state != "ok":
        problems.append(Problem("drift.outside", drift.message))
    return problems


def build_threshold_status(
    name: str, point: OperatingPoint, threshold: float, drift: DriftReport | None
) -> Any:
    """Which threshold is in use, where it is from, and what it is worth.

    Args:
        threshold: in use; ``point`` has none where it is the model's.
        drift: of the newest frame; a promise does not reach beyond its domain.
    """
    level, text = OK, point.promise
    if point.source == "calibration" and drift is not None and drift.state != "ok":
        level, text = WARN, f"this promise does not reach as far as these frames: {point.promise}"
    values = {
        "threshold": f"{threshold:.9g}",
        "source": point.source,
        "promise": point.promise,
    }
    return build_status(f"{name}: threshold", level, text, values)


def _visibility_status(name: str, observation: Observation) -> Any:
    seen, result = observation.visibility, observation.result
    level, text = OK, _describe_sight(seen)
    if not result.examined:
        level, text = WARN, "no road was found in this frame: it was not searched for obstacles"
    elif seen.plane is None:
        level, text = (
            WARN,
            "an empty list proves nothing: without ranges, or visibility.camera_height and a "
            "camera_info, it is not known which part of the road was seen",
        )
    elif math.isnan(seen.clear_until_m):
        level, text = WARN, "an empty list proves nothing: blind from the nearest band on"
    values = {
        "examined": str(result.examined).lower(),
        "obstacles": len(result.obstacles),
        "clear_until_m": _number(seen.clear_until_m),
        "blind_from_m": _number(_blind_from(seen)),
        "corridor_share": _number(seen.corridor_share),
        "range_share": _number(seen.range_share),
        **{
            f"detectable_m.{size:g}": _number(distance)
            for size, distance in seen.detectable_distance_m.items()
        },
        **_band_values(seen),
        "plane_source": seen.plane_source or "none",
    }
    return build_status(name, level, text, values)


def _describe_sight(seen: Visibility) -> str:
    found = ", ".join(
        f"{100 * size:.0f} cm up to {distance:.0f} m"
        for size, distance in seen.detectable_distance_m.items()
        if distance > 0
    )
    blind = _blind_from(seen)
    reach = "road seen with range" if math.isnan(blind) else f"blind from {blind:g} m"
    return f"{reach}; objects would be found: {found or 'none'}"


def _blind_from(seen: Visibility) -> float:
    """Where the first blind band begins, metres; NaN without one."""
    return seen.blind_bands[0].near if seen.blind_bands else math.nan


def _band_values(seen: Visibility) -> dict[str, str]:
    return {
        f"band_{band.near:g}_{band.far:g}_m.{kind}": _number(getattr(band, kind))
        for band in seen.bands
        for kind in ("seen_share", "range_share")
    }


def _camera_status(name: str, health: HealthReport) -> Any:
    text = ", ".join(health.faults) or "healthy"
    values = {
        "frozen_s": _number(health.frozen.value),
        "black_share": _number(health.underexposed.value),
        "white_share": _number(health.overexposed.value),
        "level": _number(health.level),
        "sharpness_ratio": _number(health.blurred.value),
    }
    return build_status(name, _LEVELS[health.state], text, values)


def _drift_status(name: str, drift: DriftReport | None) -> Any:
    if drift is None:
        return build_status(name, OK, _NO_REFERENCE, {"state": "not judged"})
    values = {
        "state": drift.state,
        "frames": drift.frames,
        "log10_limit": _number(drift.log10_limit),
        **{f"log10_evidence.{one}": _number(v) for one, v in drift.log10_evidence.items()},
    }
    # An alarm too: the camera sees something, only what it is worth is not known.
    return build_status(name, OK if drift.state == "ok" else WARN, drift.message, values)


def _number(value: float) -> str:
    return "nan" if math.isnan(value) else f"{value:.4g}"
