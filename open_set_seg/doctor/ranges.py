"""Disparity or depth: can its distances be true?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.doctor.findings import Finding, error, fine, note, warning
from open_set_seg.doctor.pictures import image_size
from open_set_seg.doctor.snapshot import NAMES, Snapshot
from open_set_seg.frame import Camera, DepthMap, DisparityMap
from open_set_seg.messages import (
    MessageError,
    decode_camera,
    decode_depth,
    decode_disparity,
    decode_right_camera,
    fit_camera,
    shift_limits,
)
from open_set_seg.stereo import RangeConfig, estimate_range

LEAST_VALID = 0.05
# Half of what a robot's camera sees lies between these, metres.
NEAREST_MEDIAN, FARTHEST_MEDIAN = 0.3, 250.0
FIXED_POINT = 16.0
Range = DisparityMap | DepthMap


def check_range(snapshot: Snapshot) -> Iterator[Finding]:
    """f, T, sign, scale, units and the share of valid pixels, on some of the messages."""
    role = snapshot.range_role
    if role is None:
        return
    stream, name = snapshot.streams[role], NAMES[role]
    decode = decode_disparity if role == "disparity" else decode_depth
    maps: list[Range] = []
    faults: dict[str, str] = {}
    for message in stream.samples:
        try:
            maps.append(decode(message))
        except MessageError as failure:
            faults.setdefault(failure.code, str(failure))
    for code, text in faults.items():
        yield error(f"{name} on {stream.topic} cannot be used ({code}): {text}", _ADVICE)
    camera, right = _cameras(snapshot)
    if not maps:
        return
    if camera is None:
        yield note(f"the {name} is not judged: it takes a calibrated camera_info")
        return
    height, width = maps[-1].values.shape
    try:
        fitted = fit_camera(camera, *(image_size(snapshot.images) or (width, height)))
    except MessageError:
        yield note(f"the {name} is not judged: camera_info is not of this image")
        return
    yield from _judge(snapshot, maps, fitted, _fit_right(right, fitted))


_ADVICE = "disparity must be 32FC1 pixels, depth 32FC1 metres or 16UC1 millimetres: mend the driver"


def _cameras(snapshot: Snapshot) -> tuple[Camera | None, tuple[Camera, float] | None]:
    camera = right = None
    stream = snapshot.streams.get("camera_info")
    if stream is not None and stream.samples:
        try:
            camera = decode_camera(stream.samples[-1])
        except MessageError:
            camera = None
    stream = snapshot.streams.get("right_camera_info")
    if stream is not None and stream.samples:
        try:
            right = decode_right_camera(stream.samples[-1])
        except MessageError:
            right = None
    return camera, right


def _fit_right(right: tuple[Camera, float] | None, left: Camera) -> tuple[Camera, float] | None:
    """As the node fits it: to the left camera's size."""
    return None if right is None else (right[0].scaled(left.width, left.height), right[1])


def _judge(
    snapshot: Snapshot, maps: list[Range], camera: Camera, right: tuple[Camera, float] | None
) -> Iterator[Finding]:
    config = snapshot.range_config
    problems: dict[str, tuple[str, str]] = {}
    depths: list[NDArray[Any]] = []
    pixels = 0
    for one in maps:
        values: Range = one
        if isinstance(one, DisparityMap) and right is not None:
            values = shift_limits(one, camera, right[0])
        baseline, size = right[1] if right else None, (camera.height, camera.width)
        found, seen = estimate_range(values, size, camera, config, baseline)
        problems.update({p.code: (p.severity, p.message) for p in seen})
        pixels += one.values.size
        if found is not None:
            depths.append(found.depth[np.isfinite(found.depth)])
    unit = _explain_scale(maps, camera, config)
    for code, (severity, text) in problems.items():
        make = error if severity == "error" else warning
        what, _, advice = text.rpartition("; ")
        if unit and code.endswith((".empty", ".baseline_implausible")):
            what, advice = text, unit
        elif not what or code.endswith(".empty"):
            what, advice = text, _WIDEN
        elif code in _OVERRIDDEN_BY:
            advice = _name_number(code, camera, right) or advice
        yield make(f"{code}: {what}", _as_parameters(advice))
    if depths:
        yield from _judge_depths(snapshot, np.concatenate(depths), pixels, unit)


