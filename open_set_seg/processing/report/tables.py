"""The tables of a report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from open_set_seg.processing.report import summary
from open_set_seg.processing.report.digest import Digest
from open_set_seg.processing.report.events import Event, choose_events
from open_set_seg.report import Block, Cell, Fold, Row, Table
from open_set_seg.report.numbers import DASH, counted, decimal, percent, thousands

MOST_ROWS = 200  # of the table of obstacles
MOST_SETTINGS = 150


def event_table(
    digest: Digest, events: Sequence[Event], anchors: Mapping[int, str]
) -> Block | None:
    """All events with their numbers, the nearest ``MOST_ROWS``; None without events.

    Args:
        anchors: of the events that have a card.
    """
    if not events:
        return None
    rows = [
        Row(
            (
                Cell(str(event.id), link=f"#{anchors[event.id]}" if event.id in anchors else ""),
                summary.when(digest, event.begin),
                summary.when(digest, event.confirmed),
                summary.when(digest, event.end),
                thousands(event.sightings),
                decimal(event.first.distance, 1),
                summary.distance_text(event.distance, event.nearest.sigma),
                size_text(event),
                decimal(event.highest_score),
            )
        )
        for event in choose_events(events, MOST_ROWS)
    ]
    notes = ["First at: distance in metres when it was first seen. Score: highest mean of a frame."]
    if len(events) > MOST_ROWS:
        hidden = counted(len(events) - MOST_ROWS, "farther one is", "farther ones are")
        notes.append(f"{hidden} only in obstacles.csv.")
    header = (
        "obstacle", "appeared", "confirmed", "last seen", "frames", "first at, m", "nearest",
        "width × height", "score",
    )  # fmt: skip
    table = Table(header, tuple(rows), notes=tuple(notes))
    return Fold(f"All numbers of {counted(len(rows), 'confirmed obstacle')}", (table,))


def band_table(digest: Digest) -> Table | None:
    """What was seen of each band of the corridor; None without bands."""
    if not digest.bands:
        return None
    rows = [
        Row(
            (
                f"{near:g}–{far:g}",
                percent(_mean(digest.bands[near, far][:, 0])),
                percent(_mean(digest.bands[near, far][:, 1])),
                percent(float(np.mean(digest.blind[near, far]))),
            )
        )
        for near, far in digest.bands
    ]
    reach = [
        f"{100 * size:g} cm: {decimal(_mean(values), 1)} m"
        for size, values in digest.detectable.items()
    ]
    notes = ["Blind: too little of the band was seen or had range, or it cannot be said."]
    if reach:
        notes.append(f"Mean distance up to which an object would be found, {', '.join(reach)}.")
    header = ("corridor, m", "seen, mean", "with range, mean", "frames in which it was blind")
    return Table(header, tuple(rows), notes=tuple(notes))


def stage_table(digest: Digest) -> Table | None:
    """Seconds by stage; None without timings."""
    total = digest.timings.get("total")
    if total is None or not np.isfinite(total).any():
        return None
    rows = []
    for stage, seconds in digest.timings.items():
        known = 1e3 * seconds[np.isfinite(seconds)]
        if known.size:
            share = float(known.sum() / (1e3 * np.nansum(total))) if np.nansum(total) else math.nan
            values = [decimal(float(np.quantile(known, q)), 1) for q in (0.5, 0.95, 1.0)]
            kind = "total" if stage == "total" else "plain"
            rows.append(Row((stage, *values, percent(share)), kind))  # type: ignore[arg-type]
    rows.sort(key=lambda row: row.kind == "total")
    header = ("stage", "median, ms", "95 %, ms", "longest, ms", "share of the time")
    return Table(header, tuple(rows))


def run_table(run: Mapping[str, Any]) -> Table:
    """What ``run.json`` says of model, machine and speed."""
    names = (
        "source", "model", "model_sha256", "score", "threshold", "threshold_source", "promise",
        "device", "classes", "frames", "seconds", "frames_per_second", "versions",
    )  # fmt: skip
    rows = [Row((name.replace("_", " "), _plain(run[name]))) for name in names if name in run]
    return Table(("", ""), tuple(rows), texts=(0, 1))


def settings_fold(run: Mapping[str, Any]) -> Block | None:
    """All settings, folded; None without any."""
    flat = list(_flatten(run.get("settings") or {}))
    if not flat:
        return None
    rows = tuple(Row((name, _plain(value))) for name, value in flat[:MOST_SETTINGS])
    return Fold("All settings", (Table(("", ""), rows, texts=(0, 1)),))


def _flatten(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _flatten(entry, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        text = ", ".join(f"{key} {entry}" for key, entry in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(map(str, value))
    else:
        text = DASH if value is None else str(value)
    return text if len(text) <= summary.MOST_TEXT else f"{text[: summary.MOST_TEXT]}…"


def span_text(digest: Digest, event: Event) -> str:
    """From when to when an obstacle was seen."""
    if not digest.timed:
        return f"{summary.when(digest, event.begin)} to {digest.numbers[event.end]}"
    begin, end = (decimal(float(digest.clock[at])) for at in (event.begin, event.end))
    return f"{begin} to {end} s"


def size_text(event: Event) -> str:
    """Width and height where it was nearest."""
    width, height = event.nearest.width, event.nearest.height
    if math.isnan(width) or math.isnan(height):
        return "unknown"
    return f"{decimal(width)} × {decimal(height)} m"


def likeness_text(event: Event) -> str:
    """The known class that it resembles most, and the share of its pixels that do."""
    if not event.nearest.nearest_class:
        return DASH
    nearest = event.nearest
    return f"{nearest.nearest_class} ({percent(nearest.nearest_share, 0)})"


def _mean(values: Any) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan
