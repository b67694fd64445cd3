"""Sorted runs of distinct keys with their counts, in memory or in a scratch file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.score_counts.keys import Keys, widen

FENCE = 4096  # every so many keys one is remembered, so that a place is found with one read
BLOCK = 2**18  # keys that are counted together: few enough to stay in the processor's cache

Array = NDArray[Any]
Counts = NDArray[np.int64]


class Column(Protocol):
    """A one-dimensional array of which parts are read when they are asked for."""

    @property
    def size(self) -> int:
        """Number of elements."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the elements."""

    def __getitem__(self, part: slice, /) -> Array:
        """Elements from ``part.start`` to ``part.stop``."""


@dataclass(frozen=True, eq=False)
class FileArray:
    """A column inside a file."""

    file: IO[bytes]
    offset: int
    size: int
    dtype: np.dtype[Any]

    def __getitem__(self, part: slice) -> Array:
        start, stop, _ = part.indices(self.size)
        width = self.dtype.itemsize
        content = bytearray(max(0, stop - start) * width)
        if os.preadv(self.file.fileno(), [content], self.offset + start * width) != len(content):
            raise OSError("the scratch file of score counts ends too early")
        return np.frombuffer(content, self.dtype)


@dataclass(frozen=True, eq=False)
class Run:
    """Distinct keys, ascending, and how often each was counted.

    Attributes:
        keys: (n,) uint32 or uint64.
        counts: (n,) unsigned, as narrow as they fit.
        fences: every ``FENCE``-th key, in memory.
    """

    keys: Array | Column
    counts: Array | Column
    fences: Keys

    @classmethod
    def of(cls, keys: Keys, counts: Array) -> Run:
        """A run in memory."""
        narrow = np.min_scalar_type(int(counts.max()))
        return cls(keys, counts.astype(narrow, copy=False), keys[::FENCE].copy())

    @property
    def size(self) -> int:
        """Number of keys."""
        return self.keys.size

    @property
    def memory(self) -> int:
        """Bytes that it takes in memory, its fences aside."""
        return sum(a.nbytes for a in (self.keys, self.counts) if isinstance(a, np.ndarray))

    def position(self, key: Any) -> int:
        """How many keys lie below ``key``."""
        fence = int(np.searchsorted(self.fences, key))
        start = max(0, fence - 1) * FENCE
        return start + int(np.searchsorted(self.keys[start : start + FENCE], key))

    def read(self, start: int, stop: int) -> tuple[Keys, Array]:
        """Keys and counts of a part."""
        return self.keys[start:stop], self.counts[start:stop]

    def widened(self) -> Iterator[Run]:
        """The same with uint64 keys, in parts in memory."""
        for start in range(0, self.size, BLOCK):
            keys, counts = self.read(start, start + BLOCK)
            yield Run.of(widen(keys), counts)


class Scratch:
    """A file without a name, so that it goes with its last user, however the process ends."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None

    def store(self, run: Run) -> Run:
        """The same run, its keys and counts in the file."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        keys, counts = (self._write(self._file, column) for column in (run.keys, run.counts))
        return Run(keys, counts, run.fences)

    @staticmethod
    def _write(file: IO[bytes], array: Array | Column) -> FileArray:
        offset = file.seek(0, os.SEEK_END)
        for start in range(0, array.size, BLOCK):
            file.write(np.ascontiguousarray(array[start : start + BLOCK]).data)
        file.flush()
        return FileArray(file, offset, array.size, array.dtype)


def count_keys(keys: Keys) -> Run:
    """Counts of equal keys; sorts the (not empty) array in place."""
    keys.sort()
    cuts = np.unique(np.searchsorted(keys, keys[::BLOCK]))
    values, counts = [], []
    for block in np.split(keys, cuts[1:]):
        starts = np.flatnonzero(np.append(True, block[1:] != block[:-1]))
        number = np.diff(starts, append=block.size)
        values.append(block[starts])
        counts.append(number.astype(np.min_scalar_type(int(number.max()))))
    return Run.of(np.concatenate(values), np.concatenate(counts))


def add_up(runs: Sequence[tuple[int, Run]], size: int) -> Iterator[tuple[Keys, NDArray[np.int64]]]:
    """Adds the counts of runs of two classes, a range of keys at a time.

    Args:
        runs: (class, run) with class 0 or 1; all keys of one type.
        size: about how many keys of the runs are looked at together.

    Yields:
        (n,) distinct keys, ascending, and their (2, n) counts; from the highest keys down.
    """
    if not runs:
        return
    fences = np.sort(np.concatenate([run.fences for _, run in runs]))
    stops = [run.size for _, run in runs]
    for bound in np.unique(fences[:: max(1, size // FENCE)])[::-1]:
        parts = []
        for index, (kind, run) in enumerate(runs):
            start = run.position(bound)
            if start < stops[index]:
                parts.append((kind, *run.read(start, stops[index])))
                stops[index] = start
        yield _add_up_parts(parts)


def _add_up_parts(parts: list[tuple[int, Keys, Array]]) -> tuple[Keys, NDArray[np.int64]]:
    keys = np.concatenate([part for _, part, _ in parts])
    counts = np.zeros((2, keys.size), np.int64)
    stop = 0
    for kind, part, number in parts:
        start, stop = stop, stop + part.size
        counts[kind, start:stop] = number
    if len(parts) == 1:
        return keys, counts
    # A stable sort merges what lies in ascending runs already.
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    ends = np.append(starts[1:], keys.size) - 1
    totals = np.cumsum(counts[:, order], axis=1)[:, ends]
    return keys[starts], np.diff(totals, axis=1, prepend=0)
