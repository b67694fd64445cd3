"""The network of a process: loaded once, and an observer without memory for every recording."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch

from open_set_seg.calibration import Calibration
from open_set_seg.detector import ObstacleDetector
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.observer import Observer
from open_set_seg.processing.config import ProcessConfig
from open_set_seg.segmenter import OpenSetSegmenter


@dataclass(frozen=True, eq=False)
class Network:
    """A loaded network.

    Attributes:
        threshold: in use; ``threshold_source`` and ``promise``: where it is from, what it is worth.
    """

    detector: ObstacleDetector
    calibration: Calibration | None
    config: ProcessConfig
    label_space: LabelSpace
    device: str
    model_hash: str
    score: str
    threshold: float
    threshold_source: str
    promise: str

    @classmethod
    def load(cls, config: ProcessConfig) -> Network:
        """The network that a configuration names, in this process's number of threads.

        Raises:
            ValueError: as ``Observer.from_checkpoint``.
        """
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        observer = Observer.from_checkpoint(
            config.model,
            config.observer,
            config.device,
            config.precision,
            config.backend,
            config.score,
            config.calibration,
        )
        detector = observer.detector
        assert isinstance(detector, ObstacleDetector)
        segmenter = detector.segmenter
        assert isinstance(segmenter, OpenSetSegmenter)
        point = observer.operating_point
        return cls(
            detector=detector,
            calibration=observer.calibration,
            config=config,
            label_space=detector.label_space,
            device=segmenter.device_description,
            model_hash=segmenter.metadata.weights_sha256,
            score=str(segmenter.scoring),
            threshold=segmenter.choose_threshold(point.threshold),
            threshold_source=point.source,
            promise=point.promise,
        )

    def observer(self) -> Observer:
        """An observer that has seen nothing yet: ids begin at 1."""
        return Observer(self.detector, self.config.observer, self.calibration)

    def serves(self, config: ProcessConfig) -> bool:
        """Whether another configuration needs no other network."""
        return all(getattr(self.config, name) == getattr(config, name) for name in _LOADED)

    def reconfigured(self, config: ProcessConfig) -> Network:
        """The same network for another configuration that it serves."""
        return replace(self, config=config)


_LOADED = tuple(
    field.name
    for field in fields(ProcessConfig)
    if field.name
    in {"model", "observer", "device", "precision", "backend", "score", "calibration", "threads"}
)