def _judge_depths(
    snapshot: Snapshot, depth: NDArray[Any], pixels: int, unit: str
) -> Iterator[Finding]:
    if not depth.size:
        return
    share = depth.size / pixels
    near, middle, far = (float(p) for p in np.percentile(depth, [5, 50, 95]))
    text = (
        f"{100 * share:.0f} % of the pixels have a distance, 5 % under {near:.3g} m, half under "
        f"{middle:.3g} m, 95 % under {far:.3g} m"
    )
    config = snapshot.range_config
    if unit:
        yield error(f"{text}: no robot's camera sees that", _as_parameters(unit))
    elif share < LEAST_VALID:
        yield warning(
            text,
            f"distances outside range.min_range ({config.min_range:g} m) and range.max_range "
            f"({config.max_range:g} m) are dropped: widen them, or look at the matcher's limits, "
            "its texture threshold and the light",
        )
    else:
        yield fine(text)


def _explain_scale(maps: list[Range], camera: Camera, config: RangeConfig) -> str:
    """What to set where the usual distance is one that no robot's camera sees; else nothing."""
    middle = _median_distance(maps, camera, config)
    if middle is None or NEAREST_MEDIAN <= middle <= FARTHEST_MEDIAN:
        return ""
    said = f"half of the pixels would be nearer than {middle:.3g} m"
    if isinstance(maps[0], DepthMap):
        factor = 0.001 if middle > FARTHEST_MEDIAN else 1000.0
        unit = "millimetres" if factor < 1 else "metres in an image of millimetres"
        return f"{said}: it is in {unit}; range.depth_scale:={config.depth_scale * factor:g}"
    first = maps[0]
    if middle < NEAREST_MEDIAN and middle * FIXED_POINT >= NEAREST_MEDIAN:
        scale = config.disparity_scale / FIXED_POINT
        return f"{said}: the values look like 16ths of a pixel; range.disparity_scale:={scale:g}"
    if middle > FARTHEST_MEDIAN and first.baseline > 5.0:
        return (
            f"{said}: the baseline of {first.baseline:g} m is in another unit; "
            f"range.baseline_override:={first.baseline / 1000:g} if it is in millimetres"
        )
    return (
        f"{said}: focal length ({first.focal_length:g} px), baseline ({first.baseline:g} m) or "
        "values are of another scale; range.disparity_scale, range.baseline_override or "
        "range.focal_override set it right"
    )


def _median_distance(maps: list[Range], camera: Camera, config: RangeConfig) -> float | None:
    """Median of all distances, whichever are believed, metres; None without any."""
    found = []
    for one in maps:
        if isinstance(one, DepthMap):
            values = one.values * np.float32(config.depth_scale)
        else:
            focal = config.focal_override or one.focal_length
            reach = focal * (config.baseline_override or one.baseline)
            with np.errstate(all="ignore"):
                pixels = one.values.astype(np.float64) * config.disparity_scale
                values = np.where(pixels > 0, reach / pixels, np.nan)
        found.append(values[np.isfinite(values) & (values > 0)])
    every = np.concatenate(found) if found else np.empty(0)
    return float(np.median(every)) if every.size else None


_OVERRIDES = ("focal_override", "baseline_override", "disparity_scale", "depth_scale", "max_range")


_WIDEN = (
    "range.min_range and range.max_range widen what is believed; else look at the matcher's limits"
)
_OVERRIDDEN_BY = {
    "disparity.focal_length": "focal_override",
    "disparity.focal_length_mismatch": "focal_override",
    "disparity.baseline": "baseline_override",
    "disparity.baseline_mismatch": "baseline_override",
}


def _name_number(code: str, camera: Camera, right: tuple[Camera, float] | None) -> str:
    """The override with the number that camera_info states; empty where none does."""
    name = _OVERRIDDEN_BY[code]
    if name == "baseline_override" and right is None:
        return ""
    value = camera.fx if right is None or name == "focal_override" else right[1]
    return f"mend the driver; or, if camera_info is right, {name}:={value:.6g}"


def _as_parameters(text: str) -> str:
    """Settings as the node has them: with their group before them, and given as parameters."""
    for name in _OVERRIDES:
        text = text.replace(f"range.{name}", name).replace(name, f"range.{name}")
    return re.sub(r"(range\.\w+) to (-?\d[\d.e-]*)", r"\1:=\2", text)
