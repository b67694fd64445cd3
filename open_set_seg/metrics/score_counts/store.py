"""Where counted keys are kept: pending ones as they came, then sorted runs, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from open_set_seg.metrics.score_counts.keys import Keys, narrow, widen
from open_set_seg.metrics.score_counts.runs import (
    BLOCK,
    FileArray,
    Run,
    Scratch,
    add_up,
    count_keys,
)
from open_set_seg.metrics.score_counts.table import KeyTable

FILE = "score_counts.json"
FORMAT = 1
CLASSES = ["inliers", "outliers"]
MOST_RUNS = 32  # in memory
SAMPLED = 1021  # a prime: one of so many keys is looked at before runs are added up
WORTH_IT = 0.75  # runs are added up if the result is expected to be this much smaller

Counts = NDArray[np.int64]


class KeyStore:
    """Counts of keys of two classes, inliers (0) and outliers (1).

    Half of the memory is for a table that counts keys where many are neighbours. The other keys
    are collected, then sorted and counted together: one run. When the runs fill their memory they
    are added up if that makes them smaller, and else moved to the scratch file.

    Attributes:
        totals: keys counted of each class.
    """

    def __init__(self, memory_limit: int, scratch: Path | None) -> None:
        if memory_limit <= 0:
            raise ValueError(f"the memory limit is positive, not {memory_limit}")
        self.totals = [0, 0]
        self._limit = memory_limit
        self._pending: list[list[Keys]] = [[], []]
        self._pending_bytes = 0
        self._runs: list[list[Run]] = [[], []]
        self._scratch = Scratch(scratch)
        self._wide = False
        self._table = KeyTable(memory_limit // 2)

    def add(self, inliers: Keys, outliers: Keys) -> None:
        """Count keys; the arrays must not be changed afterwards."""
        for kind, keys in enumerate((inliers, outliers)):
            if not keys.size:
                continue
            self.totals[kind] += keys.size
            keys = self._fit(keys)
            if not self._wide:
                keys = self._count_in_table(kind, keys)
            self._pending[kind].append(keys)
            self._pending_bytes += keys.nbytes
        if self._pending_bytes > self._limit // 8:
            self._flush()

    def merge(self, other: KeyStore) -> None:
        """Add what another store counted; the other one stays as it is."""
        for kind, run in other._all_runs():
            # Arrays in memory and files never change, but the table does.
            shared = run.memory or isinstance(run.keys, FileArray)
            self._adopt(kind, run if shared else Run.of(run.keys[:], run.counts[:]))
        self.totals = [mine + more for mine, more in zip(self.totals, other.totals, strict=True)]

    def steps(self) -> Iterator[tuple[Keys, Counts, Counts]]:
        """(keys, outliers, inliers) at distinct keys, from the highest down, in pieces."""
        for keys, counts in add_up(self._all_runs(), self._piece):
            yield keys[::-1], counts[1, ::-1], counts[0, ::-1]

    def save(self, folder: Path) -> None:
        """Write into an empty folder."""
        runs = self._all_runs()
        for index, (_, run) in enumerate(runs):
            for name in ("keys", "counts"):
                _write_array(folder / f"{index}_{name}.npy", getattr(run, name))
        content = {"format": FORMAT, "runs": [CLASSES[kind] for kind, _ in runs]}
        (folder / FILE).write_text(json.dumps(content), encoding="utf-8")

    def read(self, folder: Path) -> None:
        """Add what ``save`` wrote."""
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise ValueError(f"{folder / FILE}: format {content.get('format')}, not {FORMAT}")
        for index, name in enumerate(content["runs"]):
            keys, counts = (
                np.load(folder / f"{index}_{array}.npy", allow_pickle=False)
                for array in ("keys", "counts")
            )
            _check_run(folder, keys, counts)
            kind = CLASSES.index(name)
            self._adopt(kind, Run.of(keys, counts))
            self.totals[kind] += int(counts.sum(dtype=np.int64))

    def _all_runs(self) -> list[tuple[int, Run]]:
        self._flush()
        runs = [(kind, run) for kind in (0, 1) for run in self._runs[kind]]
        tables = [(kind, self._table.run(kind)) for kind in (0, 1)]
        return runs + [(kind, run) for kind, run in tables if run is not None]

    def _count_in_table(self, kind: int, keys: Keys) -> Keys:
        """Those that have to be sorted."""
        try:
            return self._table.count(kind, keys)
        except OverflowError:
            self._empty_table()
            return self._table.count(kind, keys)

    def _empty_table(self) -> None:
        for kind in (0, 1):
            run = self._table.run(kind)
            if run is not None:
                self._take(kind, Run.of(run.keys[:], run.counts[:]))
        self._table.clear()

    @property
    def _piece(self) -> int:
        """Keys that are looked at together: about 100 bytes each are needed for that."""
        return max(1, min(2**19, self._limit // 128))

    def _fit(self, keys: Keys) -> Keys:
        """Keys in the width of the store, which grows only when it has to."""
        if keys.dtype == np.uint64 and not self._wide:
            keys = narrow(keys)
            if keys.dtype == np.uint64:
                self._widen()
        return widen(keys) if self._wide else keys

    def _widen(self) -> None:
        self._flush()
        self._empty_table()
        self._wide = True
        runs, self._runs = self._runs, [[], []]
        for kind in (0, 1):
            for run in runs[kind]:
                for part in run.widened():
                    self._take(kind, part)

    def _flush(self) -> None:
        """Make runs of the pending keys."""
        for kind, pending in enumerate(self._pending):
            if pending:
                keys = np.concatenate(pending)
                pending.clear()
                self._take(kind, count_keys(keys))
        self._pending_bytes = 0

    def _adopt(self, kind: int, run: Run) -> None:
        """Take a run of another store."""
        if run.keys.dtype == np.uint64 and not self._wide:
            self._widen()
        if run.keys.dtype == np.uint32 and self._wide:
            for part in run.widened():
                self._take(kind, part)
        else:
            self._take(kind, run)

    def _take(self, kind: int, run: Run) -> None:
        self._runs[kind].append(run)
        in_memory = [r for runs in self._runs for r in runs if r.memory]
        too_much = sum(r.memory for r in in_memory) > self._limit // 4
        if too_much or len(in_memory) > MOST_RUNS:
            if not too_much or _shrinkage(in_memory) < WORTH_IT:
                self._compact()
                too_much = sum(r.memory for runs in self._runs for r in runs) > self._limit // 4
            if too_much:
                self._runs = [
                    [self._scratch.store(r) if r.memory else r for r in runs] for runs in self._runs
                ]

    def _compact(self) -> None:
        """Make one run of those in memory, for each class."""
        for runs in self._runs:
            in_memory = [(0, run) for run in runs if run.memory]
            if len(in_memory) < 2:
                continue
            pieces = [Run.of(keys, counts[0]) for keys, counts in add_up(in_memory, self._piece)][
                ::-1
            ]
            keys, counts = (
                np.concatenate([getattr(piece, name) for piece in pieces])
                for name in ("keys", "counts")
            )
            runs[:] = [run for run in runs if not run.memory] + [Run.of(keys, counts)]


def _shrinkage(runs: list[Run]) -> float:
    """Expected number of keys after adding up, over that before, from a sample of the keys."""
    samples = []
    for run in runs:
        keys, _ = run.read(0, run.size)
        samples.append(keys[keys % keys.dtype.type(SAMPLED) == 0])
    sampled = np.concatenate(samples)
    return np.unique(sampled).size / sampled.size if sampled.size else 1.0


def _write_array(path: Path, array: Any) -> None:
    """An .npy file, written in parts."""
    header = {"descr": npy.dtype_to_descr(array.dtype), "fortran_order": False}
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, {**header, "shape": (array.size,)})
        for start in range(0, array.size, BLOCK):
            file.write(np.ascontiguousarray(array[start : start + BLOCK]).data)


def _check_run(folder: Path, keys: NDArray[Any], counts: NDArray[Any]) -> None:
    known = keys.dtype in (np.uint32, np.uint64) and counts.dtype.kind == "u"
    if not known or keys.ndim != 1 or keys.shape != counts.shape or not keys.size:
        raise ValueError(
            f"{folder}: keys {keys.dtype} {keys.shape} with counts {counts.dtype} {counts.shape} "
            "are no run of score counts"
        )
    if not np.all(keys[1:] > keys[:-1]) or not counts.min():
        raise ValueError(f"{folder}: the keys of a run are not ascending, or a count is zero")
