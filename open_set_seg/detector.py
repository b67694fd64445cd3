"""The one pipeline, online and offline: a frame goes in, obstacles with distances come out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from open_set_seg.backends import AUTOMATIC, Precision
from open_set_seg.frame import (
    Camera,
    Frame,
    FrameResult,
    ImageRGB,
    Obstacle,
    Prediction,
    Problem,
    RangeMap,
)
from open_set_seg.ground import GroundConfig, find_ground
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.obstacles import ObstacleConfig, find_regions, measure_regions
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.stereo import RangeConfig, estimate_range


class Segmenter(Protocol):
    """What the detector needs of a segmenter; ``OpenSetSegmenter`` is one."""

    @property
    def label_space(self) -> LabelSpace:
        """The known classes."""

    def segment(self, rgb: ImageRGB, threshold: float | None = None) -> Prediction:
        """Labels and anomaly of an image; ``threshold`` None: the segmenter's own."""


@dataclass(frozen=True)
class DetectorConfig:
    """How frames become obstacles.

    Args:
        threshold: anomaly above which a pixel is unknown, in [0, 1]; None: the checkpoint's.
        range: disparity or depth to metres.
        ground: the region that gates obstacles.
        obstacles: what counts as an obstacle.

    Raises:
        ValueError: a threshold outside [0, 1].
    """

    threshold: float | None = None
    range: RangeConfig = field(default_factory=RangeConfig)
    ground: GroundConfig = field(default_factory=GroundConfig)
    obstacles: ObstacleConfig = field(default_factory=ObstacleConfig)

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be in [0, 1], not {self.threshold}")


class ObstacleDetector:
    """Finds obstacles in frames, one at a time; holds no memory of earlier frames.

    ``process`` belongs to one thread; ``reconfigure`` may be called from another and takes effect
    with the next frame, never in the middle of one.

    Args:
        segmenter: image to labels and anomaly.
        config: everything else.

    Raises:
        ValueError: the config names classes that the segmenter does not know.
    """

    def __init__(self, segmenter: Segmenter, config: DetectorConfig | None = None) -> None:
        self._segmenter = segmenter
        self._config = DetectorConfig()
        self.reconfigure(config or DetectorConfig())

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        config: DetectorConfig | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        backend: str = AUTOMATIC,
        score: str | None = None,
    ) -> ObstacleDetector:
        """A detector with the network of a model file; the rest as for ``OpenSetSegmenter``.

        Raises:
            ValueError: as ``OpenSetSegmenter``, or a score without a threshold in the config.
        """
        config = config or DetectorConfig()
        segmenter = OpenSetSegmenter.from_checkpoint(
            path, device, precision, score=score, backend=backend
        )
        segmenter.choose_threshold(config.threshold)
        return cls(segmenter, config)

    @property
    def label_space(self) -> LabelSpace:
        """The known classes of the network."""
        return self._segmenter.label_space

    @property
    def segmenter(self) -> Segmenter:
        """The network in use."""
        return self._segmenter

    @property
    def config(self) -> DetectorConfig:
        """The configuration that the next frame will use."""
        return self._config

    def reconfigure(self, config: DetectorConfig) -> None:
        """Use another configuration from the next frame on; ``ValueError`` keeps the old one."""
        config.obstacles.check_classes(self.label_space)
        self._config = config

    def process(self, frame: Frame) -> FrameResult:
        """Segment the frame, measure its ranges, and list the obstacles on its ground.

        Inputs that are missing or that lie never raise: the result says what is unknown because
        of them (NaN distances, ``examined`` false) and ``problems`` says why.
        """
        config = self._config
        clock = _StageClock()
        with clock.stage("segmentation"):
            prediction = self._segmenter.segment(frame.image, config.threshold)
        problems: list[Problem] = []
        with clock.stage("range"):
            camera = _usable_camera(frame, problems)
            range_map = _range(frame, camera, config.range, problems)
        with clock.stage("ground"):
            ground = find_ground(prediction.nearest, self.label_space, config.ground)
        obstacles: tuple[Obstacle, ...] = ()
        with clock.stage("obstacles"):
            if ground is None:
                problems.append(_NO_GROUND)
            else:
                search = find_regions(
                    prediction, range_map, ground, camera, self.label_space, config.obstacles
                )
                obstacles = measure_regions(
                    search.regions, prediction, range_map, camera, config.obstacles
                )
                if search.left_out:
                    problems.append(_too_many(len(obstacles), search.left_out))
        return FrameResult(
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            prediction=prediction,
            obstacles=obstacles,
            examined=ground is not None,
            ground=ground,
            range_map=range_map,
            camera=camera,
            problems=tuple(problems),
            timings=clock.timings(),
        )


class _StageClock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self._stages[name] = time.perf_counter() - begin

    def timings(self) -> dict[str, float]:
        return {**self._stages, "total": time.perf_counter() - self._begin}


_NO_GROUND = Problem(
    "ground.none",
    "no road or sidewalk was predicted, so the frame was not searched for obstacles: an empty "
    "list does not mean a clear road; set the ground mode to 'off' to search the whole image",
)


def _too_many(kept: int, left_out: int) -> Problem:
    return Problem(
        "obstacles.too_many",
        f"{kept + left_out} regions qualify as obstacles; the {kept} largest are listed and "
        f"{left_out} left out: the threshold may be too low for this scene",
    )


def _usable_camera(frame: Frame, problems: list[Problem]) -> Camera | None:
    """The frame's camera if metres can rest on it; otherwise None with a problem."""
    camera = frame.camera
    if camera is None:
        problems.append(
            Problem("camera.missing", "no camera_info came with the image: distances are unknown")
        )
        return None
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy)
    if not all(map(math.isfinite, numbers)) or camera.fx <= 0 or camera.fy <= 0:
        problems.append(
            Problem(
                "camera.uncalibrated",
                f"camera_info has fx {camera.fx:g}, fy {camera.fy:g}, cx {camera.cx:g}, cy "
                f"{camera.cy:g}: the camera is not calibrated, so distances are unknown",
                "error",
            )
        )
        return None
    height, width = frame.image.shape[:2]
    if (camera.width, camera.height) != (width, height):
        problems.append(
            Problem(
                "camera.size",
                f"camera_info is for {camera.width}x{camera.height} pixels but the image has "
                f"{width}x{height}: distances are unknown; feed the camera_info of this image",
                "error",
            )
        )
        return None
    return camera


def _range(
    frame: Frame, camera: Camera | None, config: RangeConfig, problems: list[Problem]
) -> RangeMap | None:
    if frame.range_input is None:
        problems.append(
            Problem(
                "range.missing",
                "no disparity or depth came with the image: distances are unknown",
            )
        )
        return None
    if camera is None:
        return None
    height, width = frame.image.shape[:2]
    range_map, found = estimate_range(
        frame.range_input, (height, width), camera, config, frame.right_baseline
    )
    problems.extend(found)
    return range_map
