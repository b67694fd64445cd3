"""What is measured of a picture for the camera's health.

Levels and changes in time are taken from the green channel of every k-th pixel in both directions,
at most 256 x 128 of them; sharpness from neighbouring pixels along 16 whole rows and 16 whole
columns.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import ImageRGB

SAMPLES = (128, 256)
LINES = 16
BLACK, WHITE = 5, 250
# A picture is compared with the last one where it is neither black nor white.
LEAST_COMPARED = 200


def take_sample(image: ImageRGB) -> NDArray[np.uint8]:
    """Copy of the green channel of every k-th pixel, at most ``SAMPLES``."""
    steps = [max(1, -(-side // most)) for side, most in zip(image.shape, SAMPLES, strict=False)]
    return np.ascontiguousarray(image[:: steps[0], :: steps[1], 1])


def measure_change(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Root mean square difference of two samples where neither is black or white, grey levels.

    NaN where too little is left: a covered lens shows the same black in every picture.
    """
    usable = (before > BLACK) & (before < WHITE) & (after > BLACK) & (after < WHITE)
    count = np.count_nonzero(usable)
    if count < min(LEAST_COMPARED, before.size // 10):
        return math.nan
    difference = after[usable].astype(np.float32) - before[usable]
    return math.sqrt(float(np.dot(difference, difference)) / count)


def measure_sharpness(image: ImageRGB) -> float:
    """Energy of the finest differences over that of coarse ones along 16 rows and 16 columns.

    ``mean (g(x + 1) - g(x))^2 / mean (g(x + 7) - g(x))^2`` of the green channel, rows and columns
    together. The quotient does not change with contrast, as exposure and fog do; blur takes the
    fine differences and leaves the coarse ones. 0 for an even picture, NaN for one with less than
    8 rows or columns.
    """
    height, width = image.shape[:2]
    if min(height, width) < 8:
        return math.nan
    rows = image[_lines(height), :, 1].astype(np.float32)
    columns = image[:, _lines(width), 1].T.astype(np.float32)
    fine, coarse = 0.0, 0.0
    for lines in (rows, columns):
        fine += float(np.mean(np.square(lines[:, 1:] - lines[:, :-1])))
        coarse += float(np.mean(np.square(lines[:, 7:] - lines[:, :-7])))
    return fine / coarse if coarse > 0 else 0.0


def _lines(length: int) -> NDArray[np.intp]:
    return np.unique(((np.arange(LINES) + 0.5) * length / LINES).astype(np.intp))
