"""Connected components of a mask in NumPy: horizontal runs, joined by a vectorised union-find."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Mask

Indices = NDArray[np.int64]


def label_components(mask: Mask) -> tuple[NDArray[np.int32], int]:
    """8-connected components of a mask.

    Args:
        mask: (H, W) bool.

    Returns:
        (H, W) int32, 0 outside the mask and 1..n inside, numbered by the first pixel of each
        component from the top left, row by row; and n.

    Raises:
        ValueError: a mask that is not a two-dimensional array of bool.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"a mask is (H, W) bool, not {mask.shape} {mask.dtype}")
    starts, ends, width = _runs(mask)
    roots = _join(starts.size, *_touching(starts, ends, width))
    is_root = roots == np.arange(roots.size)
    numbers = np.cumsum(is_root, dtype=np.int32)
    labels = np.zeros(mask.shape, np.int32)
    labels[mask] = np.repeat(numbers[roots], ends - starts)
    return labels, int(np.count_nonzero(is_root))


def _runs(mask: Mask) -> tuple[Indices, Indices, int]:
    """[start, end) of every horizontal run in a flat image one column wider, so that none wraps."""
    height, width = mask.shape
    padded = np.zeros((height, width + 1), np.bool_)
    padded[:, :width] = mask
    flat = padded.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat.size and flat[0]:
        edges = np.concatenate([[0], edges])
    return edges[::2], edges[1::2], width + 1


def _touching(starts: Indices, ends: Indices, width: int) -> tuple[Indices, Indices]:
    """Pairs of runs of adjoining rows that share a side or a corner."""
    # A lower run touches if it ends no earlier than one pixel before the upper one starts, and
    # starts no later than one pixel after it ends; these are adjoining in the order of runs.
    first = np.searchsorted(ends, starts + width, side="left")
    last = np.searchsorted(starts, ends + width, side="right")
    partners = last - first
    upper = np.repeat(np.arange(starts.size), partners)
    within = np.arange(upper.size) - np.repeat(np.cumsum(partners) - partners, partners)
    return upper, np.repeat(first, partners) + within


def _join(size: int, one: Indices, two: Indices) -> NDArray[Any]:
    """For each of ``size`` elements the smallest element that it is joined to by the pairs."""
    parent = np.arange(size)
    while True:
        left, right = parent[one], parent[two]
        apart = left != right
        if not apart.any():
            return parent
        one, two, left, right = one[apart], two[apart], left[apart], right[apart]
        # Every root hangs itself under the smallest root that it meets, so chains lead downwards.
        np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))
        while True:
            grandparent = parent[parent]
            if np.array_equal(grandparent, parent):
                break
            parent = grandparent
