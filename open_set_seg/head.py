"""The open-set head: logits at stride 4 -> nearest known class and anomaly at full size.

Logits are upsampled bilinearly (half-pixel centres) to the image size *before* the score. Whatever
is not a finite number becomes anomaly 1: a network that cannot say anything about a pixel does not
know it.

On a CPU a C kernel does all of it in one walk over the logits, where it was built; else, and for
what the kernel cannot do, PyTorch works through the image in tiles. Setting ``OPEN_SET_SEG_HEAD``
to ``pytorch`` in the environment keeps the kernel out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from open_set_seg.kernels import HeadKernel, KernelChannel, choose_head_kernel
from open_set_seg.scores import SCORES, LogisticMap

# Output rows worked on at once: the class planes of one tile stay in the processor's cache.
TILE_ROWS = 32


@dataclass(frozen=True)
class ScoreChannel:
    """One map that the head computes.

    Attributes:
        score: key in ``SCORES``.
        temperature: T of the score; None: its default.
        score_map: publishes an unbounded score in [0, 1]; None: the score as its formula gives it.
    """

    score: str
    temperature: float | None = None
    score_map: LogisticMap | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """(B, H, W) of logits (B, K, H, W)."""
        values = SCORES[self.score](logits, self.temperature)
        return values if self.score_map is None else self.score_map(values)

    @property
    def maximum(self) -> float:
        """The most anomalous value that there is: 1, or infinity for an unpublished score."""
        bounded = SCORES[self.score].bounded or self.score_map is not None
        return 1.0 if bounded else math.inf


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
    nearest, (anomaly,) = compute_channels(logits, size, [channel])
    return nearest, anomaly


def compute_channels(
    logits: Tensor, size: tuple[int, int], channels: Sequence[ScoreChannel]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Nearest known class, and the map of every channel, from logits that are upsampled once.

    The (B, K, H, W) volume of upsampled logits never exists. A pixel that a logit that is no finite
    number reaches, or whose score is NaN, gets the channel's ``maximum``.

    Args:
        logits: (B, K, h, w), any floating type; computed in float32 at least.
        size: (H, W) of the image.
        channels: what to compute.

    Returns:
        nearest: (B, H, W) uint8, arg-max of the logits, ties to the lower class.
        maps: (B, H, W) each, in the order of ``channels``, free of NaN.
    """
    kernel = choose_head_kernel()[0]
    if kernel is not None:
        wanted = [_kernel_channel(channel) for channel in channels]
        if kernel.supports(logits, size, wanted):
            return _compute_by_kernel(kernel, logits, size, wanted)
    return _compute_by_tiles(logits, size, channels)


def head_backend(device: torch.device | str = "cpu") -> str:
    """What computes the head on a device, in words: for logs, ``info`` and diagnostics."""
    kernel, reason = choose_head_kernel()
    if torch.device(device).type != "cpu":
        return "tiled PyTorch"
    if kernel is None:
        return f"tiled PyTorch ({reason})"
    return f"C kernel ({kernel.instructions}, {torch.get_num_threads()} threads)"


def _kernel_channel(channel: ScoreChannel) -> KernelChannel:
    score, temperature, score_map = channel.score, channel.temperature, channel.score_map
    temperature = SCORES[score].temperature if temperature is None else temperature
    logistic = None if score_map is None else (score_map.location, score_map.scale)
    return KernelChannel(score, temperature, channel.maximum, logistic)


