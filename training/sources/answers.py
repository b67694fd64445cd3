"""What a source of scores is, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from open_set_seg.backends import Precision, PyTorchBackend
from open_set_seg.frame import LabelImage, Prediction
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.models.adapter import BYTE_SCALE, IMAGENET_MEAN, IMAGENET_STD
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
        """checkpoint, torchscript, onnx, description, factory or stored."""

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

    def renamed(self, name: str) -> Source:
        """The same under another name."""

    def answer(self, frame: LabelledFrame) -> Answer:
        """The scores of a frame; looks at its image (stored maps: at its id), never at its truth.

        Raises:
            EvaluationError: no usable answer; names the file where there is one.
        """


@dataclass(frozen=True)
class SourceOptions:
    """What sources of some kind need to be told.

    Attributes:
        scores: names of scorings; None: the checkpoint's own, or JSD.
        device, precision: as for ``OpenSetSegmenter``.
        label_space: name in ``LABEL_SPACES`` of a foreign network's classes.
        mean, std, scale: a foreign network's input is (RGB * scale - mean) / std.
        factory: keyword arguments of a factory.
        backend: as for ``OpenSetSegmenter``; figures do not depend on what is installed unless
            another one is named.
    """

    scores: tuple[str, ...] | None = None
    device: str = "auto"
    precision: Precision = "auto"
    label_space: str | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    scale: float = BYTE_SCALE
    factory: Mapping[str, Any] = field(default_factory=dict)
    backend: str = PyTorchBackend.name
