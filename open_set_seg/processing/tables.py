"""Records as tables: CSV for everybody, Parquet with every digit for analysis.

Columns are literal dicts: name -> (type, value of a row). NaN is an empty cell.
"""

from __future__ import annotations

import csv
import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from open_set_seg.processing.records import DriftRecord, FrameRecord, ObstacleRecord

Column = tuple[type, Callable[[Any], Any]]
Columns = Mapping[str, Column]
PARQUET_EXTRA = "pip install 'open_set_seg[parquet]'"
# Rows that are held in memory until they go into a Parquet file together.
ROW_GROUP = 20_000

_KINDS = {"int": int, "float": float}


def _read_obstacle(name: str, row: tuple[FrameRecord, ObstacleRecord]) -> Any:
    return getattr(row[1], name)


def _nearest(obstacles: Sequence[ObstacleRecord]) -> float:
    known = [one.distance for one in obstacles if not math.isnan(one.distance)]
    return min(known, default=math.nan)


def _evidence(drift: DriftRecord | None) -> float:
    return math.nan if drift is None else drift.log10_evidence


# A row is a FrameRecord.
FRAME_COLUMNS: Columns = {
    "frame": (int, lambda r: r.number),
    "stamp_ns": (int, lambda r: r.stamp_ns),
    "time_ns": (int, lambda r: r.time_ns),
    "examined": (bool, lambda r: r.examined),
    "has_range": (bool, lambda r: r.has_range),
    "obstacles": (int, lambda r: len(r.obstacles)),
    "confirmed": (int, lambda r: sum(o.state == "confirmed" for o in r.obstacles)),
    "missing": (int, lambda r: len(r.missing)),
    "nearest": (float, lambda r: _nearest(r.obstacles)),
    "score_median": (float, lambda r: r.scores.median),
    "score_q90": (float, lambda r: r.scores.q90),
    "score_q99": (float, lambda r: r.scores.q99),
    "score_mean": (float, lambda r: r.scores.mean),
    "score_maximum": (float, lambda r: r.scores.maximum),
    "threshold": (float, lambda r: r.scores.threshold),
    "unknown_share": (float, lambda r: r.scores.unknown_share),
    "class_entropy": (float, lambda r: r.scores.class_entropy),
    "corridor_share": (float, lambda r: r.visibility.corridor_share),
    "range_share": (float, lambda r: r.visibility.range_share),
    "clear_until": (float, lambda r: r.visibility.clear_until),
    "camera_state": (str, lambda r: r.camera.state),
    "camera_faults": (str, lambda r: " ".join(r.camera.faults)),
    "drift_state": (str, lambda r: "" if r.drift is None else r.drift.state),
    "drift_log10_evidence": (float, lambda r: _evidence(r.drift)),
    "problems": (str, lambda r: " ".join(p.code for p in r.problems)),
    "seconds": (float, lambda r: r.timings.get("total", math.nan)),
}


# A row is (FrameRecord, ObstacleRecord).
OBSTACLE_COLUMNS: Columns = {
    "frame": (int, lambda row: row[0].number),
    "stamp_ns": (int, lambda row: row[0].stamp_ns),
    "time_ns": (int, lambda row: row[0].time_ns),
    **{
        field.name: (_KINDS.get(str(field.type), str), partial(_read_obstacle, field.name))
        for field in fields(ObstacleRecord)
    },
}


def obstacle_rows(record: FrameRecord) -> Iterator[tuple[FrameRecord, ObstacleRecord]]:
    """The rows of a frame in the obstacles' table."""
    return ((record, obstacle) for obstacle in record.obstacles)


class CsvTable:
    """A CSV file that grows row by row; numbers with six digits, stamps and ids whole."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._columns = columns
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerow(columns)

    def add(self, row: Any) -> None:
        """Append a row."""
        self._writer.writerow([_cell(value(row)) for _, value in self._columns.values()])

    def close(self) -> None:
        """End the file."""
        self._file.close()


class ParquetTable:
    """A Parquet file (Zstandard) that grows by groups of rows.

    Raises:
        ValueError: pyarrow is not installed.
    """

    def __init__(self, path: Path, columns: Columns) -> None:
        if not parquet_is_available():
            raise ValueError(f"Parquet needs pyarrow: {PARQUET_EXTRA}")
        import pyarrow
        from pyarrow import parquet

        kinds = {
            int: pyarrow.int64(),
            float: pyarrow.float64(),
            bool: pyarrow.bool_(),
            str: pyarrow.string(),
        }
        self._columns = columns
        self._schema = pyarrow.schema([(name, kinds[kind]) for name, (kind, _) in columns.items()])
        self._table = pyarrow.table
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[tuple[Any, ...]] = []

    def add(self, row: Any) -> None:
        """Append a row."""
        self._rows.append(tuple(_null(value(row)) for _, value in self._columns.values()))
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left and end the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            columns = dict(zip(self._columns, zip(*self._rows, strict=True), strict=True))
            self._writer.write_table(self._table(columns, schema=self._schema))
            self._rows = []


def parquet_is_available() -> bool:
    """Whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
