"""Sorted runs of distinct keys with their counts, in memory or in a scratch file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.score_counts.keys import Keys, widen

FENCE = 1024  # every so many keys one is remembered, so that a place is found with one read
PART = 2**20  # keys of a run that are copied together
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

    def parts(self, wide: bool = False) -> Iterator[Run]:
        """The same as runs of at most ``PART`` keys in memory, ``wide`` with uint64 keys."""
        for start in range(0, self.size, PART):
            keys, counts = self.read(start, start + PART)
            yield Run.of(widen(keys) if wide else keys, counts)


class Scratch:
    """Two files without names, so that they go with their last user, however the process ends."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._files: list[IO[bytes]] = []

    def store(self, pieces: Iterable[Run], keys: np.dtype[Any], counts: np.dtype[Any]) -> Run:
        """One run in the files, of runs in memory that follow each other.

        Args:
            pieces: in the order of their keys.
            keys: type of the keys that are written.
            counts: likewise.
        """
        if not self._files:
            for _ in range(2):
                self._files.append(tempfile.TemporaryFile(dir=self.folder))  # noqa: SIM115
        offsets = [file.seek(0, os.SEEK_END) for file in self._files]
        size, fences = 0, []
        for piece in pieces:
            fences.append(np.array(piece.keys[-size % FENCE : piece.size][::FENCE]))
            size += piece.size
            self._files[0].write(piece.keys[:].astype(keys, copy=False).data)
            self._files[1].write(piece.counts[:].astype(counts, copy=False).data)
        for file in self._files:
            file.flush()
        return Run(
            FileArray(self._files[0], offsets[0], size, keys),
            FileArray(self._files[1], offsets[1], size, counts),
            np.concatenate(fences),
        )


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


def add_up(
    runs: Sequence[tuple[int, Run]], size: int, ascending: bool = False
) -> Iterator[tuple[Keys, NDArray[np.int64]]]:
    """Adds the counts of runs of two classes, a range of keys at a time.

    Args:
        runs: (class, run) with class 0 or 1; all keys of one type.
        size: about how many keys of the runs are looked at together.
        ascending: begin with the lowest keys instead of the highest.

    Yields:
        (n,) distinct keys, ascending, and their (2, n) counts.
    """
    if not runs:
        return
    fences = np.sort(np.concatenate([run.fences for _, run in runs]))
    bounds = np.unique(fences[:: max(1, size // FENCE)])
    order = range(bounds.size) if ascending else range(bounds.size - 1, -1, -1)
    for index in order:
        parts = []
        for kind, run in runs:
            start = run.position(bounds[index])
            stop = run.position(bounds[index + 1]) if index + 1 < bounds.size else run.size
            if start < stop:
                parts.append((kind, *run.read(start, stop)))
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
