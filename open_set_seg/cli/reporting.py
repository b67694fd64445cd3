"""What verbs print: lines with titles, and how far a long comparison is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from open_set_seg.certificates import CalibrationFrame, CalibrationSet


def print_lines(lines: Mapping[str, str]) -> None:
    """Titles in one column, texts in the other."""
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:<{width}}  {value.strip()}")


def watch(frames: CalibrationSet, title: str) -> Iterable[CalibrationFrame]:
    """The same frames, with a bar on a terminal that says how far they are."""
    from tqdm import tqdm

    bar: Iterable[CalibrationFrame] = tqdm(frames, desc=title, unit="frame", disable=None)
    return bar
