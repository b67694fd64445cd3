"""Tables of a report as Markdown and as plain text for a terminal."""

from __future__ import annotations

from dataclasses import replace

from open_set_seg.report.content import Cell, Table


def markdown(table: Table) -> str:
    """The table for a Markdown document: best figures bold, notes after their figures.

    Ends with a newline; headings inside the table become rows in italics.
    """
    lines = [f"**{_escape(table.caption)}**", ""] if table.caption else []
    align = ["---" if table.is_text(i) else "---:" for i in range(len(table.header))]
    lines += [_line([_escape(name) for name in table.header]), _line(align)]
    for row in table.rows:
        if row.kind == "group":
            name = f"*{_escape(_cell(row.cells[0]).text)}*"
            lines.append(_line([name, *[""] * (len(table.header) - 1)]))
        else:
            cells = [_cell(value) for value in row.cells]
            if row.kind == "ours":
                cells[0] = replace(cells[0], best=True)
            lines.append(_line([_markdown_cell(cell) for cell in cells]))
    for note in table.notes:
        lines += ["", _escape(note)]
    return "\n".join(lines) + "\n"


def plain(table: Table) -> str:
    """The table with aligned columns for a terminal; ends with a newline."""
    rows = [
        [_plain_cell(_cell(cell)) for cell in row.cells]
        for row in table.rows
        if row.kind != "group"
    ]
    widths = [max(len(one) for one in column) for column in zip(table.header, *rows, strict=True)]
    lines = [table.caption] if table.caption else []
    lines.append(_aligned(table, list(table.header), widths))
    for row in table.rows:
        texts = [_plain_cell(_cell(cell)) for cell in row.cells]
        lines.append(f"- {texts[0]}" if row.kind == "group" else _aligned(table, texts, widths))
    lines += table.notes
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _cell(value: Cell | str) -> Cell:
    return Cell(value) if isinstance(value, str) else value


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _markdown_cell(cell: Cell) -> str:
    text = _escape(cell.text)
    if text and cell.best:
        text = f"**{text}**"
    return f"{text} ({_escape(cell.note)})" if cell.note else text


def _plain_cell(cell: Cell) -> str:
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


def _aligned(table: Table, texts: list[str], widths: list[int]) -> str:
    return "  ".join(
        text.ljust(width) if table.is_text(place) else text.rjust(width)
        for place, (text, width) in enumerate(zip(texts, widths, strict=True))
    )
