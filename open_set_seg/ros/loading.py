"""Making the detector that a node's settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from open_set_seg.frame import Frame, FrameResult
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.ros.settings import Settings

if TYPE_CHECKING:
    from open_set_seg.detector import DetectorConfig


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
    """

    detector: Detector
    label_space: LabelSpace
    describe_device: Callable[[], str]
    model: str
    model_hash: str
    threshold: float
    score: str


DetectorFactory = Callable[[Settings], LoadedDetector]


def build_detector_config(settings: Settings) -> DetectorConfig:
    """The detector's share of the settings."""
    # Imported here because it brings torch, which only the inference thread should wait for.
    from open_set_seg.detector import DetectorConfig

    return DetectorConfig(
        threshold=settings.threshold,
        range=settings.range,
        ground=settings.ground,
        obstacles=settings.obstacles,
    )


def load_detector(settings: Settings) -> LoadedDetector:
    """The detector of ``settings.model`` (the demo checkpoint where that is empty).

    Raises:
        CheckpointError: the file is no usable checkpoint.
        ValueError: a device or a backend that is not there, classes that the network does not know,
            or a score that it cannot give.
    """
    from open_set_seg.checkpoint import DEMO_CHECKPOINT
    from open_set_seg.detector import ObstacleDetector
    from open_set_seg.segmenter import OpenSetSegmenter

    path = Path(settings.model).expanduser() if settings.model else DEMO_CHECKPOINT
    segmenter = OpenSetSegmenter.from_checkpoint(
        path,
        device=settings.device,
        precision=settings.precision,  # type: ignore[arg-type]  # checked against its choices
        backend=settings.backend,
        score=settings.score or None,
        threshold=settings.threshold if settings.score else None,
    )
    # The first inference allocates and compiles: better now than while frames wait and are dropped.
    size = segmenter.image_size or settings.expected_size[::-1]
    segmenter.segment(np.zeros((*size, 3), np.uint8))
    return LoadedDetector(
        detector=ObstacleDetector(segmenter, build_detector_config(settings)),
        label_space=segmenter.label_space,
        describe_device=lambda: segmenter.device_description,
        model=path.name,
        model_hash=segmenter.metadata.weights_sha256[:12],
        threshold=segmenter.choose_threshold(None),
        score=str(segmenter.scoring),
    )
