"""Counts of keys by plain indexing, where many keys are neighbours: there it needs no sorting."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.score_counts.keys import Keys
from open_set_seg.metrics.score_counts.runs import FENCE, Array, Run

PAGE_BITS = 16
PAGE = 1 << PAGE_BITS  # neighbouring keys
PAGE_BYTES = 2 * PAGE * 4
WORTH_A_PAGE = PAGE // 8  # keys that were seen in it
LARGEST = 2**32 - 1  # of a cell
BLOCK = 2**17  # keys that are counted together: few enough to stay in the processor's cache


@dataclass(frozen=True, eq=False)
class PageArray:
    """Occupied cells of ascending pages as one column: their keys, or their counts."""

    first_keys: list[int]
    cells: list[NDArray[np.uint32]]
    offsets: list[int]
    dtype: np.dtype[Any]
    want_keys: bool

    @property
    def size(self) -> int:
        """Number of occupied cells."""
        return self.offsets[-1]

    def __getitem__(self, part: slice, /) -> Array:
        start, stop, _ = part.indices(self.size)
        first = max(0, bisect_right(self.offsets, start) - 1)
        last = bisect_left(self.offsets, stop)
        parts = [np.empty(0, self.dtype)]
        for key, cells in zip(self.first_keys[first:last], self.cells[first:last], strict=True):
            occupied = np.flatnonzero(cells)
            parts.append((occupied + key if self.want_keys else cells[occupied]).astype(self.dtype))
        return np.concatenate(parts)[start - self.offsets[first] :][: max(0, stop - start)]


class KeyTable:
    """Counts of uint32 keys of two classes in pages of neighbouring keys.

    A page is made where many keys fall, as long as the memory lasts.

    Args:
        memory: bytes for pages.
    """

    def __init__(self, memory: int) -> None:
        self._capacity = memory // PAGE_BYTES - 1  # page 0 takes what has no page of its own
        self._pages: list[int] = []
        self._counted = [0, 0]
        self._cells = np.empty((2, 0), np.uint32)
        self._starts = np.empty(0, np.intp)
        self._seen = np.empty(0, np.int64)

    def count(self, kind: int, keys: Keys) -> Keys:
        """Count keys and return those that have no page, which were not counted.

        Raises:
            OverflowError: there were so many keys that a count may not fit; ``clear`` it first.
        """
        if self._counted[kind] + keys.size > LARGEST:
            raise OverflowError("the counts of a table may exceed 32 bits")
        rest = self._count(kind, keys) if self._pages else keys
        self._counted[kind] += keys.size - rest.size
        if rest.size >= BLOCK // 2 and len(self._pages) < self._capacity:
            self._make_pages(rest)
        return rest

    def run(self, kind: int) -> Run | None:
        """What was counted, as a view that holds until the next call; None if nothing was."""
        first_keys, kept, offsets, largest = [], [], [0], 0
        fences = [np.empty(0, np.uint32)]
        for page, slot in sorted((page, slot) for slot, page in enumerate(self._pages, 1)):
            cells = self._cells[kind, slot << PAGE_BITS : (slot + 1) << PAGE_BITS]
            occupied = np.flatnonzero(cells)
            if occupied.size:
                first_keys.append(page << PAGE_BITS)
                kept.append(cells)
                fence = occupied[-offsets[-1] % FENCE :: FENCE] + first_keys[-1]
                fences.append(fence.astype(np.uint32))
                offsets.append(offsets[-1] + occupied.size)
                largest = max(largest, int(cells.max()))
        if not kept:
            return None
        counts = PageArray(first_keys, kept, offsets, np.min_scalar_type(largest), False)
        keys = PageArray(first_keys, kept, offsets, np.dtype(np.uint32), True)
        return Run(keys, counts, np.concatenate(fences))

    def clear(self) -> None:
        """Forget all counts; the pages stay."""
        self._cells[:] = 0
        self._counted = [0, 0]

    def _count(self, kind: int, keys: Keys) -> Keys:
        one, cells, rests = np.uint32(1), self._cells[kind], []
        for start in range(0, keys.size, BLOCK):
            block = keys[start : start + BLOCK]
            place = self._starts[block >> np.uint32(PAGE_BITS)]
            homeless = place == 0
            if homeless.any():
                rests.append(block[homeless])
            place += block & np.uint32(PAGE - 1)
            np.add.at(cells, place, one)
        return np.concatenate(rests) if rests else keys[:0]

    def _make_pages(self, keys: Keys) -> None:
        """Make pages, the most wanted first, for keys like these."""
        if not self._seen.size:
            self._seen = np.zeros(1 << (32 - PAGE_BITS), np.int64)
            self._starts = np.zeros(1 << (32 - PAGE_BITS), np.intp)
            # Zeros cost nothing until they are written to.
            self._cells = np.zeros((2, (self._capacity + 1) << PAGE_BITS), np.uint32)
        self._seen += np.bincount(keys >> np.uint32(PAGE_BITS), minlength=self._seen.size)
        wanted = np.flatnonzero(self._seen >= WORTH_A_PAGE)
        wanted = wanted[np.argsort(-self._seen[wanted], kind="stable")]
        for page in wanted[: self._capacity - len(self._pages)].tolist():
            self._pages.append(page)
            self._starts[page] = len(self._pages) << PAGE_BITS
            self._seen[page] = 0
