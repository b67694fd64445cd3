"""Where counted keys are kept: sorted runs of distinct keys with their counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from open_set_seg.metrics.score_counts.curve import Counts
from open_set_seg.metrics.score_counts.keys import Keys, widen

Run = tuple[Keys, Counts]


class KeyStore:
    """Counts of keys of two classes, inliers (0) and outliers (1)."""

    def __init__(self, memory_limit: int, scratch: Path | None) -> None:
        self._pending: tuple[list[Keys], list[Keys]] = [], []
        self._runs: tuple[list[Run], list[Run]] = [], []
        self.totals = [0, 0]

    def add(self, inliers: Keys, outliers: Keys) -> None:
        """Count the keys of a frame."""
        for kind, keys in enumerate((inliers, outliers)):
            if keys.size:
                values, counts = np.unique(keys, return_counts=True)
                self._adopt(kind, (values, counts.astype(np.int64)))
                self.totals[kind] += keys.size

    def merge(self, other: KeyStore) -> None:
        """Add what another store counted."""
        for kind in (0, 1):
            for run in other._runs[kind]:
                self._adopt(kind, run)
            self.totals[kind] += other.totals[kind]

    def steps(self) -> Iterator[tuple[Keys, Counts, Counts]]:
        """(keys, outliers, inliers) at distinct keys, from the highest down, in pieces."""
        for kind in (0, 1):
            self._compact(kind)
        runs = [kind[0] for kind in self._runs if kind]
        if not runs:
            return
        wide = any(keys.dtype == np.uint64 for keys, _ in runs)
        values = np.unique(np.concatenate([widen(k) if wide else k for k, _ in runs]))
        counts = np.zeros((2, values.size), np.int64)
        for kind in (0, 1):
            for keys, number in self._runs[kind]:
                counts[kind, np.searchsorted(values, widen(keys) if wide else keys)] = number
        yield values[::-1], counts[1, ::-1], counts[0, ::-1]

    def save(self, folder: Path) -> None:
        """Write into an empty folder."""
        for kind, name in enumerate(("inliers", "outliers")):
            self._compact(kind)
            for keys, counts in self._runs[kind]:
                np.save(folder / f"{name}_keys.npy", keys)
                np.save(folder / f"{name}_counts.npy", counts)
        (folder / "score_counts.json").write_text(json.dumps({"format": 1}), encoding="utf-8")

    def read(self, folder: Path) -> None:
        """Add what ``save`` wrote."""
        for kind, name in enumerate(("inliers", "outliers")):
            if (folder / f"{name}_keys.npy").exists():
                keys = np.load(folder / f"{name}_keys.npy", allow_pickle=False)
                counts = np.load(folder / f"{name}_counts.npy", allow_pickle=False)
                self._adopt(kind, (keys, counts))
                self.totals[kind] += int(counts.sum())

    def _adopt(self, kind: int, run: Run) -> None:
        self._runs[kind].append(run)
        if len(self._runs[kind]) > 16:
            self._compact(kind)

    def _compact(self, kind: int) -> None:
        runs = self._runs[kind]
        if len(runs) < 2:
            return
        wide = any(keys.dtype == np.uint64 for keys, _ in runs)
        keys = np.concatenate([widen(keys) if wide else keys for keys, _ in runs])
        order = np.argsort(keys)
        keys = keys[order]
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
        counts = np.add.reduceat(np.concatenate([counts for _, counts in runs])[order], starts)
        runs[:] = [(keys[starts], counts)]
