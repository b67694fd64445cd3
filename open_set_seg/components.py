"""Connected components of masks, described by their runs.

A run is a row of set pixels with none before and behind it. There are far fewer runs than pixels,
so that sums and boxes of all components cost little beside their labelling.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of a mask, row by row from left to right.

    Attributes:
        rows: (R,) row of each.
        columns: (R,) its first column.
        lengths: (R,) its pixels.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    lengths: NDArray[np.intp]

    def select(self, chosen: NDArray[np.bool_]) -> Runs:
        """Those for which ``chosen`` (R,) is true."""
        return Runs(self.rows[chosen], self.columns[chosen], self.lengths[chosen])

    def pixels(self, width: int) -> NDArray[np.intp]:
        """Flat positions of all their pixels in an image of that width, in rising order."""
        starts = self.rows * width + self.columns
        ends = np.cumsum(self.lengths)
        total = int(ends[-1]) if ends.size else 0
        return np.arange(total) + np.repeat(starts - ends + self.lengths, self.lengths)


@dataclass(frozen=True, eq=False)
class Components:
    """The 8-connected components of a mask, numbered from 1; 0 is the background.

    Attributes:
        labels: (H, W) int32, number of the component of each pixel.
        count: N, numbers in use, the background included.
        runs: of the mask.
        numbers: (R,) component of each run.
    """

    labels: NDArray[np.int32]
    count: int
    runs: Runs
    numbers: NDArray[np.int32]

    def areas(self) -> NDArray[np.int64]:
        """(N,) pixels of each; 0 for the background, which is not counted."""
        sums = np.bincount(self.numbers, weights=self.runs.lengths, minlength=self.count)
        return sums.astype(np.int64)

    def boxes(self) -> NDArray[np.intp]:
        """(N, 4) left, top, width, height of each; without meaning for the background."""
        runs, numbers = self.runs, self.numbers
        top, bottom = np.zeros(self.count, np.intp), np.zeros(self.count, np.intp)
        # The last of several assignments to one place stays, and runs come from top to bottom.
        top[numbers[::-1]], bottom[numbers] = runs.rows[::-1], runs.rows
        left = np.full(self.count, self.labels.shape[1], np.intp)
        right = np.zeros(self.count, np.intp)
        np.minimum.at(left, numbers, runs.columns)
        np.maximum.at(right, numbers, runs.columns + runs.lengths)
        return np.stack([left, top, right - left, bottom - top + 1], axis=1)


def find_runs(mask: NDArray[np.uint8]) -> Runs:
    """Runs of an (H, W) mask of zeros and ones."""
    height, width = mask.shape
    # A zero before the first row and behind every row: no run goes on in the next row.
    padded = np.zeros(height * (width + 1) + 1, np.uint8)
    padded[1:].reshape(height, width + 1)[:, :width] = mask
    changes = np.flatnonzero(padded[1:] != padded[:-1])
    starts, ends = changes[::2], changes[1::2]
    rows = starts // (width + 1)
    return Runs(rows, starts - rows * (width + 1), ends - starts)


def label_components(mask: NDArray[np.uint8]) -> Components:
    """The 8-connected components of an (H, W) mask of zeros and ones."""
    count, found = cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S)
    labels: NDArray[np.int32] = np.asarray(found, np.int32)
    runs = find_runs(mask)
    return Components(labels, count, runs, labels[runs.rows, runs.columns])
