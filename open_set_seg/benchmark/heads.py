"""What is timed after the network: closed-set ends, the textbook's head, and every score."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from open_set_seg.head import ScoreChannel, compute_channels
from open_set_seg.models import SegmentationOutput
from open_set_seg.scores import ScoreInputs, ScoreStatistics, jsd_maximum
from open_set_seg.scoring import Scoring

TEMPERATURE = 2.0
# Of every engine, before any score.
Head = Callable[[SegmentationOutput, tuple[int, int]], Any]
NETWORK, CLOSED_SET, TEXTBOOK = "network alone", "upsample + argmax", "textbook head (jsd)"


def textbook_head(logits: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Upsampling, softmax, mixture, two divergences and arg-max, each on the whole image.

    Args:
        logits: (B, K, h, w).
        size: (H, W).

    Returns:
        Arg-max (B, H, W) int64, and 1 - JSD to uniform at T = 2 (B, H, W) in [0, 1].
    """
    full = functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    probability = torch.softmax(full / TEMPERATURE, dim=1)
    uniform = torch.full_like(probability, 1.0 / logits.shape[1])
    mixture = (probability + uniform) / 2.0
    tiny = torch.finfo(probability.dtype).tiny
    of_uniform = (uniform * (uniform / mixture).log()).sum(dim=1)
    of_probability = (probability * (probability / mixture).clamp(min=tiny).log()).sum(dim=1)
    divergence = (of_uniform + of_probability) / 2.0
    return full.argmax(dim=1), 1.0 - divergence / jsd_maximum(logits.shape[1])


def upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, K, H, W) in float32, bilinear with half-pixel centres."""
    return functional.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)


HEADS: dict[str, Head] = {
    NETWORK: lambda output, size: output,
    CLOSED_SET: lambda output, size: upsample(output.logits, size).argmax(dim=1),
    "upsample + max": lambda output, size: upsample(output.logits, size).max(dim=1),
    "this head, arg-max alone": lambda output, size: compute_channels(
        ScoreInputs(output.logits), size, []
    ),
    TEXTBOOK: lambda output, size: textbook_head(output.logits.float(), size),
}


def score_channel(scoring: Scoring) -> ScoreChannel:
    """The channel of the head for a scoring: the score as its formula gives it."""
    return ScoreChannel(scoring.score, scoring.temperature, None, scoring.coarse)


def score_head(scoring: Scoring, statistics: ScoreStatistics | None) -> Head:
    """Nearest class and score of what a plain pass gave."""
    channel = score_channel(scoring)
    return lambda output, size: compute_channels(ScoreInputs(*output), size, [channel], statistics)


def moved_bytes(image: tuple[int, int], parameters: int, element: int, anomaly: bool) -> int:
    """Bytes that network and head must move: RGB and parameters in, label and float32 score out.

    Args:
        image: (H, W).
        parameters: of the network; element: bytes of each.
        anomaly: whether a score is wanted.
    """
    return math.prod(image) * (3 + 1 + (4 if anomaly else 0)) + parameters * element
