"""Tables and chart of obstacles as objects, by distance and by size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from open_set_seg.report import Axis, Figure, Figures, Row, Series, Table, draw_lines
from open_set_seg.report.numbers import decimal
from training.presentation.cells import interval_cell
from training.presentation.plots import interval_limits
from training.presentation.runs import Group
from training.presentation.wording import band_name, percent, plain_values

HEADER = (
    "objects", "recall %", "false/frame", "rel. error %", "bias m", "spread m", "bias/sigma",
    "spread/sigma",
)  # fmt: skip

OBJECT_NOTE = (
    "Errors are measured minus true distance: median relative error, median (bias) and robust "
    "standard deviation (spread), also in units of the stated sigma: a spread of 1 is an honest "
    "sigma."
)


def object_tables(group: Group) -> list[Table]:
    """Obstacles by distance and by size for every condition; empty where nobody measured them."""
    return [table for tables in tables_by_condition(group).values() for table in tables]


def tables_by_condition(group: Group) -> dict[str, list[Table]]:
    """The same by the name of the condition."""
    return {title: _tables(title, found) for title, found in _conditions(group)}


def _tables(title: str, found: Mapping[str, Any]) -> list[Table]:
    rows = [_row(band_name(one["band"]), one) for one in found["bands"]]
    rows.append(_row("all", found["overall"], "total"))
    false = interval_cell(found, "false_per_frame", decimal)
    note = (
        f"All false obstacles a frame: {false.text}{f' ({false.note})' if false.note else ''}, of "
        f"unknown distance {decimal(found['false_of_unknown_distance_per_frame'])}."
    )
    header = ("distance, m", *HEADER)
    tables = [Table(header, tuple(rows), f"Obstacles, {title}", (note,))]
    if sizes := found.get("sizes"):
        rows = [_row(band_name(one["band"]), one) for one in sizes]
        caption = f"Obstacles by size, {title}"
        tables.append(Table(("visible px", *HEADER), tuple(rows), caption))
    return tables


def object_summary(group: Group) -> Table | None:
    """All distances together, a row a condition; None where nobody measured them."""
    rows = [_row(name, found["overall"]) for name, found in _conditions(group)]
    if not rows:
        return None
    return Table(("condition", *HEADER), tuple(rows), "Obstacles at all distances", (OBJECT_NOTE,))


def object_figures(group: Group) -> Figures | None:
    """Recall and error of the distance by distance; None where nobody measured them."""
    conditions = _conditions(group)
    if not conditions:
        return None
    names = tuple(band_name(one["band"]) for one in conditions[0][1]["bands"])
    charts: list[Figure] = []
    for key, title, label in (
        ("recall", "Obstacles found", "recall, %"),
        ("median_relative_error", "Error of the distance", "median relative error, %"),
    ):
        series = []
        for slot, (name, found) in enumerate(conditions):
            bands = found["bands"]
            values = 100 * plain_values(one[key] for one in bands)
            low, high = (interval_limits(bands, key, end) for end in ("low", "high"))
            series.append(Series(name, range(len(values)), values, slot, low, high, points=True))
        highest = max((v for one in series for v in one.y if v == v), default=0.0)
        limits = (0.0, 100.0) if key == "recall" else (0.0, 1.08 * highest or 1.0)
        x, y = Axis("distance, m", names=names), Axis(label, limits)
        charts.append(draw_lines(title, series, x, y, legend=False))
    return Figures(tuple(charts), tuple(one.entry for one in series) if len(series) > 1 else ())


def _conditions(group: Group) -> list[tuple[str, Mapping[str, Any]]]:
    """Name and figures of every condition of every result."""
    found = []
    for result in group.results:
        for name, metrics in (result.get("objects") or {}).items():
            if isinstance(metrics, Mapping) and "bands" in metrics:
                several = len(group.results) > 1
                title = f"{name}: {result['model']['name']}" if several else name
                found.append((title, metrics))
    return found


def _row(name: str, one: Mapping[str, Any], kind: Literal["plain", "total"] = "plain") -> Row:
    return Row(
        (
            name,
            str(one["objects"]),
            interval_cell(one, "recall"),
            interval_cell(one, "false_per_frame", decimal),
            interval_cell(one, "median_relative_error", lambda value: percent(value, 2)),
            decimal(one["bias"], 3),
            decimal(one["spread"], 3),
            decimal(one["bias_in_sigmas"]),
            decimal(one["spread_in_sigmas"]),
        ),
        kind,
    )
