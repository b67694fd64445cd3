"""Runs in a folder of plain .npy files, written and read in parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from open_set_seg.metrics.score_counts.runs import PART, Array, Column, FileArray, Run

FILE = "score_counts.json"
FORMAT = 1
CLASSES = ["inliers", "outliers"]


def write_runs(folder: Path, runs: Sequence[tuple[int, Run]]) -> None:
    """Write (class, run) into an empty folder; the list of them, which makes it valid, last."""
    for index, (_, run) in enumerate(runs):
        _write_array(folder / f"{index}_keys.npy", run.keys)
        _write_array(folder / f"{index}_counts.npy", run.counts)
    content = {"format": FORMAT, "runs": [CLASSES[kind] for kind, _ in runs]}
    (folder / FILE).write_text(json.dumps(content), encoding="utf-8")


def read_runs(folder: Path) -> Iterator[tuple[int, Run]]:
    """(class, run) in memory, large ones in parts.

    Raises:
        ValueError: the files are not what ``write_runs`` writes.
    """
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    if content.get("format") != FORMAT:
        raise ValueError(f"{folder / FILE}: format {content.get('format')}, not {FORMAT}")
    for index, name in enumerate(content["runs"]):
        with (
            (folder / f"{index}_keys.npy").open("rb") as keys,
            (folder / f"{index}_counts.npy").open("rb") as counts,
        ):
            columns = _open_array(keys, "u4 u8"), _open_array(counts, "u1 u2 u4 u8")
            if columns[0].size != columns[1].size:
                raise ValueError(f"{folder}: {columns[0].size} keys, {columns[1].size} counts")
            before = -1
            for part in Run(*columns, np.empty(0, np.uint32)).parts():
                numbers = part.keys[:]
                if int(numbers[0]) <= before or not np.all(numbers[1:] > numbers[:-1]):
                    raise ValueError(f"{keys.name}: the keys do not ascend")
                if not part.counts[:].all():
                    raise ValueError(f"{counts.name}: a count is zero")
                before = int(numbers[-1])
                yield CLASSES.index(name), part


def _write_array(path: Path, column: Array | Column) -> None:
    description = npy.dtype_to_descr(column.dtype)
    header = {"descr": description, "fortran_order": False, "shape": (column.size,)}
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, header)
        for start in range(0, column.size, PART):
            file.write(np.ascontiguousarray(column[start : start + PART]).data)


def _open_array(file: IO[bytes], types: str) -> FileArray:
    """The one-dimensional array of an .npy file."""
    if npy.read_magic(file) != (1, 0):
        raise ValueError(f"{file.name}: not an array as score counts save it")
    shape, _, dtype = npy.read_array_header_1_0(file)
    if len(shape) != 1 or dtype.str[1:] not in types.split():
        raise ValueError(f"{file.name}: an array {shape} of {dtype} is no part of score counts")
    return FileArray(file, file.tell(), shape[0], dtype)
