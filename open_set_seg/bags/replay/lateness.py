"""How late messages went out, in bounded memory however long a replay is."""

from __future__ import annotations

import math

SMALLEST_S = 1e-6
STEPS_PER_DECADE = 50  # so a quantile is at most 10**(1/50), 4.7 %, too large
DECADES = 10


class Lateness:
    """Counts of latenesses in bins of equal ratio, from 1 microsecond to 10,000 seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (DECADES * STEPS_PER_DECADE + 1)
        self.count = 0
        self.largest_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one; below zero (early) counts as zero."""
        self.count += 1
        self.largest_s = max(self.largest_s, seconds)
        ratio = max(seconds, SMALLEST_S) / SMALLEST_S
        self._counts[min(self._upper_bin(ratio), len(self._counts) - 1)] += 1

    def quantile(self, share: float) -> float:
        """A lateness that at least this share of the messages kept, seconds; 0 without any.

        The upper edge of the bin in which the share is reached: never too small, at most 4.7 % (or
        a microsecond) too large.
        """
        wanted, seen = share * self.count, 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= wanted and seen:
                return min(SMALLEST_S * 10 ** (index / STEPS_PER_DECADE), self.largest_s)
        return 0.0

    @staticmethod
    def _upper_bin(ratio: float) -> int:
        # A hair less, so that rounding moves no value on an edge to the next bin.
        return math.ceil(STEPS_PER_DECADE * math.log10(ratio) - 1e-9)
