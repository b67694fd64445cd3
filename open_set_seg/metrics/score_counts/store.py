"""Where counted keys are kept: pending ones as they came, then sorted runs, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.score_counts.archive import read_runs, write_runs
from open_set_seg.metrics.score_counts.keys import Keys, narrow, widen
from open_set_seg.metrics.score_counts.runs import Run, Scratch, add_up, count_keys
from open_set_seg.metrics.score_counts.table import KeyTable

MOST_RUNS = 32  # in memory
MOST_FILE_RUNS = 128
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
            if keys.size:
                self._pending[kind].append(keys)
                self._pending_bytes += keys.nbytes
        if self._pending_bytes > self._limit // 8:
            self._flush()

    def merge(self, other: KeyStore) -> None:
        """Add what another store counted; the other one stays as it is."""
        for kind, run in other._all_runs():
            self._adopt(kind, run)
        self.totals = [mine + more for mine, more in zip(self.totals, other.totals, strict=True)]

    def steps(self) -> Iterator[tuple[Keys, Counts, Counts]]:
        """(keys, outliers, inliers) at distinct keys, from the highest down, in pieces."""
        for keys, counts in add_up(self._all_runs(), self._piece):
            yield keys[::-1], counts[1, ::-1], counts[0, ::-1]

    def save(self, folder: Path) -> None:
        """Write into an empty folder."""
        write_runs(folder, self._all_runs())

    def read(self, folder: Path) -> None:
        """Add what ``save`` wrote."""
        for kind, run in read_runs(folder):
            self.totals[kind] += int(run.counts[:].sum(dtype=np.int64))
            self._adopt(kind, run)

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
                self._adopt(kind, run)
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
                self._adopt(kind, run)

    def _flush(self) -> None:
        """Make runs of the pending keys."""
        for kind, pending in enumerate(self._pending):
            if pending:
                keys = np.concatenate(pending)
                pending.clear()
                self._take(kind, count_keys(keys))
        self._pending_bytes = 0

    def _adopt(self, kind: int, run: Run) -> None:
        """Take a run of another store, of a file or of the table."""
        if run.keys.dtype == np.uint64 and not self._wide:
            self._widen()
        widening = self._wide and run.keys.dtype == np.uint32
        # What is in memory never changes, except for the table.
        if run.memory and not widening:
            self._take(kind, run)
        else:
            for part in run.parts(widening):
                self._take(kind, part)

    def _take(self, kind: int, run: Run) -> None:
        self._runs[kind].append(run)
        too_much = self._runs_bytes() > self._limit // 4
        in_memory = [run for runs in self._runs for run in runs if run.memory]
        if len(in_memory) > MOST_RUNS or (too_much and _shrinkage(in_memory) < WORTH_IT):
            self._compact()
            too_much = self._runs_bytes() > self._limit // 4
        if too_much:
            for runs in self._runs:
                runs[:] = [
                    self._spill([run], run.counts.dtype) if run.memory else run for run in runs
                ]
            if sum(len(runs) for runs in self._runs) > MOST_FILE_RUNS:
                self._compact_files()

    def _runs_bytes(self) -> int:
        return sum(run.memory for runs in self._runs for run in runs)

    def _spill(self, pieces: Iterable[Run], counts: np.dtype[Any]) -> Run:
        keys = np.dtype(np.uint64 if self._wide else np.uint32)
        return self._scratch.store(pieces, keys, counts)

    def _compact(self) -> None:
        """Make one run of those in memory, for each class."""
        for runs in self._runs:
            in_memory = [(0, run) for run in runs if run.memory]
            if len(in_memory) > 1:
                pieces = add_up(in_memory, self._piece, ascending=True)
                keys, counts = zip(
                    *((keys, _narrowed(counts[0])) for keys, counts in pieces), strict=True
                )
                run = Run.of(np.concatenate(keys), np.concatenate(counts))
                runs[:] = [run for run in runs if not run.memory] + [run]

    def _compact_files(self) -> None:
        """The same when all are in scratch files; the old files go when nobody uses them."""
        self._scratch = Scratch(self._scratch.folder)
        for runs in self._runs:
            if len(runs) > 1:
                largest = sum(int(np.iinfo(run.counts.dtype).max) for run in runs)
                pieces = add_up([(0, run) for run in runs], self._piece, ascending=True)
                runs[:] = [
                    self._spill(
                        (Run.of(keys, counts[0]) for keys, counts in pieces),
                        np.min_scalar_type(min(largest, 2**63)),
                    )
                ]


def _shrinkage(runs: list[Run]) -> float:
    """Expected number of keys after adding up, over that before, from a sample of the keys."""
    samples = []
    for run in runs:
        keys, _ = run.read(0, run.size)
        samples.append(keys[keys % keys.dtype.type(SAMPLED) == 0])
    sampled = np.concatenate(samples)
    return np.unique(sampled).size / sampled.size if sampled.size else 1.0


def _narrowed(counts: Counts) -> NDArray[Any]:
    return counts.astype(np.min_scalar_type(int(counts.max())))
