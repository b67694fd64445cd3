"""The node's parameters: one table from which declaration, checks and settings follow.

Declared with dynamic typing, because rclpy otherwise refuses an integer for a double; types and
ranges are checked here, with messages that name the parameter.
"""

from __future__ import annotations

import array
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from open_set_seg.ground import GroundConfig
from open_set_seg.obstacles import ObstacleConfig
from open_set_seg.ros.pairing import PairingConfig
from open_set_seg.stereo import RangeConfig

_RANGE, _OBSTACLES, _GROUND = RangeConfig(), ObstacleConfig(), GroundConfig()
_FOREIGN = ("qos_overrides.", "use_sim_time", "start_type_description_service")


class ParameterError(ValueError):
    """A parameter of a wrong type or out of its range; the text names it."""


@dataclass(frozen=True)
class Parameter:
    """One row of the table.

    Attributes:
        name: as in YAML; ``range.x``, ``ground.x`` and ``obstacles.x`` are fields of RangeConfig,
            GroundConfig and ObstacleConfig.
        default: decides the type: bool, int, float, str or a tuple of strings.
        text: description, with unit.
        low, high: inclusive range of numbers.
        choices: allowed strings; empty: any.
        live: whether it can be changed while the node runs.
    """

    name: str
    default: Any
    text: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    live: bool = True

    def convert(self, value: Any) -> Any:
        """``value`` in the parameter's type; an integer is taken for a double.

        Raises:
            ParameterError: wrong type, out of range, or not one of the choices.
        """
        kind = type(self.default)
        if kind is tuple:
            return self._convert_list(value)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ParameterError(f"{self.name} must be a {_TYPE_NAMES[kind]}, not {value!r}")
        if kind in (int, float) and not self.low <= value <= self.high:
            raise ParameterError(
                f"{self.name} = {value!r} is out of its range [{self.low:g}, {self.high:g}]"
            )
        if self.choices and value not in self.choices:
            raise ParameterError(f"{self.name} = {value!r} is not one of {', '.join(self.choices)}")
        return value

    def _convert_list(self, value: Any) -> tuple[str, ...]:
        # An empty list has no type of its own: rclpy hands it over as an array of bytes.
        is_list = isinstance(value, (list, tuple, bytes, array.array))
        entries = list(value) if is_list else [value]
        if not is_list or not all(isinstance(entry, str) for entry in entries):
            raise ParameterError(f"{self.name} must be a list of strings, not {value!r}")
        return tuple(entry for entry in entries if entry)

    def describe(self) -> ParameterDescriptor:
        """The descriptor that ``ros2 param describe`` shows."""
        descriptor = ParameterDescriptor(
            description=self.text,
            additional_constraints=(f"one of {', '.join(self.choices)}" if self.choices else "")
            or ("" if self.live else "read when the node starts"),
            read_only=not self.live,
            dynamic_typing=True,
        )
        if math.isfinite(self.low) and math.isfinite(self.high):
            if isinstance(self.default, float):
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=float(self.low), to_value=float(self.high))
                ]
            elif type(self.default) is int:
                descriptor.integer_range = [
                    IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)
                ]
        return descriptor


