"""Tables of an evaluation: ours beside what the papers print, for Markdown and terminals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from open_set_seg.report import Cell, Row, Table
from open_set_seg.report.numbers import DASH
from open_set_seg.report.text import markdown, plain
from training.datasets import DATASETS
from training.presentation.cells import number_cell
from training.presentation.details import component_table, distance_table
from training.presentation.object_tables import object_tables
from training.presentation.papers import load_published
from training.presentation.published import Comparable, comparable_rows, needs_text, source_text
from training.presentation.recognition import class_table, open_set_tables
from training.presentation.runs import Group, Number, Result, groups_of
from training.presentation.wording import METRICS, percent

SMALL_SAMPLE = 100
_AFTER = ("needs", "source")


def markdown_table(results: Sequence[Result]) -> str:
    """Everything that was measured, beside the papers' rows, for a Markdown document.

    Args:
        results: contents of ``result.json``; those of one protocol and data set share tables.

    Raises:
        ValueError: no result, or one of another format.
    """
    parts = []
    for group in groups_of(results):
        first = [*comparison_tables(group), *more_tables(group)]
        parts.append(f"## {group.title}\n\n" + "\n".join(markdown(table) for table in first))
    return "\n".join(parts)


def terminal_table(results: Sequence[Result]) -> str:
    """The same with aligned columns for a terminal, our own figures only.

    Raises:
        ValueError: no result, or one of another format.
    """
    parts = []
    for group in groups_of(results):
        tables = [comparison_table(group, ()), *more_tables(group)]
        parts.append("\n".join(plain(table) for table in tables))
    return "\n".join(parts)


def more_tables(group: Group) -> list[Table]:
    """What follows the first table, of what the group's protocol measures."""
    tables = [region_table(group)] if len(group.regions) > 1 else []
    for make in (component_table, distance_table):
        if (table := make(group)) is not None:
            tables.append(table)
    tables += open_set_tables(group)
    if (classes := class_table(group)) is not None:
        tables.append(classes)
    return tables + object_tables(group)


def comparison_tables(group: Group, title: str = "") -> list[Table]:
    """Ours beside the papers' comparisons of methods, then their ablations on the same data.

    Args:
        group: ours.
        title: of the first table; the group's title if empty.
    """
    rows = comparable_rows(group.protocol["name"], group.dataset["name"])
    tables = [comparison_table(group, [one for one in rows if not one.table.ablation], title)]
    ablations = [one for one in rows if one.table.ablation]
    if ablations:
        tables.append(comparison_table(group, ablations, "The papers' ablations on the same data"))
    return tables


def comparison_table(group: Group, rows: Sequence[Comparable], title: str = "") -> Table:
    """Our runs, then published rows for the same protocol and data set.

    With several runs the best of ours is marked, never against the papers: their split is often
    another one. Figures of single towns are left to the table of folds.

    Args:
        group: ours.
        rows: published.
        title: above the table; the group's title if empty.
    """
    ours = [run.numbers() for run in group.runs]
    shown = [key for key in METRICS if not key.endswith(("_t5", "_t6"))]
    keys = [key for key in shown if any(key in numbers for numbers in ours)]
    best = _best(ours, keys)
    lines = []
    for run, numbers in zip(group.runs, ours, strict=True):
        figures = [number_cell(numbers.get(key), numbers.get(key) in best[key]) for key in keys]
        after = ("", our_source([group.dataset])) if rows else ()
        lines.append(Row((Cell(run.name, slot=run.slot), *figures, *after), "ours"))
    lines += _published_lines(rows, keys)
    return Table(
        header=("method", *(METRICS[k].heading for k in keys), *(_AFTER if rows else ())),
        rows=tuple(lines),
        caption=title or group.title,
        notes=(measured_by(group), *_notes(group, rows)),
        texts=(0, -2, -1) if rows else (0,),
    )


