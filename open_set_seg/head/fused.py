"""The head by compiled kernels: which one, and what it can do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from open_set_seg.head.channels import ScoreChannel
from open_set_seg.head.invalid import fill_reached, separate_invalid
from open_set_seg.kernels import (
    HeadInputs,
    KernelChannel,
    UnknownRule,
    choose_gpu_head_kernel,
    choose_head_kernel,
)
from open_set_seg.scores import SCORES, ScoreInputs, ScoreStatistics

# What a kernel gives: its maps by channel, and labels if it made them.
Computed = tuple[Tensor, dict[ScoreChannel, Tensor], Tensor | None]


def head_backend(device: torch.device | str = "cpu") -> str:
    """What computes the head on a device, in words: for logs, ``info`` and diagnostics."""
    device = torch.device(device)
    if device.type == "cuda" and torch.cuda.is_available():
        index = torch.cuda.current_device() if device.index is None else device.index
        reason = choose_gpu_head_kernel(torch.device("cuda", index))[1]
        return f"tiled PyTorch ({reason})" if reason else "Triton kernel"
    if device.type != "cpu":
        return "tiled PyTorch"
    kernel, reason = choose_head_kernel()
    if kernel is None:
        return f"tiled PyTorch ({reason})"
    return f"C kernel ({kernel.instructions}, {torch.get_num_threads()} threads)"


def compute_on_cpu(
    inputs: ScoreInputs,
    size: tuple[int, int],
    channels: Sequence[ScoreChannel],
    statistics: ScoreStatistics | None,
    unknown: UnknownRule | None,
) -> Computed | None:
    """What the C kernel knows; None where it cannot work."""
    kernel, read = choose_head_kernel()[0], _read_inputs(inputs, statistics)
    if kernel is None or not kernel.supports(read, size):
        return None
    wanted, rule = _choose_channels(read, channels, unknown)
    if not wanted and any(not channel.on_grid for channel in channels):
        return None
    asked, threads = list(wanted.values()), torch.get_num_threads()
    (nearest, maps, labels), finite = kernel(read, size, asked, threads, rule)
    if not finite:
        # Rare, so it may cost a second walk: what such a number reaches is for one function to say.
        clean, reached = separate_invalid(inputs, list(wanted), size)
        (nearest, maps, _), _ = kernel(_read_inputs(clean, statistics), size, asked, threads)
        nearest, maps, labels = *fill_reached(nearest, maps, list(wanted), reached), None
    return nearest, dict(zip(wanted, maps, strict=True)), labels


def compute_on_gpu(
    inputs: ScoreInputs,
    size: tuple[int, int],
    channels: Sequence[ScoreChannel],
    statistics: ScoreStatistics | None,
    unknown: UnknownRule | None,
) -> Computed | None:
    """What the Triton kernel knows; None where it cannot work."""
    kernel = choose_gpu_head_kernel(inputs.logits.device)[0]
    read = _read_inputs(inputs, statistics)
    if kernel is None or not kernel.supports(read, size):
        return None
    wanted, rule = _choose_channels(read, channels, unknown)
    nearest, maps, labels = kernel(read, size, list(wanted.values()), rule)
    return nearest, dict(zip(wanted, maps, strict=True)), labels


def _read_inputs(inputs: ScoreInputs, statistics: ScoreStatistics | None) -> HeadInputs:
    fitted = statistics or ScoreStatistics()
    return HeadInputs(
        inputs.logits, inputs.outlier_logits, fitted.max_logit_mean, fitted.max_logit_deviation
    )


def _choose_channels(
    read: HeadInputs, channels: Sequence[ScoreChannel], unknown: UnknownRule | None
) -> tuple[dict[ScoreChannel, KernelChannel], UnknownRule | None]:
    """What a kernel can compute, and the rule if the first channel is among it."""
    asked = {channel: kernel_channel(channel) for channel in channels}
    wanted = {
        channel: one
        for channel, one in asked.items()
        if read.suffice(one)
        and not channel.coarse
        # The score itself says that it takes no temperature.
        and (channel.temperature is None or SCORES[channel.score].temperature is not None)
    }
    return wanted, unknown if channels and channels[0] in wanted else None


def kernel_channel(channel: ScoreChannel) -> KernelChannel:
    """The same for a kernel, with nothing left to defaults."""
    score, temperature, score_map = channel.score, channel.temperature, channel.score_map
    default = SCORES[score].temperature
    temperature = (1.0 if default is None else default) if temperature is None else temperature
    logistic = None if score_map is None else (score_map.location, score_map.scale)
    return KernelChannel(score, temperature, channel.maximum, logistic)
