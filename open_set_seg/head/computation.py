"""The head as others call it, and its definition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from open_set_seg.head import fused
from open_set_seg.head.channels import HeadOutput, ScoreChannel, check_score
from open_set_seg.head.invalid import fill_invalid, separate_invalid
from open_set_seg.head.tiles import compute_by_tiles, find_nearest
from open_set_seg.head.upsampling import upsample
from open_set_seg.kernels import UnknownRule
from open_set_seg.scores import LogisticMap, ScoreInputs, ScoreStatistics


def open_set_head(
    logits: Tensor,
    size: tuple[int, int],
    score: str = "jsd",
    temperature: float | None = None,
    score_map: LogisticMap | None = None,
) -> tuple[Tensor, Tensor]:
    """Nearest known class and published anomaly of every pixel.

    Equal to ``reference_head`` up to rounding.

    Args:
        logits: (B, K, h, w), any floating type; computed in float32 at least.
        size: (H, W) of the image.
        score: key in ``SCORES``.
        temperature: T of the score; None: its default.
        score_map: publishes an unbounded score; must be given for those and only for those.

    Returns:
        nearest: (B, H, W) uint8, arg-max of the logits, ties to the lower class.
        anomaly: (B, H, W) in [0, 1], free of NaN, float32 (float64 for float64 logits).

    Raises:
        ValueError: unknown score, or a map that is missing or not wanted.
    """
    check_score(score, score_map)
    channel = ScoreChannel(score, temperature, score_map)
    nearest, (anomaly,) = compute_channels(ScoreInputs(logits), size, [channel])
    return nearest, anomaly


def compute_channels(
    inputs: ScoreInputs,
    size: tuple[int, int],
    channels: Sequence[ScoreChannel],
    statistics: ScoreStatistics | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Nearest known class, and the map of every channel, from logits that are upsampled once.

    The (B, K, H, W) volume of upsampled logits never exists. A pixel that a number that is not
    finite reaches, in the logits or in what the channel reads besides, or whose score is NaN, gets
    the channel's ``maximum``.

    Args:
        inputs: what the network gave, any floating type; computed in float32 at least.
        size: (H, W) of the image.
        channels: what to compute.
        statistics: for the scores that need them.

    Returns:
        nearest: (B, H, W) uint8, arg-max of the logits, ties to the lower class.
        maps: (B, H, W) each, in the order of ``channels``, free of NaN.

    Raises:
        ValueError: a channel needs what is not there.
    """
    nearest, maps, _ = label_channels(inputs, size, channels, None, statistics)
    return nearest, maps


def label_channels(
    inputs: ScoreInputs,
    size: tuple[int, int],
    channels: Sequence[ScoreChannel],
    unknown: UnknownRule | None,
    statistics: ScoreStatistics | None = None,
) -> HeadOutput:
    """``compute_channels``, and final labels in the same walk.

    Args:
        inputs: as there, and so are size, channels and statistics.
        unknown: what the first channel's map is compared with, in the precision of the map; None:
            no labels.
    """
    on_gpu = inputs.logits.device.type == "cuda"
    run_kernel = fused.compute_on_gpu if on_gpu else fused.compute_on_cpu
    computed = run_kernel(inputs, size, channels, statistics, unknown)
    labels: Tensor | None = None
    if computed is None:
        nearest, maps = compute_by_tiles(inputs, size, channels, statistics)
    else:
        nearest, known, labels = computed
        others = [channel for channel in dict.fromkeys(channels) if channel not in known]
        if others:
            _, found = compute_by_tiles(inputs, size, others, statistics, nearest)
            known.update(zip(others, found, strict=True))
        maps = tuple(known[channel] for channel in channels)
    if unknown is not None and labels is None:
        threshold = torch.tensor(unknown.threshold, dtype=maps[0].dtype, device=maps[0].device)
        labels = nearest.masked_fill(maps[0] > threshold, unknown.label)
    return HeadOutput(nearest, maps, labels)


def reference_head(
    logits: Tensor,
    size: tuple[int, int],
    score: str = "jsd",
    temperature: float | None = None,
    score_map: LogisticMap | None = None,
) -> tuple[Tensor, Tensor]:
    """The definition that ``open_set_head`` keeps to, on the whole image at once."""
    check_score(score, score_map)
    channel = ScoreChannel(score, temperature, score_map)
    inputs, reached = separate_invalid(ScoreInputs(logits), [channel], size)
    invalid = reached.get("logits")
    upsampled = upsample(inputs.logits, size)
    nearest, anomaly = find_nearest(upsampled), channel(ScoreInputs(upsampled))
    anomaly = fill_invalid(anomaly, invalid, 1.0)
    return nearest if invalid is None else nearest.masked_fill(invalid, 0), anomaly