def region_table(group: Group) -> Table:
    """Pixel figures of every region but the first, whose figures are in the first table."""
    found = [
        numbers for run in group.runs for region in run.regions
        for numbers in [run.content["pixels"][region]]
    ]  # fmt: skip
    keys = [key for key in METRICS if any(key in numbers for numbers in found)]
    rows = []
    for region in group.regions[1:]:
        rows.append(Row((region,), "group"))
        inside = [run for run in group.runs if region in run.regions]
        ours = [
            {key: number for key, number in run.numbers(region).items() if key in keys}
            for run in inside
        ]
        best = _best(ours, keys)
        for run, numbers in zip(inside, ours, strict=True):
            cells = [number_cell(numbers.get(key), numbers.get(key) in best[key]) for key in keys]
            rows.append(Row((Cell(run.name, slot=run.slot), *cells)))
    header = ("run", *(METRICS[key].heading for key in keys))
    return Table(header, tuple(rows), caption="Unknown pixels in parts of the image, %")


def measured_by(group: Group) -> str:
    """One line: by whose rules, on how many frames."""
    dataset = group.dataset
    skipped = len(dataset.get("skipped") or ())
    counted = f"{frame_count(dataset)} frames" + (f", {skipped} skipped" if skipped else "")
    return f"Percent. Protocol {group.protocol['title']}: {group.protocol['source']}; {counted}."


def frame_count(dataset: Mapping[str, Any]) -> str:
    """How many frames were measured, and out of how many if the split was not complete."""
    entry = DATASETS.get(dataset["name"])
    complete = None if entry is None else entry.frames.get(dataset.get("split") or "")
    part = complete is not None and complete != dataset["frames"]
    return f"{dataset['frames']} of {complete}" if part else str(dataset["frames"])


def _best(
    ours: Sequence[Mapping[str, Number]], keys: Sequence[str]
) -> dict[str, tuple[Number, ...]]:
    """For each figure those that no other run beats; none where there is nothing to compare."""
    best: dict[str, tuple[Number, ...]] = {}
    for key in keys:
        known = [found[key] for found in ours if key in found]
        values = [number.value for number in known if number.value is not None]
        if len(set(values)) < 2:
            best[key] = ()
            continue
        limit = max(values) if METRICS[key].higher_is_better else min(values)
        best[key] = tuple(number for number in known if number.value == limit)
    return best


def _published_lines(rows: Sequence[Comparable], keys: Sequence[str]) -> list[Row]:
    papers = load_published().papers
    # A figure that no paper prints leaves its column empty; a dash is one that a paper lacks.
    blank = {key: DASH if any(key in one.values for one in rows) else "" for key in keys}
    lines: list[Row] = []
    heading = None
    for one in rows:
        if not one.values.keys() & set(keys):
            continue
        split = f", {one.measurement.split}" if one.measurement.split else ""
        title = f"{one.table.title}{split}"
        if title != heading:
            lines.append(Row((title,), "group"))
            heading = title
        figures = [one.values[key].text if key in one.values else blank[key] for key in keys]
        after = (needs_text(one.row.flags), source_text(one.row, papers))
        lines.append(Row((one.row.method, *figures, *after)))
    return lines


def our_source(datasets: Iterable[Mapping[str, Any]]) -> str:
    """Which splits ours were measured on, and how much of those that were not complete."""
    by_name = {dataset["name"]: dataset for dataset in datasets}
    parts = dict.fromkeys(str(one.get("split") or "") for one in by_name.values())
    for one in by_name.values():
        if " of " in (count := frame_count(one)):
            title = f"{one['title']}: " if len(by_name) > 1 else ""
            parts[f"{title}{count} frames"] = None
    return ", ".join(("ours", *(part for part in parts if part)))


def _notes(group: Group, rows: Sequence[Comparable]) -> list[str]:
    notes = []
    levels = {n.level for run in group.runs for n in run.numbers().values() if n.level}
    if levels:
        shown = " and ".join(percent(level, 0) for level in sorted(levels))
        notes.append(f"Ranges: {shown} % intervals, by drawing the images again (bootstrap).")
    if group.dataset["frames"] < SMALL_SAMPLE:
        notes.append(
            f"{group.dataset['frames']} images are few: differences of some points between methods "
            "mean little, and intervals are too narrow."
        )
    if not rows:
        return notes
    split = group.dataset.get("split")
    others = sorted({one.measurement.split for one in rows} - {split, ""})
    if split and others:
        notes.append(
            f"Ours are of the {split} split; rows of {', '.join(others)} were measured on other "
            "images. They show the order of magnitude, not a rank."
        )
    notes.append(
        "Needs: aux, real negative data in training; resyn, synthesis of the image. T: the "
        "paper's table."
    )
    return notes
