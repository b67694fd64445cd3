"""Surfaces with holes: leaves, pickets, wire mesh."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from open_set_seg.simulation.rendering.materials import MATERIAL_CODES
from open_set_seg.simulation.rendering.textures import Floats, fractal_noise, sample

CUTOUTS = frozenset(MATERIAL_CODES[name] for name in ("foliage", "pickets", "mesh"))


def cut_out(
    code: int,
    local: Sequence[Floats],
    half: Floats,
    pattern: Floats,
    offset: Floats,
) -> NDArray[np.bool_]:
    """Where a perforated surface is solid; independent of view and resolution.

    Args:
        code: of a material in ``CUTOUTS``.
        local: x, y, z (N,) metres from the primitive's centre.
        half: (N, 3) half sizes; pattern: (N, 4) and offset: (N, 2) of the primitives.

    Returns:
        (N,) bool. Foliage: holes where noise is below ``pattern[1]``. Pickets: period
        ``pattern[2]`` with a solid share of ``pattern[3]``, and two rails. Mesh: bars of width
        ``pattern[3]`` every ``pattern[2]`` metres both ways.
    """
    x, y, z = local
    if code == MATERIAL_CODES["foliage"]:
        scale = 1.0 / pattern[:, 0]
        u, v = x + 0.6 * z + offset[:, 0], y - 0.8 * z + offset[:, 1]
        return sample(fractal_noise(), u * scale, v * scale, 4.0 / 256.0) > pattern[:, 1]
    period, tall = pattern[:, 2], half[:, 1]
    along, up = np.where(half[:, 0] > half[:, 2], x, z) / period, tall - y
    phase = along - np.floor(along)
    if code == MATERIAL_CODES["pickets"]:
        rails = np.minimum(np.abs(up - 0.35 * tall), np.abs(up - 1.6 * tall)) < 0.045
        return (phase < pattern[:, 3]) | rails
    rise = up / period
    bars = pattern[:, 3] / period
    frame = (up > 2.0 * tall - 0.06) | (up < 0.06)
    return np.asarray((phase < bars) | (rise - np.floor(rise) < bars) | frame)
