"""Tables of an evaluation: ours beside what the papers print, for Markdown and terminals."""

from __future__ import annotations

from collections.abc import Sequence

from open_set_seg.report import Cell, Row, Table
from open_set_seg.report.text import markdown, plain
from training.evaluation.details import (
    closed_set_table,
    component_table,
    distance_table,
    object_tables,
    open_set_tables,
)
from training.evaluation.published import Comparable, comparable_rows, load_published, source_text
from training.evaluation.runs import DASH, METRICS, Group, Number, Result, groups_of, percent


def markdown_table(results: Sequence[Result]) -> str:
    """Everything that was measured, beside the papers' rows, for a Markdown document.

    Args:
        results: contents of ``result.json``; those of one protocol and data set share a table.

    Raises:
        ValueError: no result, or one of another format.
    """
    parts = []
    for group in groups_of(results):
        tables = [comparison_table(group), *more_tables(group)]
        parts.append(f"## {group.title}\n\n" + "\n".join(markdown(table) for table in tables))
    return "\n".join(parts)


def terminal_table(results: Sequence[Result]) -> str:
    """The same with aligned columns for a terminal, our own figures only.

    Raises:
        ValueError: no result, or one of another format.
    """
    parts = []
    for group in groups_of(results):
        tables = [comparison_table(group, papers=False), *more_tables(group)]
        parts.append(f"{group.title}\n\n" + "\n".join(plain(table) for table in tables))
    return "\n".join(parts)


def more_tables(group: Group) -> list[Table]:
    """The tables that follow the first one, of what the group's protocol measures."""
    tables = []
    if len(group.regions) > 1:
        tables.append(region_table(group))
    tables += [table for make in (component_table, distance_table) if (table := make(group))]
    tables += open_set_tables(group)
    if closed := closed_set_table(group):
        tables.append(closed)
    return tables + object_tables(group)


def comparison_table(group: Group, papers: bool = True) -> Table:
    """Our runs, then the published rows for the same protocol and data set.

    Comparisons of methods follow ours; rows that take one method apart come last. With several
    runs the best of ours is marked, never against the papers: their split is often another one.
    """
    ours = [run.numbers() for run in group.runs]
    rows = _comparable(group) if papers else []
    keys = [key for key in METRICS if any(key in numbers for numbers in ours)]
    header = ["method", *(["source", "needs"] if rows else [])]
    best = _best(ours, keys)
    lines = []
    for run, numbers in zip(group.runs, ours, strict=True):
        start: list[Cell | str] = [Cell(run.name, slot=run.slot)]
        start += [_split_text(group), ""] if rows else []
        figures = [number_cell(numbers.get(key), numbers.get(key) in best[key]) for key in keys]
        lines.append(Row((*start, *figures), "ours"))
    lines += _published_lines(rows, keys)
    return Table(
        header=(*header, *(f"{METRICS[key].heading}" for key in keys)),
        rows=tuple(lines),
        caption=group.title,
        notes=(measured_by(group), *_comparison_notes(group, rows)),
        text_columns=len(header),
    )


def region_table(group: Group) -> Table:
    """Pixel figures of every region by itself."""
    keys = [
        key
        for key in METRICS
        if any(key in r.content["pixels"].get(g, {}) for r in group.runs for g in r.regions)
    ]
    rows = []
    for region in group.regions:
        rows.append(Row((region,), "group"))
        inside = [run for run in group.runs if region in run.regions]
        numbers = [run.numbers(region) for run in inside]
        best = _best(numbers, keys)
        for run, found in zip(inside, numbers, strict=True):
            cells = [number_cell(found.get(key), found.get(key) in best[key]) for key in keys]
            rows.append(Row((Cell(run.name, slot=run.slot), *cells)))
    header = ("run", *(METRICS[key].heading for key in keys))
    return Table(header, tuple(rows), caption="Unknown pixels by region, %")


def measured_by(group: Group) -> str:
    """One line: by whose rules, on how many frames."""
    dataset = group.dataset
    skipped = len(dataset.get("skipped") or ())
    counted = f"{dataset['frames']} frames" + (f", {skipped} skipped" if skipped else "")
    return f"Percent. Protocol {group.protocol['title']}: {group.protocol['source']}; {counted}."


def number_cell(number: Number | None, best: bool = False) -> Cell:
    """A figure in percent with its deviation, and its interval as a note."""
    if number is None:
        return Cell("")
    text = percent(number.value)
    if number.deviation is not None and number.value is not None:
        text = f"{text} ± {percent(number.deviation)}"
    note = "" if number.low is None else f"{percent(number.low)}–{percent(number.high)}"
    return Cell(text, note, best)


def _best(ours: Sequence[dict[str, Number]], keys: Sequence[str]) -> dict[str, list[Number]]:
    """For each figure those numbers that no other run beats; none where there is one run only."""
    best: dict[str, list[Number]] = {}
    for key in keys:
        known = [n for found in ours if (n := found.get(key)) is not None and n.value is not None]
        values = [n.value for n in known if n.value is not None]
        if len(known) < 2 or len(set(values)) < 2:
            best[key] = []
            continue
        limit = max(values) if METRICS[key].higher_is_better else min(values)
        best[key] = [n for n in known if n.value == limit]
    return best


def _comparable(group: Group) -> list[Comparable]:
    return comparable_rows(group.protocol["name"], group.dataset["name"])


def _published_lines(rows: Sequence[Comparable], keys: Sequence[str]) -> list[Row]:
    papers = load_published().papers
    lines: list[Row] = []
    heading = None
    for one in rows:
        split = f", {one.measurement.split}" if one.measurement.split else ""
        title = f"{one.table.key} {one.table.title}{split}"
        if title != heading:
            lines.append(Row((title,), "group"))
            heading = title
        figures = [one.values[key].text if key in one.values else "" for key in keys]
        start = (one.row.method, source_text(one.row, papers), needs_text(one.row.flags))
        lines.append(Row((*start, *(text or DASH for text in figures))))
    return lines


def needs_text(flags: Sequence[str]) -> str:
    """What a method needs beyond ordinary training images, in short."""
    return ", ".join({"auxiliary": "aux", "resynthesis": "resyn"}[flag] for flag in flags)


def _split_text(group: Group) -> str:
    split = group.dataset.get("split")
    return f"ours, {split}" if split else "ours"


def _comparison_notes(group: Group, rows: Sequence[Comparable]) -> list[str]:
    notes = []
    levels = {n.level for run in group.runs for n in run.numbers().values() if n.level}
    if levels:
        shown = ", ".join(percent(level, 0) for level in sorted(levels))
        notes.append(f"Small: {shown} % intervals, images drawn again (bootstrap).")
    if not rows:
        return notes
    notes.append(
        "Needs: aux, trains on real negative data; resyn, synthesises the image again. T is the "
        "table of the paper."
    )
    split = group.dataset.get("split")
    others = sorted({one.measurement.split for one in rows} - {split, ""})
    if split and others:
        notes.append(
            f"Ours are of the {split} split. Rows of {', '.join(others)} were measured on other "
            "images: they show the order of magnitude, not a rank."
        )
    return notes
