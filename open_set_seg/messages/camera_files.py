"""Camera calibrations as YAML: ROS's camera calibration writes them, and `ros2 topic echo`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

# What PyYAML lets through from odd scalars beside its own errors (dates, sexagesimals, nesting).
_ODDITIES = (
    yaml.YAMLError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError,
    RecursionError,
)  # fmt: skip
_LARGEST_SIDE = 2**16
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds, its keys in lower case.

    Raises:
        ValueError: not YAML, or no mapping.
        OSError: no such file.
    """
    data = path.read_bytes()
    try:
        content = yaml.safe_load(data)
    except _ODDITIES as error:
        raise ValueError(f"{path} is no YAML: {_one_line(error)}") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} is no camera calibration in YAML: it holds no names with values")
    return {str(key).lower(): value for key, value in content.items()}


def read_camera_info(path: Path) -> Any:
    """An object with the fields of a sensor_msgs/CameraInfo, for ``decode_camera`` and the like.

    Fields that the file may leave out: ``d`` (no distortion), ``r`` (identity) and
    ``distortion_model`` (plumb_bob). Rows are flattened.

    Raises:
        ValueError: not such a file; names what is missing or wrong.
        OSError: no such file.
    """
    return parse_camera_info(read_yaml_mapping(path), path)


def parse_camera_info(content: Mapping[str, Any], path: Path) -> Any:
    """``read_camera_info`` of what ``read_yaml_mapping`` has read from ``path``."""
    try:
        return SimpleNamespace(
            width=_side(content, "width"),
            height=_side(content, "height"),
            k=_numbers(content, "camera_matrix", "k", 9),
            d=_numbers(content, "distortion_coefficients", "d", None, default=()),
            r=_numbers(content, "rectification_matrix", "r", 9, default=_IDENTITY),
            p=_numbers(content, "projection_matrix", "p", 12),
            distortion_model=str(content.get("distortion_model") or "plumb_bob"),
            roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
            binning_x=0,
            binning_y=0,
        )
    except ValueError as error:
        raise ValueError(f"{path} is no camera calibration in YAML: {error}") from None


def read_number(content: Mapping[str, Any], name: str) -> float:
    """A finite number of a mapping; ``ValueError`` names what is not."""
    value = content.get(name)
    if value is None:
        raise ValueError(f"{name} is missing")
    return _number(value, name)


def _side(content: Mapping[str, Any], name: str) -> int:
    long = f"image_{name}"
    side = read_number(content, long if long in content else name)
    if not 1 <= side <= _LARGEST_SIDE or side != int(side):
        raise ValueError(f"{name} is {side:g}, not a number of pixels")
    return int(side)


def _numbers(
    content: Mapping[str, Any],
    long: str,
    short: str,
    count: int | None,
    default: tuple[float, ...] | None = None,
) -> list[float]:
    value = content.get(long, content.get(short))
    if isinstance(value, Mapping):
        value = value.get("data")
    if value is None and default is not None:
        return list(default)
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping):
        raise ValueError(f"{long} is missing or holds no numbers")
    flat = [n for row in value for n in (row if isinstance(row, list | tuple) else (row,))]
    numbers = [_number(n, long) for n in flat]
    if count is not None and len(numbers) != count:
        raise ValueError(f"{long} of {len(numbers)} instead of {count} numbers")
    return numbers


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool | list | tuple | Mapping):
        raise ValueError(f"{name} holds {type(value).__name__}, not a number")
    try:
        number = float(value)  # PyYAML takes 1e-3 for text
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} holds {repr(value)[:40]}, not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} holds {number:g}, not a finite number")
    return number


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