_TYPE_NAMES = {bool: "bool", int: "integer", float: "double", str: "string"}

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("model", "", "Checkpoint file; empty: the demo checkpoint.", live=False),
    Parameter("device", "auto", "auto, cpu, cuda or cuda:N.", live=False),
    Parameter(
        "precision", "auto", "Arithmetic of the network.",
        choices=("auto", "fp32", "bf16", "fp16"), live=False,
    ),
    Parameter(
        "image_transport", "raw", "Listen to image, or to image/compressed.",
        choices=("raw", "compressed"), live=False,
    ),
    Parameter(
        "range_source", "disparity", "Where distances come from.",
        choices=("disparity", "depth", "none"), live=False,
    ),
    Parameter(
        "sync_tolerance_s", 0.01,
        "Largest difference of image and range stamps, s; keep it under half a frame period.",
        0.0, 1.0,
    ),
    Parameter("disparity_wait_s", 0.2, "Longest wait of an image for its disparity, s.", 0.0, 5.0),
    Parameter(
        "max_input_age_s", 0.0,
        "Frames older than this when their turn comes are dropped, s; 0: never.", 0.0, 3600.0,
    ),
    Parameter(
        "input_timeout_s", 5.0, "Silence of an input after which it is reported, s.", 0.1, 3600.0
    ),
    Parameter(
        "output_scale", 1.0, "Size of published images and of ~/points relative to the input.",
        0.05, 1.0,
    ),
    Parameter("jpeg_quality", 80, "Quality of ~/overlay/compressed.", 1, 100),
    Parameter(
        "threshold", -1.0,
        "Anomaly above which a pixel is unknown, 0 to 1; -1: the checkpoint's own.", -1.0, 1.0,
    ),
    Parameter("range.min_range", _RANGE.min_range, "Nearest distance believed, m.", 0.01, 1000.0),
    Parameter("range.max_range", _RANGE.max_range, "Farthest distance believed, m.", 0.1, 10000.0),
    Parameter(
        "range.focal_override", 0.0, "Focal length instead of the disparity's, px; 0: trust it.",
        0.0, 1e6,
    ),
    Parameter(
        "range.baseline_override", 0.0, "Baseline instead of the disparity's, m; 0: trust it.",
        0.0, 100.0,
    ),
    Parameter(
        "range.disparity_scale", _RANGE.disparity_scale,
        "Factor on disparity values (-1: opposite sign; 0.0625: fixed point).", -1e4, 1e4,
    ),
    Parameter(
        "range.disparity_sigma", _RANGE.disparity_sigma,
        "Standard deviation of a disparity value, px.", 1e-3, 100.0,
    ),
    Parameter("range.depth_scale", _RANGE.depth_scale, "Factor on depth values.", 1e-6, 1e6),
    Parameter(
        "range.depth_sigma_per_m2", _RANGE.depth_sigma_per_m2,
        "Standard deviation of depth is this times Z^2, 1/m.", 1e-6, 1.0,
    ),
    Parameter(
        "range.tolerance", _RANGE.tolerance,
        "Largest relative difference between two statements of f or T.", 1e-3, 1.0,
    ),
    Parameter(
        "ground.mode", _GROUND.mode, "Region that gates obstacles: hull of the road, or off.",
        choices=("hull", "off"),
    ),
    Parameter(
        "ground.min_speck_share", _GROUND.min_speck_share,
        "Road groups below this share of the image are left out of the hull.", 0.0, 0.9,
    ),
    Parameter("obstacles.min_area_px", _OBSTACLES.min_area_px, "Fewest pixels.", 1, 10**7),
    Parameter(
        "obstacles.min_area_m2", _OBSTACLES.min_area_m2, "Smallest frontal area, m^2.", 0.0, 100.0
    ),
    Parameter(
        "obstacles.min_blind_area_px", _OBSTACLES.min_blind_area_px,
        "Pixels without range that keep an obstacle whatever its frontal area.", 1, 10**7,
    ),
    Parameter("obstacles.opening", _OBSTACLES.opening, "Clear threads and specks (3x3 opening)."),
    Parameter(
        "obstacles.known_classes", _OBSTACLES.known_classes,
        "Known classes that are listed as obstacles too.",
    ),
    Parameter("obstacles.max_obstacles", _OBSTACLES.max_obstacles, "Most listed.", 1, 10000),
    Parameter(
        "obstacles.min_valid_px", _OBSTACLES.min_valid_px,
        "Fewest pixels with range for a distance.", 1, 10**6,
    ),
    Parameter(
        "obstacles.min_valid_share", _OBSTACLES.min_valid_share,
        "Smallest share of pixels with range for a distance.", 0.0, 1.0,
    ),
)  # fmt: skip

_BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


