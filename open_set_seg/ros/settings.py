"""The detector node's parameters, and the settings that are made of them.

``range.x``, ``ground.x`` and ``obstacles.x`` are the fields of RangeConfig, GroundConfig and
ObstacleConfig; what watches the stream of frames is in ``watching_parameters``, what records
incidents in ``recorder_parameters``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from open_set_seg.ground import GroundConfig
from open_set_seg.obstacles import ObstacleConfig
from open_set_seg.ros.pairing import PairingConfig
from open_set_seg.ros.parameters import OFF, Parameter, ParameterError
from open_set_seg.ros.recorder_parameters import RECORDER_PARAMETERS, build_recorder
from open_set_seg.ros.watching_parameters import (
    WATCHING_PARAMETERS,
    WatchingSettings,
    build_watching,
)
from open_set_seg.stereo import RangeConfig

if TYPE_CHECKING:
    from open_set_seg.bags.incidents import RecorderConfig

_RANGE, _OBSTACLES, _GROUND = RangeConfig(), ObstacleConfig(), GroundConfig()

PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "autostart", True,
        "Configure and activate by itself; false: wait for a lifecycle manager.", fixed=True,
    ),
    Parameter("model", "", "Model file (docs/models.md); empty: the demo checkpoint.", live=False),
    Parameter(
        "score", "",
        "Anomaly score; empty: the checkpoint's own. Another one needs a threshold, or the "
        "calibration's file.", live=False,
    ),
    Parameter("device", "auto", "auto, cpu, cuda or cuda:N.", live=False),
    Parameter(
        "precision", "auto", "Arithmetic of the network.",
        choices=("auto", "fp32", "bf16", "fp16"), live=False,
    ),
    Parameter(
        "backend", "auto", "What runs the network; auto: the fastest that is installed.",
        choices=("auto", "pytorch", "openvino", "cuda_graph"), live=False,
    ),
    Parameter(
        "expected_size", "1024x512",
        "Images to be ready for at the start, WIDTHxHEIGHT; another size takes longer at first.",
        live=False,
    ),
    Parameter(
        "target_frame", "",
        "Frame of tf in which obstacles and points are published; empty: the image's.", live=False,
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
    Parameter(
        "robot_rows", 0,
        "Rows at the bottom of the image that show the robot; ~/obstacles/clearing skips them.",
        0, 10000,
    ),
    Parameter("jpeg_quality", 80, "Quality of ~/overlay/compressed.", 1, 100),
    Parameter(
        "threshold", -1.0,
        "Anomaly above which a pixel is unknown, 0 to 1; -1: the calibration's, without one the "
        "checkpoint's own.", -1.0, 1.0,
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
        choices=("hull", OFF), can_be_off=True,
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
    *WATCHING_PARAMETERS,
    *RECORDER_PARAMETERS,
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """All parameters, checked and in the form in which the node uses them."""

    autostart: bool = True
    model: str = ""
    score: str = ""
    device: str = "auto"
    precision: str = "auto"
    backend: str = "auto"
    expected_size: tuple[int, int] = (1024, 512)
    target_frame: str = ""
    image_transport: str = "raw"
    range_source: str = "disparity"
    max_input_age_s: float = 0.0
    input_timeout_s: float = 5.0
    output_scale: float = 1.0
    robot_rows: int = 0
    jpeg_quality: int = 80
    threshold: float | None = None
    pairing: PairingConfig = field(default_factory=PairingConfig)
    range: RangeConfig = field(default_factory=RangeConfig)
    ground: GroundConfig = field(default_factory=GroundConfig)
    obstacles: ObstacleConfig = field(default_factory=ObstacleConfig)
    watching: WatchingSettings = field(default_factory=WatchingSettings)
    recorder: RecorderConfig | None = None


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
    named = full["calibration"] not in ("auto", OFF)
    if full["score"] and threshold < 0.0 and not named:
        raise ParameterError(
            f"score = {full['score']!r} needs a threshold in [0, 1], or the file of its "
            "calibration: only the checkpoint's own score, for which score is left empty, brings "
            "a threshold"
        )
    groups: dict[str, dict[str, Any]] = {"range": {}, "ground": {}, "obstacles": {}}
    for name, value in full.items():
        group, dot, key = name.partition(".")
        if dot and group in groups:
            groups[group][key] = value
    expects_range = full["range_source"] != "none"
    try:
        return Settings(
            **{name: full[name] for name in _PLAIN},
            threshold=None if threshold < 0 else threshold,
            expected_size=_read_size(full["expected_size"]),
            pairing=PairingConfig(
                tolerance_ns=round(full["sync_tolerance_s"] * 1e9),
                wait_s=full["disparity_wait_s"] if expects_range else 0.0,
            ),
            range=RangeConfig(**groups["range"]),
            ground=GroundConfig(**groups["ground"]),
            obstacles=ObstacleConfig(**groups["obstacles"]),
            watching=build_watching(full),
            recorder=build_recorder(full),
        )
    except ValueError as error:
        raise ParameterError(str(error)) from None


def _read_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise ParameterError(f"expected_size = {text!r} must be WIDTHxHEIGHT, such as 1024x512")
    return int(match[1]), int(match[2])


_PLAIN = (
    "autostart", "model", "score", "device", "precision", "backend", "target_frame",
    "image_transport", "range_source", "max_input_age_s", "input_timeout_s", "output_scale",
    "robot_rows", "jpeg_quality",
)  # fmt: skip
