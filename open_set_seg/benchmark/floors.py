"""What the hardware allows: measured rates, and the least time that a piece of work can take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from open_set_seg.benchmark.turns import synchronise

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ELEMENT_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
_REPEATS = 10


@dataclass(frozen=True)
class Rates:
    """Measured on one device with the number of threads in use.

    Attributes:
        bytes_per_s: read and written, of a large copy.
        operations_per_s: by arithmetic; None where this build of torch cannot do it here.
    """

    bytes_per_s: float
    operations_per_s: Mapping[str, float | None]

    def describe(self) -> dict[str, Any]:
        """For a result."""
        return {
            "copy_GB_per_s": round(self.bytes_per_s / 1e9, 2),
            "matrix_GFLOP_per_s": {
                name: None if rate is None else round(rate / 1e9, 1)
                for name, rate in self.operations_per_s.items()
            },
        }


@dataclass(frozen=True)
class Floor:
    """The least time of a piece of work: the larger of two bounds.

    Attributes:
        moved_bytes: that must be read or written whatever the method.
        operations: 2 x multiply-adds of convolutions and matrix products.
        bytes_ms: ``moved_bytes`` over the rate of a copy.
        operations_ms: ``operations`` over the rate of matrix products; 0 where it is not known.
    """

    moved_bytes: int
    operations: int
    bytes_ms: float
    operations_ms: float

    @classmethod
    def of(cls, moved_bytes: int, operations: int, arithmetic: str, rates: Rates) -> Floor:
        """The floor of an arithmetic on a device."""
        rate = rates.operations_per_s.get(arithmetic)
        return cls(
            moved_bytes,
            operations,
            moved_bytes / rates.bytes_per_s * 1e3,
            0.0 if rate is None else operations / rate * 1e3,
        )

    @property
    def ms(self) -> float:
        """The larger bound."""
        return max(self.bytes_ms, self.operations_ms)

    def describe(self, measured_ms: float) -> dict[str, Any]:
        """For a result: the floor, what makes it, and how many times it a measured time is."""
        return {
            "ms": round(self.ms, 4),
            "by": "arithmetic" if self.operations_ms > self.bytes_ms else "bytes",
            "bytes": self.moved_bytes,
            "operations": self.operations,
            "times": round(measured_ms / self.ms, 2),
        }


def measure_rates(arithmetics: set[str], device: torch.device) -> Rates:
    """Rates of the device for some arithmetics."""
    found = {name: measure_matrix_rate(name, device) for name in sorted(arithmetics)}
    return Rates(measure_bandwidth(device), found)


def best_rates(first: Rates, second: Rates) -> Rates:
    """The higher of two measurements of each rate: other processes only ever lower one."""
    operations = {
        name: max((rate for rate in (one, second.operations_per_s[name]) if rate), default=None)
        for name, one in first.operations_per_s.items()
    }
    return Rates(max(first.bytes_per_s, second.bytes_per_s), operations)


def measure_bandwidth(device: torch.device | None = None) -> float:
    """Bytes a second, read and written, of copying what fits in no cache: the best of ten."""
    source = torch.ones(64 * 2**20, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / _best(lambda: target.copy_(source), device)


def measure_matrix_rate(arithmetic: str, device: torch.device) -> float | None:
    """Operations a second in torch: the best of a matrix product and of a 3 x 3 convolution.

    The two have different kernels, and on a CPU the convolution's is the faster one. For int8 only
    the product is there; None where torch has none.
    """
    side = 8192 if device.type == "cuda" else 2048
    if arithmetic == "int8":
        return _integer_rate(side, device)
    dtype = _DTYPES[arithmetic]
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(left)
    rate = 2 * side**3 / _best(lambda: torch.mm(left, right, out=product), device)
    convolution = nn.Conv2d(256, 256, 3, padding=1, bias=False).to(device=device, dtype=dtype)
    image = torch.randn(1, 256, side // 32, side // 16, device=device).to(dtype)
    image = image.contiguous(memory_format=torch.channels_last)
    convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    operations = 2 * 256 * 256 * 9 * image.shape[2] * image.shape[3]
    with torch.inference_mode():
        return max(rate, operations / _best(lambda: convolution(image), device))


def _integer_rate(side: int, device: torch.device) -> float | None:
    multiply: Callable[..., Any] | None = getattr(torch, "_int_mm", None)
    if multiply is None:
        return None
    left, right = (
        torch.randint(-127, 128, (side, side), dtype=torch.int8, device=device) for _ in range(2)
    )
    try:
        return 2 * side**3 / _best(lambda: multiply(left, right), device)
    except (RuntimeError, NotImplementedError):
        return None


def _best(run: Callable[[], Any], device: torch.device | None) -> float:
    best = math.inf
    for _ in range(_REPEATS):
        synchronise(device)
        start = time.perf_counter()
        run()
        synchronise(device)
        best = min(best, time.perf_counter() - start)
    return best
