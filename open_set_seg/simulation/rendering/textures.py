"""Shared periodic noise with a mip pyramid; every texture is made of lookups into it.

A lookup is anchored by the caller in object or world coordinates, so that views, frames and
resolutions agree; the pyramid level follows the size of a pixel's footprint on the surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

TILE = 256  # texels along a side of the finest level; a power of two
LEVELS = 6


@dataclass(frozen=True, eq=False)
class Noise:
    """All levels of one noise tile, one after the other in ``values``; mean 0, deviation 1."""

    values: Floats
    starts: Ints


@cache
def fractal_noise() -> Noise:
    """Noise with a 1/frequency amplitude: clouds, stains, bark, asphalt."""
    return _build(exponent=1.15, key=11)


@cache
def grain_noise() -> Noise:
    """Nearly white noise: grains of asphalt, leaves, blades of grass."""
    return _build(exponent=0.35, key=12)


def sample(noise: Noise, u: Floats, v: Floats, footprint: Floats | float) -> Floats:
    """Noise at (u, v), bilinear inside the level that fits the footprint.

    Args:
        u, v: (N,) coordinates in tiles (the pattern repeats at 1).
        footprint: size of a pixel on the surface in tiles, (N,) or one number.

    Returns:
        (N,) float32.
    """
    texels = np.maximum(np.asarray(footprint, np.float32) * TILE, 1.0)
    level = np.minimum((np.log2(texels) + 0.5).astype(np.int32), LEVELS - 1)
    side = np.right_shift(np.int32(TILE), level).astype(np.int32)
    start = noise.starts[level]
    x, y = u * side - 0.5, v * side - 0.5
    x_floor, y_floor = np.floor(x), np.floor(y)
    fx, fy = (x - x_floor).astype(np.float32), (y - y_floor).astype(np.float32)
    mask = side - 1
    x0, y0 = x_floor.astype(np.int32) & mask, y_floor.astype(np.int32) & mask
    x1 = (x0 + 1) & mask
    row0 = start + y0 * side
    row1 = start + ((y0 + 1) & mask) * side
    values = noise.values
    top = values[row0 + x0]
    top += (values[row0 + x1] - top) * fx
    bottom = values[row1 + x0]
    bottom += (values[row1 + x1] - bottom) * fx
    top += (bottom - top) * fy
    return np.asarray(top, np.float32)


def hash_unit(a: NDArray[np.integer], b: NDArray[np.integer] | int, salt: Floats | int) -> Floats:
    """Pseudo-random number in [0, 1) of the cell (a, b), for tiles and windows.

    ``salt`` tells objects apart; it counts to three decimals.
    """
    # In integers and double precision, so that every version of numpy rounds alike.
    grains = np.floor(np.asarray(salt, np.float64) * 1000.0).astype(np.int64)
    mixed = (
        np.asarray(a, np.int64) * 73_856_093
        ^ np.asarray(b, np.int64) * 19_349_663
        ^ grains * 83_492_791
    )
    mixed = (mixed ^ (mixed >> 13)) * 1_274_126_177
    return np.asarray(((mixed ^ (mixed >> 16)) & 0xFFFF) / 65_536.0, np.float32)


def _build(exponent: float, key: int) -> Noise:
    rng = np.random.default_rng(key)
    spectrum = np.fft.fft2(rng.standard_normal((TILE, TILE)))
    frequency = np.fft.fftfreq(TILE) * TILE
    radius = np.hypot(frequency[:, None], frequency[None, :])
    radius[0, 0] = 1.0
    spectrum *= np.maximum(radius, 3.0) ** -exponent
    spectrum[0, 0] = 0.0
    level = np.fft.ifft2(spectrum).real
    level = np.clip(level / level.std(), -2.5, 2.5).astype(np.float32)
    levels = []
    for _ in range(LEVELS):
        levels.append(level)
        level = level.reshape(len(level) // 2, 2, len(level) // 2, 2).mean(axis=(1, 3))
    starts = np.cumsum([0] + [entry.size for entry in levels[:-1]]).astype(np.int32)
    return Noise(np.concatenate([entry.ravel() for entry in levels]), starts)
