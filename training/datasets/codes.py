"""A data set's own codes as ids of a label space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from open_set_seg.frame import LabelImage
from open_set_seg.label_spaces import UNLABELLED
from training.datasets.frames import CorruptFileError


class CodeTable:
    """Translates 8-bit codes by a table of 256 entries; a code without an entry is an error.

    Args:
        labels: label of every code that means something.
        ignored: codes that become 255, *unlabelled* or *ignore*.

    Raises:
        ValueError: a code or a label outside 0..255, or a code in both arguments.
    """

    def __init__(self, labels: Mapping[int, int], ignored: Iterable[int] = ()) -> None:
        ignored = tuple(ignored)
        twice = sorted(set(labels) & set(ignored))
        if twice:
            raise ValueError(f"codes {twice} have a label and are ignored")
        table = np.full(256, UNLABELLED, dtype=np.uint8)
        unexpected = np.ones(256, dtype=np.uint8)
        for code, label in (*labels.items(), *((code, UNLABELLED) for code in ignored)):
            if not (0 <= code <= 255 and 0 <= label <= 255):
                raise ValueError(f"code {code} -> {label}: 0..255 expected")
            table[code], unexpected[code] = label, 0
        self._table, self._unexpected = table, unexpected

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, CodeTable)
            and bool((self._table == other._table).all())
            and bool((self._unexpected == other._unexpected).all())
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def codes(self) -> tuple[int, ...]:
        """Every code that it knows, ascending."""
        return tuple(np.flatnonzero(self._unexpected == 0).tolist())

    def translate(self, codes: LabelImage, path: Path) -> LabelImage:
        """Labels (H, W) of codes (H, W) uint8.

        Raises:
            CorruptFileError: codes that the table does not know; names ``path`` and the codes.
        """
        codes = np.ascontiguousarray(codes)
        strange = cv2.LUT(codes, self._unexpected)
        if strange.any():
            found = np.unique(codes[strange.astype(bool)]).tolist()
            raise CorruptFileError(path, f"unexpected codes {found}; known are {self._known()}")
        return np.asarray(cv2.LUT(codes, self._table), dtype=np.uint8)

    def _known(self) -> str:
        ranges: list[list[int]] = []
        for code in self.codes:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
        return ", ".join(f"{low}..{high}" if low < high else f"{low}" for low, high in ranges)
