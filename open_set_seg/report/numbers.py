"""How figures are written in print."""

from __future__ import annotations

import math

DASH = "–"


def percent(share: float | None, digits: int = 1) -> str:
    """A fraction as a percentage with its sign; a dash where there is none."""
    text = decimal(None if share is None else 100 * share, digits)
    return text if text == DASH else f"{text} %"


def decimal(value: float | None, digits: int = 2) -> str:
    """A number with so many digits, a real minus sign, and a dash where it is not known."""
    if value is None or math.isnan(value):
        return DASH
    # Adding zero makes of a rounded -0.0 a plain 0.
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def thousands(count: int) -> str:
    """A count with narrow spaces between groups of three digits."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def counted(count: int, one: str, many: str = "") -> str:
    """``1 frame``, ``2 frames``."""
    return f"{thousands(count)} {one if count == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """``4.2 s``, ``3 min 20 s``, ``1 h 2 min``; a dash where it is not known."""
    if math.isnan(seconds):
        return DASH
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
