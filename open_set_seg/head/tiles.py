"""The head in PyTorch, a few rows at a time: on any device, for every score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from open_set_seg.head.channels import ScoreChannel
from open_set_seg.head.invalid import fill_reached, separate_invalid
from open_set_seg.head.upsampling import blend_rows, upsample
from open_set_seg.scores import ScoreInputs, ScoreStatistics

# Output rows worked on at once: the class planes of one tile stay in the processor's cache.
TILE_ROWS = 32


def compute_by_tiles(
    inputs: ScoreInputs,
    size: tuple[int, int],
    channels: Sequence[ScoreChannel],
    statistics: ScoreStatistics | None = None,
    known: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Nearest classes, unless they are known, and maps."""
    inputs, reached = separate_invalid(inputs, channels, size)
    shape, dtype = (inputs.logits.shape[0], *size), inputs.logits.dtype
    nearest = inputs.logits.new_empty(shape, dtype=torch.uint8) if known is None else known
    maps = [
        _score_grid(channel, inputs, size, statistics)
        if channel.on_grid
        else torch.empty_like(nearest, dtype=dtype)
        for channel in channels
    ]
    walked = [one for one in zip(channels, maps, strict=True) if not one[0].on_grid]
    for rows, upsampled in _walk_tiles(inputs, size) if walked or known is None else ():
        if known is None:
            nearest[:, rows] = find_nearest(upsampled.logits)
        for channel, values in walked:
            values[:, rows] = channel(upsampled, statistics)
    nearest, maps = fill_reached(nearest, maps, channels, reached)
    return nearest, tuple(maps)


def _walk_tiles(inputs: ScoreInputs, size: tuple[int, int]) -> Iterator[tuple[slice, ScoreInputs]]:
    """Rows of the output, and what is upsampled to them."""
    planes, split = _stack(inputs)
    height, width = planes.shape[2:]
    upper, lower, weight = blend_rows(height, size[0], planes)
    for start in range(0, size[0], TILE_ROWS):
        rows = slice(start, min(start + TILE_ROWS, size[0]))
        blend = weight[rows].view(1, 1, -1, 1)
        tile = torch.lerp(planes[:, :, upper[rows]], planes[:, :, lower[rows]], blend)
        tile = upsample(tile, (tile.shape[2], size[1])) if width != size[1] else tile
        yield rows, split(tile)


def _score_grid(
    channel: ScoreChannel,
    inputs: ScoreInputs,
    size: tuple[int, int],
    statistics: ScoreStatistics | None,
) -> Tensor:
    """The grid's score at full size; published last, or a threshold would mean something else."""
    score = replace(channel, score_map=None)
    values = upsample(score(inputs, statistics).unsqueeze(1), size).squeeze(1)
    return values if channel.score_map is None else channel.score_map(values)


def _stack(inputs: ScoreInputs) -> tuple[Tensor, Callable[[Tensor], ScoreInputs]]:
    """What is upsampled as one stack of planes (B, P, h, w), and its inverse for any size."""
    parts = [inputs.logits]
    if inputs.outlier_logits is not None:
        parts.append(inputs.outlier_logits)
    if inputs.samples is not None:
        parts.append(inputs.samples.transpose(0, 1).flatten(1, 2))
    counts = [part.shape[1] for part in parts]

    def split(planes: Tensor) -> ScoreInputs:
        logits, *others = torch.split(planes, counts, dim=1)
        outlier = others.pop(0) if inputs.outlier_logits is not None else None
        samples = None
        if inputs.samples is not None:
            passes, _, classes = inputs.samples.shape[:3]
            by_pass = others.pop(0).reshape(-1, passes, classes, *planes.shape[2:])
            samples = by_pass.transpose(0, 1)
        return ScoreInputs(logits, outlier, None, samples)

    planes = torch.cat(parts, dim=1) if len(parts) > 1 else inputs.logits
    return planes.contiguous(), split


def find_nearest(logits: Tensor) -> Tensor:
    """Arg-max of (B, K, H, W), ties to the lower class: (B, H, W) uint8."""
    # max() returns the first maximum as argmax() does, in half its time.
    return logits.max(dim=1).indices.to(torch.uint8)
