"""What a report page is made of: plain data that says what to show, never how it looks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from open_set_seg.report.pictures import Cards, Pictures

# What a link may not begin with: a scheme, or another host.
_ELSEWHERE = re.compile(r"\s*([a-zA-Z][a-zA-Z0-9+.-]*:|[/\\]{2})")


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what it says.
        note: small second line, such as an interval.
        best: shown bold.
        shade: strength of the cell's background in [0, 1], for matrices; None for none.
        slot: series whose colour is shown before the text; None for none.
        link: where the text leads: ``#`` and an anchor of the page, or the quoted relative path of
            another file; empty for nowhere.

    Raises:
        ValueError: a link that leaves the folder tree of the page.
    """

    text: str
    note: str = ""
    best: bool = False
    shade: float | None = None
    slot: int | None = None
    link: str = ""

    def __post_init__(self) -> None:
        if _ELSEWHERE.match(self.link):
            raise ValueError(f"a link is an anchor or a relative path, not {self.link!r}")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        cells: as many as the header has; plain strings are cells without anything else.
        kind: ``ours`` is set off from what others measured, ``group`` is a heading in the table,
            ``total`` follows a line.
    """

    cells: tuple[Cell | str, ...]
    kind: Literal["plain", "ours", "group", "total"] = "plain"


@dataclass(frozen=True)
class Table:
    """A table; wide ones scroll sideways with the first column in place.

    Attributes:
        header: names of the columns.
        rows: from top to bottom.
        caption: above the table.
        notes: below it.
        texts: places of the columns that hold text (left); the others hold numbers (right).
            Negative ones count from the last.
        upright: the columns' names are written upwards, for matrices with many columns.
    """

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    notes: tuple[str, ...] = ()
    texts: tuple[int, ...] = (0,)
    upright: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if row.kind != "group" and len(row.cells) != len(self.header):
                raise ValueError(
                    f"a row of {len(row.cells)} cells under a header of {len(self.header)}: "
                    f"{row.cells}"
                )

    def is_text(self, column: int) -> bool:
        """Whether a column, counted from 0, holds text."""
        return column in self.texts or column - len(self.header) in self.texts


@dataclass(frozen=True)
class Legend:
    """What a line of a figure stands for.

    Attributes:
        name: in words.
        slot: of its colour.
        dashed: whether its line is.
        shade: of an area rather than a line, its strength in [0, 1]; NaN: hatched; None: a line.
    """

    name: str
    slot: int
    dashed: bool = False
    shade: float | None = None


@dataclass(frozen=True)
class Figure:
    """A chart.

    Attributes:
        svg: made by ``open_set_seg.report.charts``; put into the page as it is.
        title: above it.
        caption: below it: what is seen, with units and rules.
        legend: what its lines stand for.
        wide: takes the whole width; scrolls sideways where that is too little to read it.
    """

    svg: str
    title: str
    caption: str = ""
    legend: tuple[Legend, ...] = ()
    wide: bool = False


@dataclass(frozen=True)
class Figures:
    """Charts side by side where there is room.

    Attributes:
        figures: in reading order.
        legend: of all of them together.
    """

    figures: tuple[Figure, ...]
    legend: tuple[Legend, ...] = ()


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes:
        text: plain text.
        kind: ``warning`` stands in a frame: what a reader must know before the numbers.
    """

    text: str
    kind: Literal["plain", "warning"] = "plain"


@dataclass(frozen=True)
class Fold:
    """Blocks that are shown on request, and always in print."""

    title: str
    blocks: tuple[Block, ...]


Block: TypeAlias = "Table | Figure | Figures | Pictures | Cards | Text | Fold"


@dataclass(frozen=True)
class Section:
    """A part of a page with its entry in the table of contents.

    Attributes:
        title: heading.
        blocks: content.
        group: heading that neighbouring sections share; empty for none.
    """

    title: str
    blocks: tuple[Block, ...]
    group: str = ""


@dataclass(frozen=True)
class Fact:
    """One of the few things to know first, such as ``AP``, ``39.4 %``, ``30.1 to 47.2``."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: of the page and of its browser tab.
        subtitle: one line under it.
        facts: what to know first.
        sections: the content.
        footer: what made the page.
    """

    title: str
    subtitle: str
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]
    footer: str = ""
