"""Stereo data as Cityscapes and LostAndFound store it: camera files and 16-bit disparities."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Camera, FloatImage

CODE_STEPS = 256  # codes per pixel of disparity
LARGEST_STORED_PX = (2**16 - 2) / CODE_STEPS
_POSE = ("x", "y", "z", "roll", "pitch", "yaw")


@dataclass(frozen=True)
class Mount:
    """Pose of a camera (x forward, y left, z up) in its vehicle's frame (ISO 8855, likewise).

    Attributes:
        x, y, z: metres; roll, pitch, yaw: radians, R = Rz(yaw) Ry(pitch) Rx(roll).
    """

    x: float
    y: float
    z: float
    roll: float
    pitch: float
    yaw: float


@dataclass(frozen=True)
class StoredCamera:
    """What a camera file says.

    Attributes:
        camera: of the rectified left image.
        baseline: metres.
        mount: of the left camera; None where the file does not say.
    """

    camera: Camera
    baseline: float
    mount: Mount | None = None


def read_stored_camera(path: Path, width: int, height: int) -> StoredCamera:
    """The stereo camera of a camera file (JSON), for an image of ``width`` x ``height`` pixels.

    Raises:
        OSError: no such file.
        ValueError: no JSON, or a number that is missing, no number, or not positive where it must.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON ({error})") from None
    baseline = _positive(content, "extrinsic", "baseline")
    fx, fy, u0, v0 = (_positive(content, "intrinsic", key) for key in ("fx", "fy", "u0", "v0"))
    camera = Camera(width, height, fx, fy, u0, v0)
    return StoredCamera(camera, baseline, _mount(content))


def decode_stored_disparity(codes: NDArray[np.uint16], invalid: float = -1.0) -> FloatImage:
    """Disparities (H, W) float32 in pixels of codes p: (p - 1) / 256, exactly; p = 0 is invalid."""
    values = codes.astype(np.float32)
    values -= np.float32(1.0)
    values *= np.float32(1.0 / CODE_STEPS)
    values[codes == 0] = np.float32(invalid)
    return values


def _mount(content: Any) -> Mount | None:
    pose = [_value(content, "extrinsic", key) for key in _POSE]
    if any(value is None for value in pose):
        return None
    numbers = [_number(value) for value in pose]
    for key, value, number in zip(_POSE, pose, numbers, strict=True):
        if number is None:
            raise ValueError(f"extrinsic.{key} is {_shorten(value)}, not a number")
    return Mount(*(number for number in numbers if number is not None))


def _positive(content: Any, section: str, key: str) -> float:
    value = _value(content, section, key)
    number = _number(value)
    if number is None or number <= 0:
        raise ValueError(f"{section}.{key} is {_shorten(value)}, not a positive number")
    return number


def _value(content: Any, section: str, key: str) -> Any:
    inside = content.get(section) if isinstance(content, Mapping) else None
    return inside.get(key) if isinstance(inside, Mapping) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON's integers have no end
        return None
    return number if math.isfinite(number) else None


def _shorten(value: Any) -> str:
    if isinstance(value, list | dict):
        return "an array" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
