"""OpenSetSegmenter: an RGB image in, labels with *unknown* and an anomaly map out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from open_set_seg.backends import PyTorchBackend
from open_set_seg.backends.pytorch import DTYPES, Arithmetic
from open_set_seg.checkpoint import CheckpointMetadata
from open_set_seg.frame import FloatImage, ImageRGB, LabelImage, Prediction
from open_set_seg.head import ScoreChannel, compute_channels
from open_set_seg.interventions import Intervention
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.models import PixelClassifier, SegmentationOutput
from open_set_seg.opening import open_model
from open_set_seg.scores import LogisticMap, ScoreInputs, ScoreStatistics
from open_set_seg.scoring import Scoring, ScoringError

logger = logging.getLogger(__name__)

Precision = Literal["auto", "fp32", "bf16", "fp16"]


class OpenSetSegmenter:
    """One network on one device.

    Not for use from several threads at once. The same image gives the same result, bit for bit, on
    the same device with the same number of threads.

    Args:
        model: network that maps RGB (B, 3, H, W) on 0..255 to a ``SegmentationOutput``.
        metadata: label space, score and threshold that belong to it.
        device: ``auto`` (CUDA where there is one, else the CPU) or a torch device name.
        precision: of the network's arithmetic; the head always computes in float32. ``auto`` is
            fp32, so that results do not depend on the processor; ``bf16`` halves the time on CPUs
            with AVX512-BF16 and on GPUs.
        statistics: of inlier data, for the scores that need them.

    Raises:
        ValueError: a device that is not there, or an unknown precision.
    """

    def __init__(
        self,
        model: nn.Module,
        metadata: CheckpointMetadata,
        device: str = "auto",
        precision: Precision = "auto",
        statistics: ScoreStatistics | None = None,
    ) -> None:
        self._metadata = metadata
        own = Scoring.parse(metadata.score)
        has_temperature = own.entry.temperature is not None
        self._scoring = replace(own, temperature=metadata.temperature if has_temperature else None)
        self._device = choose_device(device)
        arithmetic = choose_precision(precision, self._device)
        self._backend = PyTorchBackend(model, self._device, arithmetic)
        self._statistics = None if statistics is None else statistics.to(self._device)
        self._check(self._scoring, metadata.score)
        logger.info("segmenter: %s", self.device_description)

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, device: str = "auto", precision: Precision = "auto"
    ) -> OpenSetSegmenter:
        """The segmenter of a model file: of any kind in ``open_set_seg.opening.KINDS``.

        Raises:
            CheckpointError: the file is no usable checkpoint.
            ValueError: no usable model file of another kind, or as the constructor.
        """
        network, metadata, statistics = open_model(path, choose_device(device))
        return cls(network, metadata, device, precision, statistics)

    @property
    def metadata(self) -> CheckpointMetadata:
        """What the checkpoint says about the network."""
        return self._metadata

    @property
    def label_space(self) -> LabelSpace:
        """The known classes."""
        return self._metadata.label_space

    @property
    def threshold(self) -> float:
        """The checkpoint's threshold on the published [0, 1] scale."""
        return self._metadata.threshold

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._device

    @property
    def device_description(self) -> str:
        """Device, precision and threads in words, for logs and diagnostics."""
        network = f"{self._metadata.architecture} x{self._metadata.width:g}"
        return f"{network}, {self._backend.description}"

    def segment(self, rgb: ImageRGB, threshold: float | None = None) -> Prediction:
        """Labels and anomaly of one image.

        Args:
            rgb: (H, W, 3) uint8, any H and W.
            threshold: instead of the checkpoint's, in [0, 1].

        Raises:
            ValueError: another shape or type, or a threshold outside [0, 1].
        """
        return self.segment_with_scores(rgb, (), threshold)[0]

    def score_maps(
        self, rgb: ImageRGB, scores: Sequence[str]
    ) -> tuple[LabelImage, dict[str, FloatImage]]:
        """Nearest known class (H, W), and a map (H, W) of every score, from one forward pass.

        Scores come as their formulas give them: an unbounded one is *not* mapped to [0, 1]. The
        checkpoint's own score has the checkpoint's temperature, any other its default. Where the
        network gives no finite number the map holds the largest value: 1, or infinity.

        Raises:
            ValueError: as ``segment`` and ``check_scores``.
        """
        prediction, maps = self.segment_with_scores(rgb, scores)
        return prediction.nearest, maps

    def segment_with_scores(
        self, rgb: ImageRGB, scores: Sequence[str], threshold: float | None = None
    ) -> tuple[Prediction, dict[str, FloatImage]]:
        """What ``segment`` and ``score_maps`` return, from one forward pass.

        Raises:
            ValueError: as ``segment`` and ``check_scores``.
        """
        threshold = self.threshold if threshold is None else float(threshold)
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"the threshold must lie in [0, 1], not {threshold}")
        check_image(rgb)
        self.check_scores(scores)
        own = _Request(self._scoring, self._metadata.score_map)
        wanted = {name: _Request(self._read(name)) for name in scores}
        # A bounded score is published as it is, so its map may be wanted twice.
        nearest, maps = self._infer(rgb, tuple(dict.fromkeys([own, *wanted.values()])))
        anomaly = maps[own]
        labels = np.where(anomaly > threshold, np.uint8(self.label_space.unknown_id), nearest)
        prediction = Prediction(labels, anomaly, nearest, threshold)
        return prediction, {name: maps[request] for name, request in wanted.items()}

    def check_scores(self, scores: Sequence[str]) -> None:
        """Raise ``ScoringError`` with one line if a score is unknown or needs what is not there."""
        for name in scores:
            self._check(self._read(name), name)

    def _read(self, name: str) -> Scoring:
        scoring, own = Scoring.parse(name), self._scoring
        if scoring.score == own.score and scoring.temperature is None:
            return replace(scoring, temperature=own.temperature)
        return scoring

    def _check(self, scoring: Scoring, name: str) -> None:
        fitted = {} if self._statistics is None else self._statistics.tensors()
        missing = [field for field in scoring.statistics if field not in fitted]
        network = self._metadata.architecture
        if "outlier_logits" in scoring.entry.needs and not self._metadata.outlier_head:
            raise ScoringError(
                f"the score {name!r} needs outlier logits, and this network ({network}) has no "
                "outlier head"
            )
        if scoring.needs_features and not isinstance(self._backend.network, PixelClassifier):
            raise ScoringError(
                f"the score {name!r} needs features, and this network ({network}) does not give "
                "them"
            )
        if missing:
            raise ScoringError(
                f"the score {name!r} needs statistics of inlier data ({', '.join(missing)}), and "
                "the checkpoint carries none: `open-set-seg fit` adds them"
            )

    def _infer(
        self, rgb: ImageRGB, requests: Sequence[_Request]
    ) -> tuple[LabelImage, dict[_Request, FloatImage]]:
        with torch.inference_mode():
            plain = self._backend(rgb)
            # The plain pass comes first: its classes are the frame's, whatever a score asks for.
            order = dict.fromkeys([None, *(request.scoring.intervention for request in requests)])
            nearest: LabelImage | None = None
            maps: dict[_Request, FloatImage] = {}
            for intervention in order:
                inputs = self._intervene(intervention, rgb, plain)
                mine = [r for r in requests if r.scoring.intervention == intervention]
                channels = [request.channel for request in mine]
                classes, found = compute_channels(inputs, rgb.shape[:2], channels, self._statistics)
                if nearest is None:
                    nearest = classes[0].cpu().numpy()
                for request, values in zip(mine, found, strict=True):
                    maps[request] = request.finish(values[0].cpu(), nearest, self.label_space)
        assert nearest is not None
        return nearest, maps

    def _intervene(
        self, intervention: Intervention | None, rgb: ImageRGB, plain: SegmentationOutput
    ) -> ScoreInputs:
        if intervention is None:
            return ScoreInputs(*plain)
        image = self._backend.image_tensor(rgb)
        return intervention.apply(self._backend.network, image, plain, self._statistics)


