"""Making the detector that a node's settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from open_set_seg.frame import Frame, FrameResult
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.ros.parameters import OFF
from open_set_seg.ros.settings import Settings

if TYPE_CHECKING:
    from open_set_seg.calibration import Calibration
    from open_set_seg.detector import DetectorConfig
    from open_set_seg.observer import Observer, ObserverConfig


class Detector(Protocol):
    """What the node needs of a detector; ``ObstacleDetector`` is one."""

    def process(self, frame: Frame) -> FrameResult:
        """See ``ObstacleDetector``."""

    def reconfigure(self, config: DetectorConfig) -> None:
        """See ``ObstacleDetector``."""


@dataclass(frozen=True)
class LoadedDetector:
    """A detector with what the diagnostics say about it.

    Attributes:
        describe_device: network, backend and device in words, as they are now.
        model: file name of the checkpoint.
        model_hash: first 12 hexadecimal digits of the weights' SHA-256 (`open-set-seg info`).
        threshold: the checkpoint's own; for another score the one that the node was started with.
        score: name of the scoring that is published.
        calibration: that belongs to it, or None.
    """

    detector: Detector
    label_space: LabelSpace
    describe_device: Callable[[], str]
    model: str
    model_hash: str
    threshold: float
    score: str
    calibration: Calibration | None = None


DetectorFactory = Callable[[Settings], LoadedDetector]


def build_observer_config(settings: Settings) -> ObserverConfig:
    """The observer's share of the settings, the detector's included."""
    # Imported here because it brings torch, which only the inference thread should wait for.
    from open_set_seg.detector import DetectorConfig
    from open_set_seg.observer import ObserverConfig

    watching = settings.watching
    return ObserverConfig(
        detector=DetectorConfig(
            threshold=settings.threshold,
            range=settings.range,
            ground=settings.ground,
            obstacles=settings.obstacles,
        ),
        tracking=watching.tracking,
        visibility=watching.visibility,
        camera_health=watching.camera_health,
        drift=watching.drift,
    )


def build_observer(loaded: LoadedDetector, settings: Settings) -> Observer:
    """What watches the frames with a detector.

    Raises:
        CalibrationError: the detector's calibration does not hold under these settings.
    """
    from open_set_seg.observer import Observer

    return Observer(loaded.detector, build_observer_config(settings), loaded.calibration)


def load_detector(settings: Settings) -> LoadedDetector:
    """The detector of ``settings.model`` (the demo checkpoint where that is empty).

    Raises:
        CheckpointError: the file is no usable checkpoint.
        CalibrationError: a calibration that was asked for is not there, or is none.
        ValueError: a device or a backend that is not there, classes that the network does not know,
            or a score that it cannot give.
    """
    from open_set_seg.checkpoint import DEMO_CHECKPOINT
    from open_set_seg.detector import ObstacleDetector
    from open_set_seg.observer import find_calibration
    from open_set_seg.segmenter import OpenSetSegmenter

    path = Path(settings.model).expanduser() if settings.model else DEMO_CHECKPOINT
    choice = settings.watching.calibration
    calibration = find_calibration(path, None if choice == OFF else choice)
    # Another score has no threshold of its own: what -1 goes back to is what the node starts with.
    started_with = settings.threshold
    if started_with is None and calibration is not None:
        started_with = calibration.threshold.value
    segmenter = OpenSetSegmenter.from_checkpoint(
        path,
        device=settings.device,
        precision=settings.precision,  # type: ignore[arg-type]  # checked against its choices
        backend=settings.backend,
        score=settings.score or None,
        threshold=started_with if settings.score else None,
    )
    # The first inference allocates and compiles: better now than while frames wait and are dropped.
    size = segmenter.image_size or settings.expected_size[::-1]
    segmenter.segment(np.zeros((*size, 3), np.uint8))
    return LoadedDetector(
        detector=ObstacleDetector(segmenter, build_observer_config(settings).detector),
        label_space=segmenter.label_space,
        describe_device=lambda: segmenter.device_description,
        model=path.name,
        model_hash=segmenter.metadata.weights_sha256[:12],
        threshold=segmenter.choose_threshold(None),
        score=str(segmenter.scoring),
        calibration=calibration,
    )