def _compute_by_kernel(
    kernel: HeadKernel, logits: Tensor, size: tuple[int, int], channels: Sequence[KernelChannel]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    logits, threads = logits.detach().float(), torch.get_num_threads()
    nearest, maps, finite = kernel(logits, size, channels, threads)
    if finite:
        return nearest, tuple(maps)
    # Rare, so it may cost a second walk: what the invalid logits reach is for one function to say.
    logits, invalid = _separate_invalid(logits, size)
    nearest, maps, _ = kernel(logits, size, channels, threads)
    pairs = zip(maps, channels, strict=True)
    known = tuple(_fill_invalid(values, invalid, channel.maximum) for values, channel in pairs)
    return nearest if invalid is None else nearest.masked_fill(invalid, 0), known


def _compute_by_tiles(
    logits: Tensor, size: tuple[int, int], channels: Sequence[ScoreChannel]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    logits, invalid = _separate_invalid(logits, size)
    logits = logits.contiguous()
    batch, _, height, width = logits.shape
    nearest = torch.empty((batch, *size), dtype=torch.uint8, device=logits.device)
    maps = [torch.empty_like(nearest, dtype=logits.dtype) for _ in channels]
    upper, lower, weight = _row_blend(height, size[0], logits)
    for start in range(0, size[0], TILE_ROWS):
        rows = slice(start, min(start + TILE_ROWS, size[0]))
        blend = weight[rows].view(1, 1, -1, 1)
        tile = torch.lerp(logits[:, :, upper[rows]], logits[:, :, lower[rows]], blend)
        tile = _upsample(tile, (tile.shape[2], size[1])) if width != size[1] else tile
        nearest[:, rows] = _nearest(tile)
        for channel, values in zip(channels, maps, strict=True):
            values[:, rows] = channel(tile)
    pairs = zip(maps, channels, strict=True)
    known = tuple(_fill_invalid(values, invalid, channel.maximum) for values, channel in pairs)
    return nearest if invalid is None else nearest.masked_fill(invalid, 0), known


def reference_head(
    logits: Tensor,
    size: tuple[int, int],
    score: str = "jsd",
    temperature: float | None = None,
    score_map: LogisticMap | None = None,
) -> tuple[Tensor, Tensor]:
    """The definition that ``open_set_head`` keeps to, on the whole image at once."""
    check_score(score, score_map)
    logits, invalid = _separate_invalid(logits, size)
    upsampled = _upsample(logits, size)
    nearest, anomaly = _nearest(upsampled), ScoreChannel(score, temperature, score_map)(upsampled)
    anomaly = _fill_invalid(anomaly, invalid, 1.0)
    return nearest if invalid is None else nearest.masked_fill(invalid, 0), anomaly


def check_score(score: str, score_map: LogisticMap | None) -> None:
    """Raise ``ValueError`` unless the score exists and has a map exactly when it needs one."""
    if score not in SCORES:
        raise ValueError(f"unknown score {score!r}; known are {', '.join(sorted(SCORES))}")
    if SCORES[score].bounded == (score_map is not None):
        expected = (
            "lies in [0, 1] and takes no" if SCORES[score].bounded else "is unbounded: it needs a"
        )
        raise ValueError(f"the score {score!r} {expected} logistic map")


def _upsample(values: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(values, size=size, mode="bilinear", align_corners=False)


def _separate_invalid(logits: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """Finite logits in float32 or float64, and the pixels that a logit of another kind reaches."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    finite = torch.isfinite(logits)
    if bool(finite.all()):
        return logits, None
    reach = (~finite).any(dim=1, keepdim=True).to(logits.dtype)
    return logits.where(finite, 0.0), _upsample(reach, size).squeeze(1) > 0.0


def _nearest(logits: Tensor) -> Tensor:
    # max() returns the first maximum as argmax() does, in half its time.
    return logits.max(dim=1).indices.to(torch.uint8)


def _fill_invalid(values: Tensor, invalid: Tensor | None, maximum: float) -> Tensor:
    # Finite logits can still overflow inside a score; that is no knowledge either.
    values = torch.nan_to_num(values, nan=maximum, posinf=maximum, neginf=-math.inf)
    return values if invalid is None else values.masked_fill(invalid, maximum)


def _row_blend(source: int, target: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For every output row its two source rows and the weight of the second."""
    rows = torch.arange(target, device=like.device, dtype=torch.float64)
    position = ((rows + 0.5) * (source / target) - 0.5).clamp(min=0.0)
    upper = position.floor().to(torch.long).clamp(max=source - 1)
    lower = (upper + 1).clamp(max=source - 1)
    return upper, lower, (position - upper).to(like.dtype)
