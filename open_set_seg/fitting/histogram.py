"""Quantiles of any number of values in bounded memory."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

# Sign, exponent and eleven digits: a bin spans 2^-11 of the power of two below it.
LEADING_BITS = 20
RELATIVE_ERROR = 2.0**-11
_DROPPED_BITS = 32 - LEADING_BITS
_HALF = 1 << 31
_BLOCK = 1 << 22


class FloatHistogram:
    """Counts of numbers by the leading bits of their float32 form.

    The bits of floats, read as integers, are in the order of the floats once those of negative
    numbers are turned round: bins need no range that somebody would have to know before. A quantile
    is wrong by at most ``RELATIVE_ERROR`` of itself, and neither the order of the numbers nor that
    of merging changes it. 8 MiB.
    """

    def __init__(self) -> None:
        self._counts = torch.zeros(1 << LEADING_BITS, dtype=torch.int64)
        self._least, self._greatest = math.inf, -math.inf

    @property
    def count(self) -> int:
        """How many numbers were counted."""
        return int(self._counts.sum())

    def add(self, values: Tensor) -> None:
        """Count numbers of any shape; those that are not finite as float32 are left out."""
        for block in torch.split(values.detach().flatten(), _BLOCK):
            numbers = block.float()
            numbers = numbers[torch.isfinite(numbers)]
            if not len(numbers):
                continue
            bits = numbers.view(torch.int32).to(torch.int64)
            order = torch.where(bits < 0, -1 - bits, bits + _HALF)
            bins = torch.bincount(order >> _DROPPED_BITS, minlength=len(self._counts))
            self._counts += bins.cpu()
            self._least = min(self._least, float(numbers.min()))
            self._greatest = max(self._greatest, float(numbers.max()))

    def merge(self, other: FloatHistogram) -> None:
        """Count everything that the other counted."""
        self._counts += other._counts
        self._least = min(self._least, other._least)
        self._greatest = max(self._greatest, other._greatest)

    def quantile(self, level: float) -> float:
        """The least number v with at least ``level`` of the numbers at or below it.

        Inside a bin numbers are taken as evenly spread.

        Args:
            level: in (0, 1].

        Raises:
            ValueError: nothing was counted.
        """
        total = self.count
        if total == 0:
            raise ValueError("expected finite numbers for a quantile, found none")
        rank = max(1, math.ceil(level * total))
        cumulative = torch.cumsum(self._counts, dim=0)
        index = int(torch.searchsorted(cumulative, rank))
        inside, before = int(self._counts[index]), int(cumulative[index] - self._counts[index])
        low, high = _edge(index), _edge(index + 1)
        value = low + (high - low) * (rank - before - 0.5) / inside
        return min(max(value, self._least), self._greatest)


def _edge(index: int) -> float:
    """The number at which a bin begins."""
    order = index << _DROPPED_BITS
    bits = order - _HALF if order >= _HALF else _HALF + (_HALF - 1 - order)
    return float(np.uint32(bits).view(np.float32))
