"""How figures of the study are printed: percent, with no more digits than are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from open_set_seg.metrics.bootstrap import Interval, Values
from open_set_seg.report import Cell
from open_set_seg.report.numbers import DASH, decimal

# An uncertainty of so many points leaves nothing for a decimal to say.
_WHOLE = 0.10


def points(value: float, digits: int = 1) -> str:
    """A fraction, or a difference of fractions, in percent without sign of percent."""
    return decimal(100 * value, digits)


def with_sign(text: str) -> str:
    """A printed number with its sign, also where it is positive."""
    return f"+{text}" if float(text.replace("\N{MINUS SIGN}", "-")) > 0 else text


def signed_points(value: float, digits: int = 1) -> str:
    """A difference of fractions in points, with its sign; a dash for NaN."""
    text = points(value, digits)
    return text if math.isnan(value) else with_sign(text)


def digits_of(low: float, high: float) -> int:
    """Decimals of percentages between limits: one, or none where the limits are wide apart."""
    return 0 if (high - low) / 2 >= _WHOLE else 1


def range_text(interval: Interval, signed: bool = False) -> str:
    """``12.1 to 14.0``; empty where there are no limits."""
    if math.isnan(interval.low):
        return ""
    write = signed_points if signed else points
    digits = digits_of(interval.low, interval.high)
    return f"{write(interval.low, digits)} to {write(interval.high, digits)}"


def mean_cell(values: Values | Sequence[float], interval: Interval | None = None) -> Cell:
    """Mean ± standard deviation over seeds in percent, the interval as a note."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        return Cell(DASH)
    mean = float(known.mean())
    digits = 1 if interval is None else digits_of(interval.low, interval.high)
    if known.size == 1:
        text = points(mean, digits)
    else:
        deviation = float(known.std(ddof=1))
        digits = min(digits, 0 if deviation >= _WHOLE else 1)
        text = f"{points(mean, digits)} ± {points(deviation, digits)}"
    return Cell(text, "" if interval is None else range_text(interval))


def plain_mean(values: Sequence[float], digits: int) -> str:
    """A mean of what is known, as it is."""
    known = [one for one in values if not math.isnan(one)]
    return decimal(float(np.mean(known)), digits) if known else DASH