@dataclass(frozen=True)
class Settings:
    """All parameters, checked and in the form in which the node uses them."""

    model: str = ""
    device: str = "auto"
    precision: str = "auto"
    image_transport: str = "raw"
    range_source: str = "disparity"
    max_input_age_s: float = 0.0
    input_timeout_s: float = 5.0
    output_scale: float = 1.0
    jpeg_quality: int = 80
    threshold: float | None = None
    pairing: PairingConfig = field(default_factory=PairingConfig)
    range: RangeConfig = field(default_factory=RangeConfig)
    ground: GroundConfig = field(default_factory=GroundConfig)
    obstacles: ObstacleConfig = field(default_factory=ObstacleConfig)


def convert_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Every named value in its parameter's type.

    Raises:
        ParameterError: see ``Parameter.convert``.
    """
    return {name: _BY_NAME[name].convert(value) for name, value in values.items()}


def build_settings(values: Mapping[str, Any]) -> Settings:
    """Settings of converted values; parameters that are not named keep their defaults.

    Raises:
        ParameterError: values that contradict each other.
    """
    full = {parameter.name: parameter.default for parameter in PARAMETERS} | dict(values)
    for name in ("range.focal_override", "range.baseline_override"):
        full[name] = full[name] or None
    threshold = full["threshold"]
    if -1.0 < threshold < 0.0:
        raise ParameterError(f"threshold = {threshold!r} must be -1 or in [0, 1]")
    groups: dict[str, dict[str, Any]] = {"range": {}, "ground": {}, "obstacles": {}}
    for name, value in full.items():
        group, dot, key = name.partition(".")
        if dot:
            groups[group][key] = value
    expects_range = full["range_source"] != "none"
    try:
        return Settings(
            **{name: full[name] for name in _PLAIN},
            threshold=None if threshold < 0 else threshold,
            pairing=PairingConfig(
                tolerance_ns=round(full["sync_tolerance_s"] * 1e9),
                wait_s=full["disparity_wait_s"] if expects_range else 0.0,
            ),
            range=RangeConfig(**groups["range"]),
            ground=GroundConfig(**groups["ground"]),
            obstacles=ObstacleConfig(**groups["obstacles"]),
        )
    except ValueError as error:
        raise ParameterError(str(error)) from None


_PLAIN = (
    "model", "device", "precision", "image_transport", "range_source", "max_input_age_s",
    "input_timeout_s", "output_scale", "jpeg_quality",
)  # fmt: skip


def declare_parameters(node: Node) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Declare the table on a node.

    The node must have been made with ``automatically_declare_parameters_from_overrides``: the only
    public way to learn of given parameters that nobody declares.

    Returns:
        values by name, and one sentence for every unknown parameter that was given.

    Raises:
        ParameterError: a given value of a wrong type or out of range.
    """
    given = {
        name: node.get_parameter(name).value
        for name in node.list_parameters([], 0).names
        if not name.startswith(_FOREIGN)
    }
    unknown = [name for name in given if name not in _BY_NAME]
    for name in given:
        node.undeclare_parameter(name)
    values = {parameter.name: parameter.default for parameter in PARAMETERS}
    values |= convert_values({n: v for n, v in given.items() if n in _BY_NAME})
    for parameter in PARAMETERS:
        value = values[parameter.name]
        node.declare_parameter(
            parameter.name,
            list(value) if isinstance(value, tuple) else value,
            parameter.describe(),
            ignore_override=True,
        )
    return values, tuple(describe_unknown(name) for name in unknown)


def describe_unknown(name: str) -> str:
    """A sentence about a parameter that does not exist, with the one that was probably meant."""
    close = difflib.get_close_matches(name, _names_and_leaves(), n=1)
    meant = next((full for full in _BY_NAME if close and full.endswith(close[0])), None)
    hint = f"; did you mean {meant!r}?" if meant else ""
    return f"there is no parameter {name!r}{hint}"


def _names_and_leaves() -> Iterable[str]:
    return [*_BY_NAME, *(name.rpartition(".")[2] for name in _BY_NAME)]
