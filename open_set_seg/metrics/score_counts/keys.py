"""Scores as unsigned integers of the same order: comparing, sorting and counting become exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

INLIER, OUTLIER, IGNORE = 0, 1, 255

Keys = NDArray[np.unsignedinteger[Any]]
Scores = NDArray[np.floating[Any]]

WIDTHS = {np.float16: 32, np.float32: 32, np.float64: 64}
_FLOATS: dict[int, Any] = {32: np.float32, 64: np.float64}
_BITS: dict[int, Any] = {32: np.uint32, 64: np.uint64}
_SIGNED: dict[int, Any] = {32: np.int32, 64: np.int64}


def encode(scores: Scores) -> Keys:
    """Keys with ``a < b`` exactly where the scores have it; -0.0 and 0.0 have one key.

    Args:
        scores: float16 and float32 give uint32 keys, float64 uint64.
    """
    width = WIDTHS[scores.dtype.type]
    # Adding zero makes -0.0 into 0.0. The bits of floats order like sign and magnitude: negative
    # ones have all bits flipped, the others the sign bit.
    bits = np.add(scores, 0, dtype=_FLOATS[width]).view(_SIGNED[width])
    flip = bits >> (width - 1)
    flip |= np.iinfo(bits.dtype).min
    bits ^= flip
    keys: Keys = bits.view(_BITS[width])
    return keys


def decode(keys: Keys) -> Scores:
    """The scores of keys: float32 for uint32, float64 for uint64."""
    width = 8 * keys.dtype.itemsize
    bits = keys.view(_SIGNED[width])
    flip = ~bits >> (width - 1)
    flip |= np.iinfo(bits.dtype).min
    scores: Scores = (bits ^ flip).view(_FLOATS[width])
    return scores


def widen(keys: Keys) -> Keys:
    """uint64 keys of the same scores."""
    return keys if keys.dtype == np.uint64 else encode(decode(keys).astype(np.float64))


def narrow(keys: Keys) -> Keys:
    """uint32 keys of uint64 ones if all the scores are float32 values; else the same keys."""
    scores = decode(keys)
    with np.errstate(over="ignore"):
        short = scores.astype(np.float32)
    return encode(short) if np.array_equal(short, scores) else keys


def split(scores: Scores, labels: NDArray[np.uint8]) -> tuple[Keys, Keys]:
    """Keys of the inliers and of the outliers of a frame; refuses what ``split_scores`` does."""
    inliers, outliers = split_scores(scores, labels)
    return encode(inliers), encode(outliers)


def split_scores(scores: Scores, labels: NDArray[np.uint8]) -> tuple[Scores, Scores]:
    """Scores of the inliers and of the outliers of a frame.

    Raises:
        ValueError: shapes that differ, labels other than 0, 1, 255, a score that is NaN on a
            counted pixel, or scores that are not float16, float32 or float64.
    """
    if scores.dtype.type not in WIDTHS:
        raise ValueError(f"scores are float16, float32 or float64, not {scores.dtype}")
    if scores.shape != labels.shape:
        raise ValueError(f"scores of shape {scores.shape} but labels of shape {labels.shape}")
    inlier, outlier = labels == INLIER, labels == OUTLIER
    counted = np.count_nonzero(inlier) + np.count_nonzero(outlier)
    if counted + np.count_nonzero(labels == IGNORE) != labels.size:
        raise ValueError("labels are 0 (inlier), 1 (outlier) and 255 (ignore)")
    inliers, outliers = scores[inlier], scores[outlier]
    if np.isnan(inliers).any() or np.isnan(outliers).any():
        raise ValueError("a score is NaN: it is neither above nor below any threshold")
    return inliers, outliers
