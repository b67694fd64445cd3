"""A network as a source of scores, and our checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from open_set_seg.head import head_backend
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.models import AdapterError
from open_set_seg.scoring import Scoring
from open_set_seg.segmenter import OpenSetSegmenter
from training.datasets.frames import LabelledFrame
from training.sources.answers import Answer, EvaluationError, SourceOptions


@dataclass(frozen=True, eq=False)
class NetworkSource:
    """A network on this machine; see ``Source``.

    Attributes:
        segmenter: network and head.
        own: whether the segmenter's threshold belongs to the network.
    """

    name: str
    kind: str
    identity: Mapping[str, Any]
    segmenter: OpenSetSegmenter
    scores: tuple[str, ...]
    own: bool
    remembered: bool = False

    def __post_init__(self) -> None:
        self.segmenter.check_scores(self.scores)

    @property
    def label_space(self) -> LabelSpace:
        """The known classes."""
        return self.segmenter.label_space

    @property
    def device(self) -> str:
        """Device and precision, and what computes the head: digits may depend on all of them."""
        segmenter = self.segmenter
        return f"{segmenter.device_description}, head: {head_backend(segmenter.device)}"

    @property
    def has_threshold(self) -> bool:
        """Whether answers hold a prediction."""
        return self.own

    def renamed(self, name: str) -> NetworkSource:
        """The same under another name."""
        return replace(self, name=name)

    def answer(self, frame: LabelledFrame) -> Answer:
        """One forward pass."""
        try:
            prediction, maps = self.segmenter.segment_with_scores(frame.image, self.scores)
        except AdapterError as error:
            raise EvaluationError(f"{self.name} on {frame.id}: {error}") from error
        return Answer(maps, prediction.nearest, prediction if self.own else None)


def open_checkpoint(path: Path, options: SourceOptions) -> NetworkSource:
    """A checkpoint of this package."""
    segmenter = OpenSetSegmenter.from_checkpoint(
        path, options.device, options.precision, backend=options.backend
    )
    metadata = segmenter.metadata
    identity = {
        "weights_sha256": metadata.weights_sha256,
        "architecture": metadata.architecture,
        "width": metadata.width,
        "label_space": metadata.label_space.name,
        "score": metadata.score,
        "temperature": metadata.temperature,
        "threshold": metadata.threshold,
    }
    scores = options.scores or (metadata.score,)
    # Only where they matter: figures of other scores stay valid when statistics are added.
    if any(Scoring.parse(name).statistics for name in scores):
        identity["statistics_sha256"] = metadata.statistics_sha256
    return NetworkSource(name_of(path), "checkpoint", identity, segmenter, scores, own=True)


def name_of(path: Path) -> str:
    """The stem of a file, or the folder's name where the file is called ``model``."""
    path = path.resolve()
    return path.parent.name if path.stem == "model" and path.parent.name else path.stem
