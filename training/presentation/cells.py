"""Figures as cells of tables, with what is known about their uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from open_set_seg.report import Cell
from training.presentation.runs import Number
from training.presentation.wording import percent


def number_cell(number: Number | None, best: bool = False) -> Cell:
    """A figure in percent with its deviation, and its interval as a note."""
    if number is None:
        return Cell("")
    text = percent(number.value)
    if number.deviation is not None and number.value is not None:
        text = f"{text} ± {percent(number.deviation)}"
    if number.low is None or number.high is None:
        return Cell(text, best=best)
    return Cell(text, f"{percent(number.low)}–{percent(number.high)}", best)


def interval_cell(
    found: Mapping[str, Any], key: str, write: Callable[[float | None], str] = percent
) -> Cell:
    """A figure of a part of a result, with its interval as a note where the part has one.

    Args:
        found: the part; its ``intervals``, by key, are those of its figures.
        key: of the figure.
        write: how it is printed.
    """
    interval = (found.get("intervals") or {}).get(key) or {}
    low, high = interval.get("low"), interval.get("high")
    note = "" if low is None or high is None else f"{write(low)}–{write(high)}"
    return Cell(write(found.get(key)), note)