@dataclass(frozen=True)
class _Request:
    """A map that is wanted: a scoring, and the map that publishes it."""

    scoring: Scoring
    score_map: LogisticMap | None = None

    @property
    def channel(self) -> ScoreChannel:
        scoring = self.scoring
        score_map = None if scoring.steps else self.score_map
        return ScoreChannel(scoring.score, scoring.temperature, score_map, scoring.coarse)

    def finish(self, values: Tensor, nearest: LabelImage, space: LabelSpace) -> FloatImage:
        """The channel's values on the CPU, with what comes after the head."""
        anomaly: FloatImage = values.numpy()
        for step in self.scoring.steps:
            anomaly = step(anomaly, nearest, space, self.scoring.lowest)
        if self.scoring.steps and self.score_map is not None:
            anomaly = self.score_map(torch.from_numpy(anomaly)).numpy()
        return anomaly


def check_image(rgb: ImageRGB) -> None:
    """Raise ``ValueError`` unless ``rgb`` is an (H, W, 3) uint8 array with pixels in it."""
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8:
        found = rgb.dtype if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise ValueError(f"expected an image as a uint8 array, found {found}")
    if rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f"expected an RGB image of shape (H, W, 3), found {rgb.shape}")


def choose_device(name: str) -> torch.device:
    """The torch device of a name, ``auto`` included.

    Raises:
        ValueError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}: expected auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} was asked for, but torch sees no CUDA device here")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r}: torch sees {torch.cuda.device_count()} CUDA devices")
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {name!r}: expected auto, cpu or cuda")
    return device


def choose_precision(name: Precision, device: torch.device) -> Arithmetic:
    """The arithmetic behind a precision name on ``device``.

    Raises:
        ValueError: unknown name, or fp16 on a CPU (which has no fast fp16 convolutions).
    """
    if name == "auto":
        return "fp32"
    if name not in DTYPES:
        raise ValueError(f"unknown precision {name!r}: expected auto, {', '.join(DTYPES)}")
    if name == "fp16" and device.type == "cpu":
        raise ValueError("fp16 is for CUDA devices; on a CPU take fp32 or bf16")
    return name
