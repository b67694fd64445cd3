"""Where scores come from: our checkpoints, networks of others, or score maps in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import LabelImage, Prediction
from open_set_seg.head import head_backend
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.segmenter import OpenSetSegmenter, Precision
from training.datasets.frames import LabelledFrame

ScoreMap = NDArray[np.floating[Any]]


class EvaluationError(ValueError):
    """Something that was asked for and cannot be measured; says what was expected and found."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a source says about one image of H x W pixels.

    Attributes:
        scores: (H, W) floating, by name; higher is more anomalous.
        nearest: (H, W) uint8, nearest known class; None where the source knows no classes.
        prediction: with the published score at the checkpoint's threshold; None where there is
            no such threshold.
        resized: whether the maps had another size than the image.
    """

    scores: Mapping[str, ScoreMap]
    nearest: LabelImage | None = None
    prediction: Prediction | None = None
    resized: bool = False


class Source(Protocol):
    """Gives an answer to every image; the same image always gets the same bits."""

    @property
    def name(self) -> str:
        """Short, for folders and tables."""

    @property
    def kind(self) -> str:
        """checkpoint, torchscript, onnx, factory or stored."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """JSON values that tell this source from any other."""

    @property
    def device(self) -> str:
        """Where it computes, in words."""

    @property
    def label_space(self) -> LabelSpace | None:
        """The known classes, where there are any."""

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores in every answer."""

    @property
    def remembered(self) -> bool:
        """Whether an answer costs no more than reading a file."""

    @property
    def has_threshold(self) -> bool:
        """Whether answers hold a prediction."""

    def answer(self, frame: LabelledFrame) -> Answer:
        """The scores of a frame; looks at its image (stored maps: at its id), never at its truth.

        Raises:
            EvaluationError: no usable answer; names the file where there is one.
        """


@dataclass(frozen=True)
class SourceOptions:
    """What sources of some kind need to be told.

    Attributes:
        scores: names in ``SCORES``; None: the checkpoint's own, or JSD.
        device, precision: as for ``OpenSetSegmenter``.
        label_space: name in ``LABEL_SPACES`` of a foreign network's classes.
        mean, std, scale: a foreign network's input is (RGB * scale - mean) / std.
        factory: keyword arguments of a factory.
    """

    scores: tuple[str, ...] | None = None
    device: str = "auto"
    precision: Precision = "auto"
    label_space: str | None = None
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    scale: float = 1.0 / 255.0
    factory: Mapping[str, Any] = field(default_factory=dict)


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

    def answer(self, frame: LabelledFrame) -> Answer:
        """One forward pass."""
        try:
            prediction, maps = self.segmenter.segment_with_scores(frame.image, self.scores)
        except EvaluationError as error:
            raise EvaluationError(f"{self.name} on {frame.id}: {error}") from error
        return Answer(maps, prediction.nearest, prediction if self.own else None)


def open_source(specification: str, options: SourceOptions) -> Source:
    """The source that a command line names.

    Args:
        specification: a checkpoint, TorchScript or ONNX file, ``package.module:factory``, or a
            folder of score maps. Files are told apart by their content.
        options: see ``SourceOptions``.

    Raises:
        ValueError: no such thing, or options that do not fit; one line that says what is wrong.
    """
    from training.evaluation import foreign, stored

    path = Path(specification)
    if path.is_dir():
        return stored.open_stored_maps(path, options)
    if ":" in specification and not path.exists():
        return foreign.open_factory(specification, options)
    if foreign.is_torchscript(path):
        return foreign.open_torchscript(path, options)
    if foreign.is_onnx(path):
        return foreign.open_onnx(path, options)
    return open_checkpoint(path, options)


def open_checkpoint(path: Path, options: SourceOptions) -> NetworkSource:
    """A checkpoint of this package."""
    segmenter = OpenSetSegmenter.from_checkpoint(path, options.device, options.precision)
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
    return NetworkSource(name_of(path), "checkpoint", identity, segmenter, scores, own=True)


def name_of(path: Path) -> str:
    """The stem of a file, or the folder's name where the file is called ``model``."""
    path = path.resolve()
    return path.parent.name if path.stem == "model" and path.parent.name else path.stem


def distinct_names(names: Sequence[str]) -> list[str]:
    """The same names, the second of two equal ones with ``-2`` and so on."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return result
