"""What verbs print: lines with titles, and how far a long task is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

Item = TypeVar("Item")


def print_lines(lines: Mapping[str, str]) -> None:
    """Titles in one column, texts in the other."""
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:<{width}}  {value.strip()}")


def watch(items: Iterable[Item], title: str, unit: str = "frame") -> Iterable[Item]:
    """The same items, with a bar on a terminal that says how far they are."""
    from tqdm import tqdm

    bar: Iterable[Item] = tqdm(items, desc=title, unit=unit, disable=None)
    return bar
