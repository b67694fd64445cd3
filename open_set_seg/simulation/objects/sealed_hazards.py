"""Unknown objects of the sealed group: for the one final run of a study, and nothing else.

No demo, test picture, figure or choice of a parameter may render them.
"""

from __future__ import annotations

import math

import numpy as np

from open_set_seg.simulation.objects.hazards import Family, tinted
from open_set_seg.simulation.objects.shapes import ball, box, drum, rod
from open_set_seg.simulation.scene import Primitive, Vector
from open_set_seg.simulation.streams import between, chance


def _barrel(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    radius, height = between(rng, 0.24, 0.33), between(rng, 0.7, 0.95)
    hoop = tinted(rng, look, 0.5)
    if chance(rng, 0.35):  # it has rolled over
        start, end = (-0.5 * height, -radius, 0.0), (0.5 * height, -radius, 0.0)
        rim = (-0.15 * height, -radius, 0.0), (-0.10 * height, -radius, 0.0)
        parts = [rod(start, end, radius, look), rod(rim[0], rim[1], 1.04 * radius, hoop)]
        return parts, (height, 2.0 * radius, 2.0 * radius)
    parts = [drum((0.0, -0.5 * height, 0.0), radius, 0.5 * height, look)]
    for level in (0.33, 0.66):
        parts.append(drum((0.0, -level * height, 0.0), 1.04 * radius, 0.025, hoop))
    return parts, (2.0 * radius, height, 2.0 * radius)


def _rock(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    size = between(rng, 0.22, 0.60)
    parts = []
    for _ in range(4):
        half = tuple(size * between(rng, 0.55, 0.9) for _ in range(3))
        turn = tuple(between(rng, -1.5, 1.5) for _ in range(3))
        place = (between(rng, -0.3, 0.3) * size, -0.45 * size, between(rng, -0.3, 0.3) * size)
        parts.append(ball(place, (half[0], half[1], half[2]), look, (turn[0], turn[1], turn[2])))
    return parts, (2.0 * size, 1.3 * size, 2.0 * size)


def _suitcase(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    width, height, thick = (
        between(rng, 0.2, 0.29),
        between(rng, 0.26, 0.38),
        between(rng, 0.1, 0.15),
    )
    dark = tinted(rng, look, 0.6)
    parts = [box((0.0, -height - 0.05, 0.0), (width, height, thick), look)]
    for x in (-0.75 * width, 0.75 * width):
        parts.append(ball((x, -0.04, 0.0), (0.035, 0.04, 0.05), dark))
        parts.append(
            rod((0.4 * x, -2 * height, 0.0), (0.4 * x, -2 * height - 0.36, 0.0), 0.012, dark)
        )
    top = -2.0 * height - 0.36
    parts.append(rod((-0.3 * width, top, 0.0), (0.3 * width, top, 0.0), 0.018, dark))
    return parts, (2.0 * width, -top, 2.0 * thick)


def _cart(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    """A shopping cart: a basket of bars on four wheels, with a handle."""
    wide, deep, floor, rim = 0.27, between(rng, 0.36, 0.46), 0.42, between(rng, 0.88, 1.0)
    parts = [box((0.0, -0.22, 0.0), (0.85 * wide, 0.02, 0.9 * deep), look)]
    for side in (-1.0, 1.0):
        for level in np.linspace(floor, rim, 4):
            start, end = (side * wide, -float(level), -deep), (side * wide, -float(level), deep)
            parts.append(rod(start, end, 0.012, look))
        for z in np.linspace(-deep, deep, 5):
            start, end = (side * wide, -floor, float(z)), (side * wide, -rim, float(z))
            parts.append(rod(start, end, 0.010, look))
        for z in (-0.8 * deep, 0.8 * deep):
            parts.append(
                ball((side * 0.85 * wide, -0.07, z), (0.03, 0.07, 0.07), tinted(rng, look, 0.6))
            )
            parts.append(rod((side * 0.85 * wide, -0.1, z), (side * wide, -floor, z), 0.014, look))
    for z in (-deep, deep):
        for level in np.linspace(floor, rim, 4):
            parts.append(rod((-wide, -float(level), z), (wide, -float(level), z), 0.011, look))
    handle = (-wide, -rim - 0.06, -deep - 0.14), (wide, -rim - 0.06, -deep - 0.14)
    parts.append(rod(handle[0], handle[1], 0.022, tinted(rng, look, 0.5)))
    return parts, (2.0 * wide, rim + 0.08, 2.0 * deep)


def _ladder(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    """It lies across the lane, or stands as a pair of steps."""
    length, gap = between(rng, 1.3, 2.2), between(rng, 0.18, 0.24)
    parts = []
    if chance(rng, 0.5):
        for z in (-gap, gap):
            parts.append(box((0.0, -0.045, z), (0.5 * length, 0.045, 0.02), look))
        for x in np.linspace(-0.45 * length, 0.45 * length, 6):
            parts.append(rod((float(x), -0.05, -gap), (float(x), -0.05, gap), 0.018, look))
        return parts, (length, 0.09, 2.0 * gap)
    lean = 0.26 * length
    tall = math.sqrt((0.75 * length) ** 2 - lean**2)
    for x in (-gap, gap):
        for z in (-lean, lean):
            parts.append(rod((x, 0.0, z), (x, -tall, 0.0), 0.025, look))
    for share in np.linspace(0.15, 0.9, 5):
        z, y = -lean * (1.0 - float(share)), -tall * float(share)
        parts.append(box((0.0, y, z), (gap, 0.015, 0.05), look))
    return parts, (2.0 * gap, tall, 2.0 * lean)


SEALED: dict[str, Family] = {
    "barrel": _barrel,
    "rock": _rock,
    "suitcase": _suitcase,
    "cart": _cart,
    "ladder": _ladder,
}
