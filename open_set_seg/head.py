"""The open-set head: logits at stride 4 -> nearest known class and anomaly at full size.

Logits are upsampled bilinearly (half-pixel centres) to the image size *before* the score. Whatever
is not a finite number becomes anomaly 1: a network that cannot say anything about a pixel does not
know it.

On a CPU a C kernel does all of it in one walk over the logits, where it was built, and on a CUDA
device a Triton kernel, where triton is; else, and for what the kernels cannot do, PyTorch works
through the image in tiles. Setting ``OPEN_SET_SEG_HEAD`` to ``pytorch`` in the environment keeps
the kernels out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from open_set_seg.kernels import (
    HeadInputs,
    HeadKernel,
    KernelChannel,
    choose_gpu_head_kernel,
    choose_head_kernel,
)
from open_set_seg.scores import SCORES, LogisticMap, ScoreInputs, ScoreStatistics

# Output rows worked on at once: the class planes of one tile stay in the processor's cache.
TILE_ROWS = 32


@dataclass(frozen=True)
class ScoreChannel:
    """One map that the head computes.

    Attributes:
        score: key in ``SCORES``.
        temperature: T of the score; None: its default.
        score_map: publishes an unbounded score in [0, 1]; None: the score as its formula gives it.
        coarse: the score of the grid's logits is upsampled, instead of the logits.
    """

    score: str
    temperature: float | None = None
    score_map: LogisticMap | None = None
    coarse: bool = False

    def __call__(self, inputs: ScoreInputs, statistics: ScoreStatistics | None = None) -> Tensor:
        """(B, H, W) of inputs of that size."""
        values = SCORES[self.score](
            inputs.logits,
            self.temperature,
            outlier_logits=inputs.outlier_logits,
            features=inputs.features,
            samples=inputs.samples,
            statistics=statistics,
        )
        return values if self.score_map is None else self.score_map(values)

    @property
    def maximum(self) -> float:
        """The most anomalous value that there is: 1, or infinity for an unpublished score."""
        bounded = SCORES[self.score].bounded or self.score_map is not None
        return 1.0 if bounded else math.inf

    @property
    def on_grid(self) -> bool:
        """Whether the map is computed on the grid: asked for, or because features are large."""
        return self.coarse or "features" in SCORES[self.score].needs


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
    on_gpu = inputs.logits.device.type == "cuda"
    run_kernel = _compute_on_gpu if on_gpu else _compute_on_cpu
    computed = run_kernel(inputs, size, channels, statistics)
    if computed is None:
        return _compute_by_tiles(inputs, size, channels, statistics)
    nearest, known = computed
    others = [channel for channel in dict.fromkeys(channels) if channel not in known]
    if others:
        _, maps = _compute_by_tiles(inputs, size, others, statistics)
        known.update(zip(others, maps, strict=True))
    return nearest, tuple(known[channel] for channel in channels)


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


def _compute_on_cpu(
    inputs: ScoreInputs,
    size: tuple[int, int],
    channels: Sequence[ScoreChannel],
    statistics: ScoreStatistics | None,
) -> tuple[Tensor, dict[ScoreChannel, Tensor]] | None:
    """Nearest classes and the maps that the C kernel knows; None where it cannot work."""
    kernel = choose_head_kernel()[0]
    fitting = [c for c in channels if SCORES[c.score].needs == ("logits",) and not c.coarse]
    wanted = {channel: _kernel_channel(channel) for channel in fitting}
    if kernel is None or not kernel.supports(inputs.logits, size, list(wanted.values())):
        return None
    nearest, maps = _compute_by_kernel(kernel, inputs.logits, size, list(wanted.values()))
    return nearest, dict(zip(wanted, maps, strict=True))


def _compute_on_gpu(
    inputs: ScoreInputs,
    size: tuple[int, int],
    channels: Sequence[ScoreChannel],
    statistics: ScoreStatistics | None,
) -> tuple[Tensor, dict[ScoreChannel, Tensor]] | None:
    """Nearest classes and the maps that the Triton kernel knows; None where it cannot work."""
    kernel = choose_gpu_head_kernel(inputs.logits.device)[0]
    fitted = statistics or ScoreStatistics()
    read = HeadInputs(
        inputs.logits, inputs.outlier_logits, fitted.max_logit_mean, fitted.max_logit_deviation
    )
    if kernel is None or not kernel.supports(read, size):
        return None
    wanted = {
        channel: _kernel_channel(channel)
        for channel in channels
        if kernel.knows(read, _kernel_channel(channel))
        and not channel.coarse
        # The score itself says that it takes no temperature.
        and (channel.temperature is None or SCORES[channel.score].temperature is not None)
    }
    nearest, maps, _ = kernel(read, size, list(wanted.values()))
    return nearest, dict(zip(wanted, maps, strict=True))


def _kernel_channel(channel: ScoreChannel) -> KernelChannel:
    score, temperature, score_map = channel.score, channel.temperature, channel.score_map
    default = SCORES[score].temperature
    temperature = (1.0 if default is None else default) if temperature is None else temperature
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
    inputs, reached = _separate_invalid(ScoreInputs(logits), (), size)
    invalid = reached.get("logits")
    nearest, maps, _ = kernel(inputs.logits, size, channels, threads)
    pairs = zip(maps, channels, strict=True)
    known = tuple(_fill_invalid(values, invalid, channel.maximum) for values, channel in pairs)
    return nearest if invalid is None else nearest.masked_fill(invalid, 0), known


def _compute_by_tiles(
    inputs: ScoreInputs,
    size: tuple[int, int],
    channels: Sequence[ScoreChannel],
    statistics: ScoreStatistics | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    inputs, reached = _separate_invalid(inputs, channels, size)
    planes, split = _stack(inputs)
    batch, _, height, width = planes.shape
    nearest = torch.empty((batch, *size), dtype=torch.uint8, device=planes.device)
    maps = [
        _score_grid(channel, inputs, size, statistics)
        if channel.on_grid
        else torch.empty_like(nearest, dtype=planes.dtype)
        for channel in channels
    ]
    upper, lower, weight = _row_blend(height, size[0], planes)
    for start in range(0, size[0], TILE_ROWS):
        rows = slice(start, min(start + TILE_ROWS, size[0]))
        blend = weight[rows].view(1, 1, -1, 1)
        tile = torch.lerp(planes[:, :, upper[rows]], planes[:, :, lower[rows]], blend)
        tile = _upsample(tile, (tile.shape[2], size[1])) if width != size[1] else tile
        upsampled = split(tile)
        nearest[:, rows] = _nearest(upsampled.logits)
        for channel, values in zip(channels, maps, strict=True):
            if not channel.on_grid:
                values[:, rows] = channel(upsampled, statistics)
    pairs = zip(maps, channels, strict=True)
    known = tuple(_fill_invalid(v, _find_invalid(c, reached), c.maximum) for v, c in pairs)
    invalid = reached.get("logits")
    return nearest if invalid is None else nearest.masked_fill(invalid, 0), known


def _score_grid(
    channel: ScoreChannel,
    inputs: ScoreInputs,
    size: tuple[int, int],
    statistics: ScoreStatistics | None,
) -> Tensor:
    """The grid's score at full size; published last, or a threshold would mean something else."""
    score = replace(channel, score_map=None)
    values = _upsample(score(inputs, statistics).unsqueeze(1), size).squeeze(1)
    return values if channel.score_map is None else channel.score_map(values)


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
    inputs, reached = _separate_invalid(ScoreInputs(logits), [channel], size)
    invalid = reached.get("logits")
    upsampled = _upsample(inputs.logits, size)
    nearest, anomaly = _nearest(upsampled), channel(ScoreInputs(upsampled))
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


