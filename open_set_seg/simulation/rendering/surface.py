"""Points on surfaces of one material: what the functions of ``materials`` get."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_set_seg.simulation.rendering.textures import (
    Floats,
    Ints,
    fractal_noise,
    grain_noise,
    sample,
)


@dataclass(frozen=True, eq=False)
class Surface:
    """Points on surfaces of one material; N rows, metres in the primitive's own axes.

    Attributes:
        local: (N, 3) from the primitive's centre; half: (N, 3) half sizes.
        axis: (N,) dominant axis of the normal: 0 x, 1 y, 2 z.
        across, up: (N,) coordinates on the face: horizontal, and height above the primitive's
            bottom (on faces that look up or down: along z).
        footprint: (N,) size of a sample on the surface.
        gloss: (N,) share of sky that a mirror would show there, [0, 1].
    """

    local: Floats
    half: Floats
    axis: Ints
    across: Floats
    up: Floats
    footprint: Floats
    gloss: Floats
    colour: Floats
    accent: Floats
    pattern: Floats
    offset: Floats

    def mottle(self, metres: float, fine: bool = False) -> Floats:
        """Noise on the surface whose tile is ``metres`` wide."""
        noise = grain_noise() if fine else fractal_noise()
        scale = np.float32(1.0 / metres)
        u = (self.across + self.offset[:, 0]) * scale
        v = (self.up + self.offset[:, 1]) * scale
        return sample(noise, u, v, self.footprint * scale)

    def take(self, chosen: slice) -> Surface:
        """The chosen rows."""
        return Surface(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def mix(first: Floats, second: Floats | float, share: Floats | NDArray[np.bool_]) -> Floats:
    weight = share.astype(np.float32)[:, None]
    return np.asarray(first + (second - first) * weight, np.float32)
