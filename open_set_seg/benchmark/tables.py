"""A result as tables, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from open_set_seg.benchmark.heads import CLOSED_SET, HEADS, NETWORK, TEXTBOOK
from open_set_seg.benchmark.published import PUBLISHED
from open_set_seg.report import Row, Table

Result = Mapping[str, Any]
DASH = "-"


def result_tables(result: Result) -> list[Table]:
    """Every part of a result that is there, and what is absent."""
    makers: dict[str, Callable[[Result], list[Table]]] = {
        "heads": lambda one: [engine_table(one), *head_tables(one)],
        "frame": frame_tables,
        "busy": busy_tables,
        "memory": memory_tables,
        "absent": absent_tables,
    }
    return [table for name, make in makers.items() if result.get(name) for table in make(result)]


def engine_table(result: Result) -> Table:
    """An engine a row: closed set, the first score, and how they compare."""
    score = result["scores"][0]
    rows = []
    for engine, heads in by_engine(result).items():
        own = heads.get(score, heads.get(TEXTBOOK))
        if own is None or CLOSED_SET not in heads:
            continue
        cells = (
            f"{engine}, {own['head']}",
            _optional(heads[NETWORK]["ms"]["p50"] if NETWORK in heads else None),
            _spread(heads[CLOSED_SET]["ms"]),
            _spread(own["ms"]),
            format_number(own["over_closed_set"]),
            format_number(own["cpu_over_closed_set"]),
            _optional(own.get("times_faster_than_baseline")),
            format_number(own["floor"]["times"]),
        )
        rows.append(Row(cells, _kind(own)))
    header = (
        "network and head", "network alone, ms", f"network + {CLOSED_SET}, ms",
        "network + head, ms (10-90 %)", "times closed set", "of processor time",
        "times faster than baseline",
        "times the floor",
    )  # fmt: skip
    return Table(header, tuple(rows), f"by engine: {score}")


def by_engine(result: Result) -> dict[str, dict[str, Result]]:
    """Rows of the part ``heads`` by engine and head."""
    found: dict[str, dict[str, Result]] = {}
    for row in result["heads"]:
        found.setdefault(row["engine"], {})[row["head"]] = row
    return found


def fastest_engine(result: Result) -> str:
    """The engine whose first score comes soonest."""
    score = result["scores"][0]
    able = {name: heads[score] for name, heads in by_engine(result).items() if score in heads}
    return min(able, key=lambda name: float(able[name]["ms"]["p50"]))


def head_tables(result: Result, engines: Sequence[str] | None = None) -> list[Table]:
    """A table an engine, of all or of some: every head."""
    engines = list(by_engine(result)) if engines is None else engines
    header = (
        "after the network", "ms (10-90 %)", "images/s", "to closed set, ms", "times closed set",
        "head, ms", "processor, ms", "times faster than baseline", "times the floor",
    )  # fmt: skip
    tables = []
    for engine in engines:
        rows = [row for row in result["heads"] if row["engine"] == engine]
        if not rows:
            continue
        floor = rows[-1]["floor"]
        note = (
            f"Floor of {rows[-1]['head']}: {format_number(floor['ms'])} ms, by {floor['by']}; "
            f"{floor['operations'] / 1e9:.4g} GFLOP, {floor['bytes'] / 1e6:.4g} MB."
        )
        body = tuple(Row(_head_cells(row), _kind(row)) for row in rows)
        tables.append(Table(header, body, caption=engine, notes=(note,)))
    return tables


def published_tables(result: Result) -> list[Table]:
    """What papers print for the same network; the size and the device are theirs."""
    tables = []
    for one in PUBLISHED:
        if one.network != result["network"]["architecture"]:
            continue
        rows = tuple(
            Row((
                row.method, format_number(row.ms), _optional(row.overhead_ms),
                format_number(row.fps),
            ))
            for row in one.rows
        )  # fmt: skip
        caption = f"published, on another device: {one.source}; {one.device}, {_size(one.size)}"
        tables.append(Table(("method", "ms", "overhead, ms", "images/s"), rows, caption))
    return tables


def frame_tables(result: Result) -> list[Table]:
    """The whole frame by engine, and its stages."""
    rows = result["frame"]
    stages = list(dict.fromkeys(name for row in rows for name in row["stages_ms"]))
    whole = Table(
        ("engine", "whole frame, ms (10-90 %)", "frames/s", "times faster than baseline",
         "processor, ms", "obstacles"),
        tuple(
            Row((
                row["engine"], _spread(row["ms"]), format_number(1e3 / row["ms"]["p50"]),
                _optional(row.get("times_faster_than_baseline")),
                format_number(row["cpu_ms"]["p50"]), str(row["obstacles"]),
            ))
            for row in rows
        ),
        "whole frame: labels, anomaly, ranges, obstacles",
    )  # fmt: skip
    parts = Table(
        ("engine", *stages),
        tuple(
            Row((row["engine"], *(
                format_number(row["stages_ms"][name]["p50"]) if name in row["stages_ms"] else DASH
                for name in stages
            )))
            for row in rows
        ),
        "stages, ms; segmentation is image in, network, head and rest together",
    )  # fmt: skip
    return [whole, parts]


def busy_tables(result: Result) -> list[Table]:
    """The frame beside busy processes."""
    rows = result["busy"]
    caption = (
        f"whole frame beside {rows[0]['processes']} busy processes "
        f"(OMP_WAIT_POLICY={rows[0]['OMP_WAIT_POLICY']})"
    )
    return [
        Table(
            ("engine", "alone, ms", "beside them, ms", "ratio"),
            tuple(
                Row((
                    row["engine"], _spread(row["alone_ms"]), _spread(row["beside_ms"]),
                    format_number(row["ratio"]),
                ))
                for row in rows
            ),
            caption,
        )
    ]  # fmt: skip


def memory_tables(result: Result) -> list[Table]:
    """Peak memory by engine."""
    rows = result["memory"]
    extra = ("on the device, MiB",) if any("device_MiB" in row for row in rows) else ()
    return [
        Table(
            ("engine", "head", "peak resident, MiB", "before the network, MiB", *extra),
            tuple(
                Row((
                    row["engine"], row["head"], f"{row['resident_MiB']:.0f}",
                    f"{row['before_MiB']:.0f}",
                    *(f"{row['device_MiB']:.0f}" for _ in extra),
                ))
                for row in rows
            ),
            "peak memory of a process of its own, its libraries included",
            texts=(0, 1),
        )
    ]  # fmt: skip


def absent_tables(result: Result) -> list[Table]:
    """What was asked for and could not be had."""
    rows = tuple(Row((one["what"], one["reason"])) for one in result["absent"])
    return [Table(("absent", "reason"), rows, texts=(0, 1))]


def _head_cells(row: Result) -> tuple[str, ...]:
    return (
        row["head"],
        _spread(row["ms"]),
        format_number(row["fps"]),
        _optional(row.get("overhead_ms")),
        _optional(row.get("over_closed_set")),
        _optional(row.get("after_network_ms")),
        format_number(row["cpu_ms"]["p50"]),
        _optional(row.get("times_faster_than_baseline")),
        format_number(row["floor"]["times"]),
    )


def _kind(row: Result) -> Any:
    return "plain" if row["head"] in HEADS else "ours"


def _spread(values: Mapping[str, float]) -> str:
    low, middle, high = (format_number(values[name]) for name in ("p10", "p50", "p90"))
    return f"{middle} ({low}-{high})"


def _optional(value: float | None) -> str:
    return DASH if value is None else format_number(value)


def format_number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 or value == 0 else f"{value:.4f}"


def _size(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[0]}"
