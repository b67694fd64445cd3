"""The fused open-set head on a CUDA device: what surrounds the Triton program ``gpu_program``."""

from __future__ import annotations

import functools
import importlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from open_set_seg.kernels.requests import (
    FORMULAS,
    HeadInputs,
    HeadMaps,
    KernelChannel,
    NotBuiltError,
    UnknownRule,
)
from open_set_seg.kernels.wish import BACKEND_VARIABLE, wants_pytorch

logger = logging.getLogger(__name__)

# Of instances, in the second and third dimension of a grid.
_MAX_GRID = 65535
_LN2 = math.log(2.0)


@dataclass(frozen=True)
class Blocks:
    """Output columns (a power of two) and rows of one instance of the program, and its warps."""

    columns: int
    rows: int
    warps: int


class GpuHeadKernel:
    """The Triton program; one launch a channel, of which the first writes the classes too.

    It is compiled on first use for every number of classes, type of logits and formula, which takes
    seconds; Triton keeps the result on disk.

    Args:
        blocks: of every launch; None: chosen by the number of classes.

    Raises:
        NotBuiltError: triton is not installed, or not as it should be.
    """

    def __init__(self, blocks: Blocks | None = None) -> None:
        try:
            self._program: ModuleType = importlib.import_module(f"{__package__}.gpu_program")
        except Exception as error:
            raise NotBuiltError(f"triton cannot be imported: {error}") from error
        self._blocks = blocks

    def supports(self, inputs: HeadInputs, size: tuple[int, int]) -> bool:
        """Whether this kernel can read it: known types and sizes, and no gradient is wanted."""
        batch, _, height, width = inputs.logits.shape
        return (
            inputs.are_readable()
            and min(size) > 0
            # Positions are 32-bit whole numbers.
            and 2 * max(size[0] * height, size[1] * width) < 2**31
            and max(batch, size[0]) <= _MAX_GRID
        )

    def __call__(
        self,
        inputs: HeadInputs,
        size: tuple[int, int],
        channels: Sequence[KernelChannel],
        unknown: UnknownRule | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> HeadMaps:
        """Upsample bilinearly (half-pixel centres), take the arg-max, score.

        Where an input that is no finite number reaches a pixel, its class is 0 and its values are
        the channels' ``maximum``.

        Args:
            inputs: ``outlier_logits`` count only if a channel reads them.
            size: (H, W) of the results.
            channels: what to compute.
            unknown: writes labels too.
            dtype: of the values, float32 or float16; labels come from float32.
        """
        inputs = inputs.without_unread(channels)
        fitted = [
            None if one is None else one.to(inputs.logits.device, torch.float32).contiguous()
            for one in (inputs.class_mean, inputs.class_deviation)
        ]
        inputs = HeadInputs(inputs.logits, inputs.outlier_logits, *fitted)
        shape, device = (inputs.logits.shape[0], *size), inputs.logits.device
        nearest = torch.empty(shape, dtype=torch.uint8, device=device)
        labels = torch.empty_like(nearest) if unknown and channels else None
        values = [torch.empty(shape, dtype=dtype, device=device) for _ in channels]
        # Triton launches on the current device; -1 leaves it alone.
        with torch.cuda.device(inputs.logits.get_device()):
            if not channels:
                self._launch(inputs, None, (nearest, None, None), unknown)
            for i, channel in enumerate(channels):
                first = (nearest, values[0], labels)
                written = first if i == 0 else (None, values[i], None)
                self._launch(inputs, channel, written, unknown)
        return HeadMaps(nearest, values, labels)

    def _launch(
        self,
        inputs: HeadInputs,
        channel: KernelChannel | None,
        written: tuple[Tensor | None, Tensor | None, Tensor | None],
        unknown: UnknownRule | None,
    ) -> None:
        logits, outlier, mean, deviation = inputs
        classes = logits.shape[1]
        main = 1 << ((classes - 1).bit_length() - 1)
        rest = 1 << (classes - main - 1).bit_length()
        blocks = self._blocks or _choose_blocks(main + rest)
        formula = "none" if channel is None else FORMULAS[channel.score]
        map_ = next(one for one in written if one is not None)
        batch, rows, columns = map_.shape
        grid = (-(-columns // blocks.columns), -(-rows // blocks.rows), batch)
        self._program.walk_image[grid](
            logits,
            outlier,
            *((mean, deviation) if formula == "sml" else (None, None)),
            *written,
            *logits.stride(),
            *((0, 0, 0, 0) if outlier is None else outlier.stride()),
            *logits.shape[2:],
            *(rows, columns),
            *_find_coefficients(channel, classes),
            *((math.inf, 0) if unknown is None else (unknown.threshold, unknown.label)),
            FORMULA=formula,
            PUBLISHED=channel is not None and channel.logistic is not None,
            CLASSES=classes,
            MAIN=main,
            REST=rest,
            BLOCK=blocks.columns,
            ROWS=blocks.rows,
            FAST=self._program.FOR_CUDA,
            num_warps=blocks.warps,
            enable_fp_fusion=True,
        )


def _find_coefficients(channel: KernelChannel | None, classes: int) -> tuple[float, ...]:
    """Factor, offset, slope, mixture; slope and shift of the published value; maximum."""
    if channel is None:
        return (0.0,) * 7
    formula, t, k = FORMULAS[channel.score], channel.temperature, classes
    largest = _LN2 + 0.5 * math.log(k) - (k + 1) / (2 * k) * math.log1p(k)
    offset, slope, mixture = {
        "jsd": (
            1.0 - (_LN2 + 0.5 * math.log(k)) / largest,
            0.5 * _LN2 / largest,
            _LN2 / (2 * k * largest),
        ),
        "entropy": (0.0, _LN2 / math.log(k), 0.0),
        "kl": (math.log(k), _LN2, 0.0),
        "max_logit": (0.0, -1.0 / t, 0.0),
        "energy": (0.0, -_LN2 * t, 0.0),
        "dense_hybrid": (0.0, -_LN2 * t, 0.0),
    }.get(formula, (0.0, 0.0, 0.0))
    location, scale = channel.logistic or (0.0, 1.0)
    published = (1.0 / (_LN2 * scale), location / (_LN2 * scale))
    return (1.0 / (_LN2 * t), offset, slope, mixture, *published, channel.maximum)


def _choose_blocks(classes: int) -> Blocks:
    # A thread holds all classes of a pixel as long as its registers can: nothing is exchanged then.
    return Blocks(columns=128, rows=2, warps=4) if classes <= 64 else Blocks(32, 2, 8)


@functools.cache
def choose_gpu_head_kernel(device: torch.device) -> tuple[GpuHeadKernel | None, str]:
    """The kernel on a CUDA device, or None and the reason; the log says it once for a device.

    A kernel that does not compile there, or gives a wrong answer, is not taken.
    """
    if wants_pytorch():
        logger.info("head on %s: tiled PyTorch, as %s says", device, BACKEND_VARIABLE)
        return None, f"as {BACKEND_VARIABLE} says"
    try:
        kernel = GpuHeadKernel()
        _try_out(kernel, device)
    except Exception as error:  # of compilers and drivers it may be any
        reason = f"the Triton kernel does not run: {type(error).__name__}: {error}".splitlines()[0]
        logger.warning("head on %s: tiled PyTorch, many times slower: %s", device, reason)
        return None, reason
    logger.info("head on %s: Triton kernel", device)
    return kernel, ""


def _try_out(kernel: GpuHeadKernel, device: torch.device) -> None:
    logits = torch.tensor([0.0, 2.0, 1.0], device=device).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    expected = 1.0 - 1.0 / (1.0 + math.exp(-1.0) + math.exp(-2.0))
    nearest, (values,), _ = kernel(
        HeadInputs(logits), (7, 9), [KernelChannel("msp", 1.0, maximum=1.0)]
    )
    if not (bool((nearest == 1).all()) and float((values - expected).abs().max()) < 1e-5):
        raise NotBuiltError(f"expected class 1 and {expected:.6f}, found {nearest} and {values}")
