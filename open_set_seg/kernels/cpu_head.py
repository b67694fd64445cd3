"""The fused open-set head on a CPU: the Python side of ``head.c``."""

from __future__ import annotations

import ctypes
import functools
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from open_set_seg.kernels.wish import BACKEND_VARIABLE, wants_pytorch

logger = logging.getLogger(__name__)

LIBRARY = Path(__file__).with_name("head.so")
MAX_CLASSES = 254
# Positions along an axis are 32-bit integers in the kernel.
MAX_SIZE = 2**30
# Within these, 1 / T and T times a logit are ordinary float32 numbers.
TEMPERATURES = (1e-6, 1e6)

# As in ``enum score`` of scores.h.
_SCORES = {"jsd": 0, "msp": 1, "entropy": 2, "max_logit": 3, "energy": 4}
_DONE, _NOT_FINITE = 0, 1
_LEVELS = ("SSE2", "AVX2", "AVX-512")


class NotBuiltError(RuntimeError):
    """There is no usable shared object; the message says why."""


@dataclass(frozen=True)
class KernelChannel:
    """One map to compute.

    Attributes:
        score: name of the score.
        temperature: its T.
        maximum: instead of a larger value or NaN.
        logistic: location and scale of the map that publishes it; None: the score as it is.
    """

    score: str
    temperature: float
    maximum: float
    logistic: tuple[float, float] | None = None


class _Channel(ctypes.Structure):
    _fields_ = (
        ("values", ctypes.c_void_p),
        ("score", ctypes.c_int32),
        ("published", ctypes.c_int32),
        ("temperature", ctypes.c_double),
        ("location", ctypes.c_double),
        ("scale", ctypes.c_double),
        ("maximum", ctypes.c_float),
        ("coefficients", ctypes.c_float * 6),
    )


class _Request(ctypes.Structure):
    _fields_ = (
        ("logits", ctypes.c_void_p),
        ("shape", ctypes.c_int64 * 4),
        ("strides", ctypes.c_int64 * 4),
        ("size", ctypes.c_int64 * 2),
        ("nearest", ctypes.c_void_p),
        ("channels", ctypes.c_void_p),
        ("channel_count", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("level", ctypes.c_int32),
    )


class HeadKernel:
    """The compiled head; may be called from several threads at once.

    Args:
        library: the shared object; None: the installed one.
        level: instruction set, from 0 (what every processor of this architecture has) to
            ``best_level``; None: the best.

    Raises:
        NotBuiltError: no such file, or none that this machine can load.
        ValueError: a level that this processor does not have.
    """

    def __init__(self, library: Path | None = None, level: int | None = None) -> None:
        library = library or LIBRARY
        if not library.is_file():
            raise NotBuiltError("the C kernel was not built: no C compiler at installation")
        try:
            self._library = ctypes.CDLL(str(library))
            self._run = self._library.open_set_head
            self.best_level = int(self._library.open_set_head_best_level())
        except (OSError, AttributeError) as error:
            raise NotBuiltError(f"the C kernel does not load: {error}") from error
        self.level = self.best_level if level is None else level
        if not 0 <= self.level <= self.best_level:
            raise ValueError(f"level {level} is not one of 0 to {self.best_level}")

    @property
    def instructions(self) -> str:
        """The instruction set in words."""
        machine = platform.machine()
        return _LEVELS[self.level] if machine in ("x86_64", "AMD64") else machine

    def supports(
        self, logits: Tensor, size: tuple[int, int], channels: Sequence[KernelChannel]
    ) -> bool:
        """Whether this kernel can do it: logits on a CPU that need no gradient, known scores."""
        return (
            logits.device.type == "cpu"
            and logits.dtype in (torch.float32, torch.bfloat16, torch.float16)
            and 2 <= logits.shape[1] <= MAX_CLASSES
            and min(*logits.shape, *size) > 0
            and max(*logits.shape, *size) <= MAX_SIZE
            and not (logits.requires_grad and torch.is_grad_enabled())
            and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
            and not torch.compiler.is_compiling()
            and all(
                c.score in _SCORES and TEMPERATURES[0] <= c.temperature <= TEMPERATURES[1]
                for c in channels
            )
        )

    def __call__(
        self, logits: Tensor, size: tuple[int, int], channels: Sequence[KernelChannel], threads: int
    ) -> tuple[Tensor, list[Tensor], bool]:
        """Upsample bilinearly (half-pixel centres), take the arg-max, score.

        Args:
            logits: (B, K, h, w) float32 in any memory layout.
            size: (H, W) of the results.
            channels: what to compute.
            threads: at most so many work at once; the result does not depend on it.

        Returns:
            nearest: (B, H, W) uint8, ties to the lower class.
            maps: (B, H, W) float32 each, in the order of ``channels``.
            finite: whether every logit that was read is; where one is not, the pixels that it
                reaches hold nothing of use.

        Raises:
            MemoryError: no room for a few rows of logits.
        """
        shape = (logits.shape[0], *size)
        nearest = torch.empty(shape, dtype=torch.uint8)
        maps = [torch.empty(shape, dtype=torch.float32) for _ in channels]
        entries = (_Channel * len(channels))(*map(_entry, channels, maps))
        request = _Request(
            logits=logits.data_ptr(),
            shape=(ctypes.c_int64 * 4)(*logits.shape),
            strides=(ctypes.c_int64 * 4)(*logits.stride()),
            size=(ctypes.c_int64 * 2)(*size),
            nearest=nearest.data_ptr(),
            channels=ctypes.addressof(entries),
            channel_count=len(channels),
            threads=threads,
            level=self.level,
        )
        result = self._run(ctypes.byref(request))
        if result not in (_DONE, _NOT_FINITE):
            raise MemoryError(f"the open-set head found no memory for logits {tuple(logits.shape)}")
        return nearest, maps, result == _DONE


@functools.cache
def choose_head_kernel() -> tuple[HeadKernel | None, str]:
    """The kernel of this installation, or None and the reason; the log says it once.

    Read once in a process: the environment variable ``OPEN_SET_SEG_HEAD``, ``auto`` or ``pytorch``.
    """
    if wants_pytorch():
        logger.info("head on CPUs: tiled PyTorch, as %s says", BACKEND_VARIABLE)
        return None, f"as {BACKEND_VARIABLE} says"
    try:
        kernel = HeadKernel()
    except NotBuiltError as error:
        logger.warning("head on CPUs: tiled PyTorch, many times slower than C: %s", error)
        return None, str(error)
    logger.info("head on CPUs: C kernel (%s)", kernel.instructions)
    return kernel, ""


def _entry(channel: KernelChannel, values: Tensor) -> _Channel:
    location, scale = channel.logistic or (0.0, 1.0)
    return _Channel(
        values=values.data_ptr(),
        score=_SCORES[channel.score],
        published=channel.logistic is not None,
        temperature=channel.temperature,
        location=location,
        scale=scale,
        maximum=channel.maximum,
    )
