"""Observer: the detector and everything that remembers earlier frames."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from open_set_seg.backends import AUTOMATIC, Precision
from open_set_seg.calibration import Calibration
from open_set_seg.detector import DetectorConfig, ObstacleDetector
from open_set_seg.frame import Frame, FrameResult
from open_set_seg.monitoring import (
    CameraHealth,
    DriftMonitor,
    DriftReport,
    HealthReport,
    assess_visibility,
)
from open_set_seg.observer.config import ObserverConfig
from open_set_seg.observer.observation import Observation
from open_set_seg.observer.operating_point import (
    AUTOMATIC_CALIBRATION,
    OperatingPoint,
    check_conditions,
    find_calibration,
)
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.tracking import GroundPose, ObstacleTracker, TrackedObstacle, TrackingConfig


class Detector(Protocol):
    """What is needed of a detector; ``ObstacleDetector`` is one."""

    def process(self, frame: Frame) -> FrameResult:
        """See ``ObstacleDetector``."""

    def reconfigure(self, config: DetectorConfig) -> None:
        """See ``ObstacleDetector``."""


class Observer:
    """Watches a stream of frames: obstacles with ids, and what they are worth.

    ``observe`` and ``reconfigure`` belong to one thread; ``reset`` may be called from another and
    takes effect with the next frame, never in the middle of one.

    What a calibration promises is about the detector's obstacles of single frames. Tracking adds
    ids and states to these and leaves none out, so the promise holds for all that are listed; of
    those that are ``confirmed`` there are at most as many. ``missing`` has no part in it.

    Args:
        detector: finds the obstacles of a frame.
        config: everything else.
        calibration: brings a threshold, and what drift is judged by; needs a detector with an
            ``OpenSetSegmenter``.

    Raises:
        CalibrationError: it was made for another network, score or configuration.
        ValueError: the config names classes that the detector does not know.
    """

    def __init__(
        self,
        detector: Detector,
        config: ObserverConfig | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self._detector, self._calibration = detector, calibration
        self._tracker = ObstacleTracker()
        self._forget = True
        self._last: tuple[int, tuple[int, ...]] | None = None
        self._drift: DriftMonitor | None = None
        config = config or ObserverConfig()
        self._adopt(config)
        self._watch_camera(config)
        self._watch_drift(config)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        config: ObserverConfig | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        backend: str = AUTOMATIC,
        score: str | None = None,
        calibration: str | Path | None = AUTOMATIC_CALIBRATION,
    ) -> Observer:
        """An observer with the network of a model file.

        Args:
            path, device, precision, backend, score: as for ``OpenSetSegmenter``.
            calibration: ``auto``: of the file beside the model, if there is one; a path; None.

        Raises:
            CalibrationError: see ``find_calibration``, or it does not belong to this network, score
                and configuration.
            ValueError: as ``ObstacleDetector.from_checkpoint``.
        """
        config = config or ObserverConfig()
        found = find_calibration(Path(path), calibration)
        point = OperatingPoint.choose(config.detector.threshold, found)
        segmenter = OpenSetSegmenter.from_checkpoint(
            path, device, precision, score=score, backend=backend
        )
        segmenter.choose_threshold(point.threshold)
        return cls(ObstacleDetector(segmenter, config.detector), config, found)

    @property
    def detector(self) -> Detector:
        """What finds the obstacles of a frame."""
        return self._detector

    @property
    def calibration(self) -> Calibration | None:
        """The calibration in use."""
        return self._calibration

    @property
    def config(self) -> ObserverConfig:
        """The configuration in use."""
        return self._config

    @property
    def operating_point(self) -> OperatingPoint:
        """The threshold in use, where it is from, and what it is worth."""
        return OperatingPoint.choose(self._config.detector.threshold, self._calibration)

    def check(self, config: ObserverConfig) -> None:
        """Refuse a configuration under which the calibration does not hold; from any thread.

        Raises:
            CalibrationError: it does not.
        """
        if self._calibration is not None:
            segmenter: Any = getattr(self._detector, "segmenter", None)
            if not isinstance(segmenter, OpenSetSegmenter):
                raise TypeError("a calibration belongs to a detector with an OpenSetSegmenter")
            check_conditions(self._calibration, segmenter, config.detector)

    def reconfigure(self, config: ObserverConfig) -> None:
        """Use another configuration from now on.

        Other limits of the camera's health or of drift begin with an empty memory; ids go on.

        Raises:
            CalibrationError: the calibration does not hold under it; the old one is kept.
            ValueError: it names classes that the detector does not know; likewise.
        """
        before = self._config
        self._adopt(config)
        if config.camera_health != before.camera_health:
            self._watch_camera(config)
        if config.drift != before.drift:
            self._watch_drift(config)
        if (config.tracking is None) != (before.tracking is None):
            self._tracker.reset()

    def reset(self) -> None:
        """Forget earlier frames: time jumped, or this is another place. Ids go on."""
        self._forget = True

    def observe(self, frame: Frame, pose: GroundPose | None = None) -> Observation:
        """Find the obstacles of the next frame and judge it with those before.

        A stamp before the last frame's resets everything by itself.

        Args:
            frame: in the order of time.
            pose: of the camera at the frame's stamp, if it is known; helps tracking.
        """
        self._check_continuity(frame)
        result = self._detector.process(frame)
        begin = time.perf_counter()
        result, missing = self._track(result, pose)
        tracked = time.perf_counter()
        visibility = assess_visibility(
            result, self._config.detector.obstacles, self._config.visibility
        )
        assessed = time.perf_counter()
        health, drift = self._monitor(frame, result)
        done = time.perf_counter()
        timings = {
            **result.timings,
            "tracking": tracked - begin,
            "visibility": assessed - tracked,
            "monitoring": done - assessed,
            "total": result.timings.get("total", 0.0) + done - begin,
        }
        return Observation(replace(result, timings=timings), missing, visibility, health, drift)

    def _adopt(self, config: ObserverConfig) -> None:
        self.check(config)
        point = OperatingPoint.choose(config.detector.threshold, self._calibration)
        self._detector.reconfigure(replace(config.detector, threshold=point.threshold))
        self._tracker.reconfigure(config.tracking or TrackingConfig())
        self._config = config

    def _watch_camera(self, config: ObserverConfig) -> None:
        self._health = CameraHealth(config.camera_health)

    def _watch_drift(self, config: ObserverConfig) -> None:
        reference = None if self._calibration is None else self._calibration.drift_reference
        self._drift = None if reference is None else DriftMonitor(reference, config.drift)

    def _check_continuity(self, frame: Frame) -> None:
        forget, self._forget = self._forget, False
        if self._last is not None:
            stamp_ns, shape = self._last
            forget |= frame.stamp_ns < stamp_ns
            if shape != frame.image.shape:
                self._health.reset()
        if forget:
            self._tracker.reset()
            self._health.reset()
            if self._drift is not None:
                self._drift.reset()
        self._last = frame.stamp_ns, frame.image.shape

    def _track(
        self, result: FrameResult, pose: GroundPose | None
    ) -> tuple[FrameResult, tuple[TrackedObstacle, ...]]:
        if self._config.tracking is None:
            return result, ()
        obstacles = self._tracker.update(result, pose)
        return replace(result, obstacles=obstacles), self._tracker.missing

    def _monitor(
        self, frame: Frame, result: FrameResult
    ) -> tuple[HealthReport, DriftReport | None]:
        health = self._health.update(frame.image, frame.stamp_ns)
        drift = self._drift
        return health, None if drift is None else drift.update(result.prediction, frame.stamp_ns)
