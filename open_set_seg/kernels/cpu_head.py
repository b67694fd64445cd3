"""The fused open-set head on a CPU: the Python side of ``head.c``."""

from __future__ import annotations

import ctypes
import functools
import logging
import platform
from collections.abc import Sequence
from pathlib import Path

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

LIBRARY = Path(__file__).with_name("head.so")
# Positions along an axis are 32-bit integers in the kernel.
MAX_SIZE = 2**30

# As in ``enum formula`` of head.h.
_FORMULAS = (
    *("jsd", "msp", "entropy", "kl", "max_logit", "energy"),
    *("sml", "op", "op_ms", "dense_hybrid"),
)
_DONE, _NOT_FINITE = 0, 1
_LEVELS = ("SSE2", "AVX2", "AVX-512")


class _Channel(ctypes.Structure):
    _fields_ = (
        ("values", ctypes.c_void_p),
        ("formula", ctypes.c_int32),
        ("published", ctypes.c_int32),
        ("temperature", ctypes.c_double),
        ("location", ctypes.c_double),
        ("scale", ctypes.c_double),
        ("maximum", ctypes.c_float),
        ("coefficients", ctypes.c_float * 7),
    )


class _Planes(ctypes.Structure):
    _fields_ = (("values", ctypes.c_void_p), ("strides", ctypes.c_int64 * 4))


class _Request(ctypes.Structure):
    _fields_ = (
        ("logits", _Planes),
        ("outlier", _Planes),
        ("shape", ctypes.c_int64 * 4),
        ("size", ctypes.c_int64 * 2),
        ("class_mean", ctypes.c_void_p),
        ("class_deviation", ctypes.c_void_p),
        ("nearest", ctypes.c_void_p),
        ("labels", ctypes.c_void_p),
        ("channels", ctypes.c_void_p),
        ("channel_count", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("level", ctypes.c_int32),
        ("unknown", ctypes.c_int32),
        ("threshold", ctypes.c_float),
    )


# What the library must say of itself, or it was built from other sources.
_LAYOUT = (ctypes.sizeof(_Request), ctypes.sizeof(_Channel), len(_FORMULAS))


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
            layout = (ctypes.c_int32 * len(_LAYOUT))()
            self._library.open_set_head_layout(layout)
        except (OSError, AttributeError) as error:
            raise NotBuiltError(f"the C kernel does not load: {error}") from error
        if tuple(layout) != _LAYOUT:
            raise NotBuiltError("the C kernel is of another version: install the package again")
        self.level = self.best_level if level is None else level
        if not 0 <= self.level <= self.best_level:
            raise ValueError(f"level {level} is not one of 0 to {self.best_level}")

    @property
    def instructions(self) -> str:
        """The instruction set in words."""
        machine = platform.machine()
        return _LEVELS[self.level] if machine in ("x86_64", "AMD64") else machine

    def supports(self, inputs: HeadInputs, size: tuple[int, int]) -> bool:
        """Whether this kernel can read it: on a CPU, known types and sizes, no gradient wanted."""
        return (
            inputs.logits.device.type == "cpu"
            and inputs.are_readable()
            and min(size) > 0
            and max(*inputs.logits.shape, *size) <= MAX_SIZE
        )

    def __call__(
        self,
        inputs: HeadInputs,
        size: tuple[int, int],
        channels: Sequence[KernelChannel],
        threads: int,
        unknown: UnknownRule | None = None,
    ) -> tuple[HeadMaps, bool]:
        """Upsample bilinearly (half-pixel centres), take the arg-max, score.

        Args:
            inputs: that this kernel supports and that suffice for the channels.
            size: (H, W) of the results.
            channels: what to compute.
            threads: at most so many work at once; the result does not depend on it.
            unknown: writes labels too, if there is a channel.

        Returns:
            maps: values are float32.
            finite: whether every number that was read is; where one is not, the pixels that it
                reaches hold nothing of use.

        Raises:
            MemoryError: no room for a few rows of logits.
        """
        inputs = _prepare(inputs.without_unread(channels))
        shape = (inputs.logits.shape[0], *size)
        nearest = torch.empty(shape, dtype=torch.uint8)
        labels = torch.empty_like(nearest) if unknown and channels else None
        maps = HeadMaps(nearest, [torch.empty(shape) for _ in channels], labels)
        # Exponentials serve all neighbours of one temperature; the first channel makes the labels.
        first = channels[0].temperature if channels else 0.0
        pairs = sorted(
            zip(channels, maps.values, strict=True),
            key=lambda pair: (pair[0].temperature != first, pair[0].temperature),
        )
        entries = (_Channel * len(channels))(*(_enter(*pair) for pair in pairs))
        request = _Request(
            logits=_lay_out(inputs.logits),
            outlier=_lay_out(inputs.outlier_logits),
            shape=tuple(inputs.logits.shape),
            size=size,
            class_mean=_address(inputs.class_mean),
            class_deviation=_address(inputs.class_deviation),
            nearest=_address(nearest),
            labels=_address(labels),
            channels=ctypes.addressof(entries),
            channel_count=len(channels),
            threads=threads,
            level=self.level,
            unknown=unknown.label if unknown else 0,
            threshold=unknown.threshold if unknown else 0.0,
        )
        result = self._run(ctypes.byref(request))
        if result not in (_DONE, _NOT_FINITE):
            found = tuple(inputs.logits.shape)
            raise MemoryError(f"the open-set head found no memory for logits {found}")
        return maps, result == _DONE


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


def _prepare(inputs: HeadInputs) -> HeadInputs:
    """All in float32, and the statistics in one piece."""
    logits, outlier, *fitted = (None if one is None else one.detach().float() for one in inputs)
    assert logits is not None
    return HeadInputs(
        logits, outlier, *(one if one is None else one.contiguous() for one in fitted)
    )


def _address(values: Tensor | None) -> int | None:
    return None if values is None else values.data_ptr()


def _lay_out(values: Tensor | None) -> _Planes:
    return _Planes() if values is None else _Planes(values.data_ptr(), tuple(values.stride()))


def _enter(channel: KernelChannel, values: Tensor) -> _Channel:
    location, scale = channel.logistic or (0.0, 1.0)
    return _Channel(
        values=values.data_ptr(),
        formula=_FORMULAS.index(FORMULAS[channel.score]),
        published=channel.logistic is not None,
        temperature=channel.temperature,
        location=location,
        scale=scale,
        maximum=channel.maximum,
    )
