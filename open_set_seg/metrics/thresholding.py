"""Comparing score maps with a threshold, exactly, whatever their precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Mask


def strictly_above(scores: NDArray[np.floating[Any]], threshold: float) -> Mask:
    """Where a score is greater than ``threshold``, as if both were real numbers.

    NumPy rounds a Python float to the precision of the array, and what lies between the rounded
    threshold and the true one would change sides. So the threshold is rounded *down* instead: no
    score of the array's type lies between the two.

    Raises:
        ValueError: a threshold that is NaN.
    """
    if np.isnan(threshold):
        raise ValueError("the threshold is NaN: nothing is above or below it")
    with np.errstate(over="ignore", under="ignore"):
        rounded = scores.dtype.type(threshold)
    if float(rounded) > threshold:
        rounded = np.nextafter(rounded, scores.dtype.type(-np.inf))
    above: Mask = scores > rounded
    return above
