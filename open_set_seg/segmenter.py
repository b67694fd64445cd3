"""OpenSetSegmenter: an RGB image in, labels with *unknown* and an anomaly map out."""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from open_set_seg.checkpoint import CheckpointMetadata, load_checkpoint
from open_set_seg.frame import FloatImage, ImageRGB, LabelImage, Prediction
from open_set_seg.head import ScoreChannel, compute_channels
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.models import SegmentationOutput
from open_set_seg.scores import SCORES

logger = logging.getLogger(__name__)

Precision = Literal["auto", "fp32", "bf16", "fp16"]
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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

    Raises:
        ValueError: a device that is not there, or an unknown precision.
    """

    def __init__(
        self,
        model: nn.Module,
        metadata: CheckpointMetadata,
        device: str = "auto",
        precision: Precision = "auto",
    ) -> None:
        self._metadata = metadata
        self._device = choose_device(device)
        self._precision = choose_precision(precision, self._device)
        self._dtype = _DTYPES[self._precision]
        model = model.eval().to(device=self._device, dtype=self._dtype)
        self._model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        logger.info("segmenter: %s", self.device_description)

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, device: str = "auto", precision: Precision = "auto"
    ) -> OpenSetSegmenter:
        """The segmenter of a checkpoint file.

        Raises:
            CheckpointError: the file is no usable checkpoint.
            ValueError: as the constructor.
        """
        model, metadata = load_checkpoint(path)
        return cls(model, metadata, device, precision)

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
        if self._device.type == "cuda":
            where = f"{self._device} ({torch.cuda.get_device_name(self._device)})"
        else:
            where = f"{self._device} ({platform.machine()}, {torch.get_num_threads()} threads)"
        return (
            f"{self._metadata.architecture} x{self._metadata.width:g} on {where}, {self._precision}"
        )

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
        metadata = self._metadata
        published = ScoreChannel(metadata.score, metadata.temperature, metadata.score_map)
        channels = {name: self._channel(name) for name in scores}
        # A bounded score is published as it is, so its channel may be wanted twice.
        nearest, maps = self._infer(rgb, tuple(dict.fromkeys([published, *channels.values()])))
        anomaly = maps[published]
        labels = np.where(anomaly > threshold, np.uint8(self.label_space.unknown_id), nearest)
        prediction = Prediction(labels, anomaly, nearest, threshold)
        return prediction, {name: maps[channel] for name, channel in channels.items()}

    def check_scores(self, scores: Sequence[str]) -> None:
        """Raise ``ValueError`` with one line if a score is unknown or needs what is not there."""
        for name in scores:
            if name not in SCORES:
                raise ValueError(f"unknown score {name!r}; known are {', '.join(sorted(SCORES))}")
            if "outlier_logits" in SCORES[name].needs and not self._metadata.outlier_head:
                raise ValueError(
                    f"the score {name!r} needs outlier logits, and this network "
                    f"({self._metadata.architecture}) has no outlier head"
                )

    def _channel(self, score: str) -> ScoreChannel:
        own = score == self._metadata.score
        return ScoreChannel(score, self._metadata.temperature if own else None)

    @torch.inference_mode()
    def _infer(
        self, rgb: ImageRGB, channels: Sequence[ScoreChannel]
    ) -> tuple[LabelImage, dict[ScoreChannel, FloatImage]]:
        output: SegmentationOutput = self._model(self._to_tensor(rgb))
        nearest, maps = compute_channels(output.logits, rgb.shape[:2], channels)
        arrays = (values[0].cpu().numpy() for values in maps)
        return nearest[0].cpu().numpy(), dict(zip(channels, arrays, strict=True))

    def _to_tensor(self, rgb: ImageRGB) -> Tensor:
        # (H, W, 3) bytes are a channels-last image already: a view, then one conversion on the
        # device. The copy is for arrays that torch cannot view (negative steps, read-only memory).
        if not rgb.flags.writeable or not rgb.flags.c_contiguous:
            rgb = rgb.copy()
        image = torch.from_numpy(rgb).to(self._device).permute(2, 0, 1).unsqueeze(0)
        return image.to(torch.float32).to(self._dtype)


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


def choose_precision(name: Precision, device: torch.device) -> Literal["fp32", "bf16", "fp16"]:
    """The arithmetic behind a precision name on ``device``.

    Raises:
        ValueError: unknown name, or fp16 on a CPU (which has no fast fp16 convolutions).
    """
    if name == "auto":
        return "fp32"
    if name not in _DTYPES:
        raise ValueError(f"unknown precision {name!r}: expected auto, {', '.join(_DTYPES)}")
    if name == "fp16" and device.type == "cpu":
        raise ValueError("fp16 is for CUDA devices; on a CPU take fp32 or bf16")
    return name