def _separate_invalid(
    inputs: ScoreInputs, channels: Sequence[ScoreChannel], size: tuple[int, int]
) -> tuple[ScoreInputs, dict[str, Tensor]]:
    """Finite inputs in float32 or float64, and the pixels that numbers of another kind reach.

    What no channel reads is left out. Pixels are (B, H, W), by the name of the input; an input
    that is finite everywhere has none.
    """
    needs = {"logits"} | {need for channel in channels for need in SCORES[channel.score].needs}
    clean: dict[str, Tensor] = {}
    reached: dict[str, Tensor] = {}
    for name, values in inputs._asdict().items():
        if values is None or name not in needs:
            continue
        values = values if values.dtype == torch.float64 else values.float()
        finite = torch.isfinite(values)
        if not finite.all():
            bad = ~(finite.all(dim=0) if values.ndim == 5 else finite)
            reach = bad.any(dim=1, keepdim=True).to(values.dtype)
            reached[name] = _upsample(reach, size).squeeze(1) > 0.0
            values = values.where(finite, 0.0)
        clean[name] = values
    return ScoreInputs(**clean), reached


def _find_invalid(channel: ScoreChannel, reached: Mapping[str, Tensor]) -> Tensor | None:
    """The pixels of which a channel knows nothing; None: there are none.

    Only those that its own inputs reach, whatever else is computed beside it.
    """
    read = {"logits", *SCORES[channel.score].needs}
    found = [pixels for name, pixels in reached.items() if name in read]
    return torch.stack(found).any(dim=0) if found else None


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
