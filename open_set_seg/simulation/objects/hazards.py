"""Unknown objects of the development group: what demo, tests, training studies and figures show."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.simulation.objects.palettes import pick_any, pick_camouflage, vary
from open_set_seg.simulation.objects.shapes import ball, box, drum, limb, paint, rod, texture_origin
from open_set_seg.simulation.scene import Primitive, Vector
from open_set_seg.simulation.streams import between, chance

UNKNOWN = STREETHAZARDS.unknown_id

# A family makes parts of about natural size, and says (width, height, length) in metres.
Family = Callable[[np.random.Generator, Primitive], tuple[list[Primitive], Vector]]


def choose_look(rng: np.random.Generator, camouflaged: bool) -> Primitive:
    """Paint of an unknown object: any colour and pattern, or colours of the known world."""
    colour = pick_camouflage(rng) if camouflaged else pick_any(rng)
    accent = pick_camouflage(rng) if camouflaged else pick_any(rng)
    mottling = between(rng, 0.03, 0.16)
    kind = int(rng.choice(4, p=[0.55, 0.15, 0.10, 0.20]))
    size = between(rng, 0.12, 0.45)
    name, pattern = (
        ("plain", (mottling, between(rng, 0.0, 0.25), 0.0, 0.0)),
        ("stripes", (size, between(rng, -1.0, 1.0), between(rng, 0.25, 0.75), mottling)),
        ("checks", (size, 0.0, 0.0, mottling)),
        ("blotches", (between(rng, 0.8, 2.5), between(rng, -0.4, 0.6), 0.0, mottling)),
    )[kind]
    return paint(UNKNOWN, name, colour, accent, pattern, texture_origin(rng))


def tinted(rng: np.random.Generator, look: Primitive, spread: float = 0.25) -> Primitive:
    """The same paint, a little lighter or darker."""
    return replace(look, colour=vary(rng, look.colour, spread))


def _crate(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    width, height, length = (between(rng, 0.22, 0.48) for _ in range(3))
    if chance(rng, 0.4) and look.material == "plain":
        boards = (between(rng, 0.08, 0.16), 0.1, float(chance(rng, 0.5)), 0.0)
        look = replace(look, material="timber", pattern=boards)
    parts = [box((0.0, -height, 0.0), (width, height, length), look)]
    if chance(rng, 0.35):
        lid = tinted(rng, replace(look, material="plain"))
        parts.append(box((0.0, -2.0 * height, 0.0), (1.04 * width, 0.04, 1.04 * length), lid))
    elif chance(rng, 0.3):
        size = 0.6 * width
        turn = (between(rng, 0.0, 1.5), 0.0, 0.0)
        parts.append(box((0.0, -2.0 * height - size, 0.0), (size, size, size), look, turn))
    return parts, (2.0 * width, 2.0 * height, 2.0 * length)


def _ball(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    radius = between(rng, 0.16, 0.42)
    return [ball((0.0, -radius, 0.0), (radius, radius, radius), look)], (2 * radius,) * 3


def _cone(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    height, radius = between(rng, 0.45, 0.95), between(rng, 0.14, 0.24)
    foot = replace(tinted(rng, look), material="plain")
    parts = [
        box((0.0, -0.025, 0.0), (1.45 * radius, 0.025, 1.45 * radius), foot),
        drum((0.0, -0.05 - 0.5 * height, 0.0), radius, 0.5 * height, look, top=0.16),
    ]
    return parts, (2.9 * radius, height + 0.05, 2.9 * radius)


def _tyre(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    """A ring of short rods; it lies flat, leans on its tread, or is piled on others."""
    radius, thick = between(rng, 0.27, 0.42), between(rng, 0.08, 0.12)
    count = 12
    stands = chance(rng, 0.4)
    heaps = 1 if stands else int(rng.integers(1, 4))
    parts = []
    for heap in range(heaps):
        for index in range(count):
            start, end = (2.0 * math.pi * (index + step) / count for step in (-0.1, 1.1))
            points: list[Vector] = []
            for angle in (start, end):
                x, other = (radius - thick) * math.cos(angle), (radius - thick) * math.sin(angle)
                level = -thick - 2.0 * thick * heap
                points.append((x, other - radius, 0.0) if stands else (x, level, other))
            parts.append(rod(points[0], points[1], thick, look))
    tall = 2.0 * radius if stands else 2.0 * thick * heaps
    return parts, (2.0 * radius, tall, 2.0 * (thick if stands else radius))


def _plank(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    """One to three boards that lie on the ground or on each other."""
    length, width, thick = between(rng, 0.7, 1.5), between(rng, 0.09, 0.2), between(rng, 0.03, 0.06)
    parts = []
    for index in range(int(rng.integers(1, 4))):
        turn = (between(rng, -1.2, 1.2), 0.0, 0.0)
        level = -thick * (2 * index + 1)
        parts.append(box((0.0, level, 0.1 * index), (length, thick, width), look, turn))
    return parts, (2.0 * length, 2.0 * thick * len(parts), 2.0 * width)


def _animal(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    """Four legs, from the size of a cat to that of a deer; it stands, or it lies."""
    size = between(rng, 0.35, 1.0)
    lies = chance(rng, 0.25)
    leg = 0.08 * size if lies else between(rng, 0.4, 0.62) * size
    body, girth = 0.5 * size, between(rng, 0.15, 0.22) * size
    back = -leg - girth
    dark = tinted(rng, look, 0.4)
    parts = [
        ball((0.0, back, 0.0), (girth, 1.05 * girth, body), look),
        ball((0.0, back - 0.08 * size, 0.35 * size), (0.8 * girth, girth, 0.2 * size), look),
        limb((0.0, back, 0.4 * size), (0.0, back - 0.35 * size, 0.62 * size), 0.45 * girth, look),
        ball((0.0, back - 0.38 * size, 0.70 * size), (0.09 * size, 0.09 * size, 0.16 * size), dark),
        limb((0.0, back, -0.45 * size), (0.0, back + 0.2 * size, -0.68 * size), 0.03 * size, dark),
    ]
    for side in (-1.0, 1.0):
        ear = (0.05 * side * size, back - 0.46 * size, 0.64 * size)
        parts.append(ball(ear, (0.02 * size, 0.07 * size, 0.035 * size), dark))
        if not lies:
            for z in (-0.36 * size, 0.36 * size):
                start = (side * 0.6 * girth, back, z)
                end = (side * 0.6 * girth, -0.02, z + between(rng, -0.12, 0.12) * size)
                parts.append(limb(start, end, 0.055 * size, look))
    return parts, (2.0 * girth, leg + 2.4 * girth + 0.4 * size, 1.5 * size)


def _furniture(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    """A chair, a table or an armchair, upright or fallen over."""
    kind = int(rng.integers(3))
    if kind == 2:
        wide, deep = between(rng, 0.35, 0.8), between(rng, 0.32, 0.42)
        parts = [
            box((0.0, -0.22, 0.0), (wide, 0.22, deep), look),
            box((0.0, -0.6, -deep + 0.08), (wide, 0.28, 0.10), look),
        ]
        for side in (-1.0, 1.0):
            parts.append(box((side * wide, -0.3, 0.0), (0.10, 0.30, deep), tinted(rng, look)))
        return parts, (2.0 * wide + 0.2, 0.88, 2.0 * deep)
    seat = 0.45 if kind == 0 else 0.74
    wide = between(rng, 0.19, 0.25) if kind == 0 else between(rng, 0.35, 0.65)
    deep = wide if kind == 0 else between(rng, 0.3, 0.45)
    parts = [box((0.0, -seat, 0.0), (wide, 0.025, deep), look)]
    for x in (-wide + 0.03, wide - 0.03):
        for z in (-deep + 0.03, deep - 0.03):
            parts.append(box((x, -0.5 * seat, z), (0.025, 0.5 * seat, 0.025), look))
    if kind == 0:
        parts.append(box((0.0, -seat - 0.24, -deep), (wide, 0.22, 0.02), look))
    tall = seat + 0.46 if kind == 0 else seat
    return parts, (2.0 * wide, tall, 2.0 * deep)


def _cloth(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    """A heap of cloth or a filled bag: flat balls that melt into each other."""
    spread = between(rng, 0.25, 0.55)
    parts = []
    for _ in range(int(rng.integers(3, 6))):
        half = (
            spread * between(rng, 0.5, 1.0),
            spread * between(rng, 0.2, 0.5),
            spread * between(rng, 0.5, 1.0),
        )
        place = (between(rng, -0.6, 0.6) * spread, -0.7 * half[1], between(rng, -0.5, 0.5) * spread)
        turn = (between(rng, 0.0, 3.0), between(rng, -0.3, 0.3), between(rng, -0.3, 0.3))
        parts.append(ball(place, half, tinted(rng, look), turn))
    return parts, (2.4 * spread, 0.9 * spread, 2.4 * spread)


def _debris(rng: np.random.Generator, look: Primitive) -> tuple[list[Primitive], Vector]:
    """Tilted slabs and chunks close together."""
    spread = between(rng, 0.25, 0.6)
    parts = []
    for _ in range(int(rng.integers(3, 7))):
        half = tuple(spread * between(rng, 0.12, 0.5) for _ in range(3))
        place = (between(rng, -0.8, 0.8) * spread, -0.6 * half[1], between(rng, -0.6, 0.6) * spread)
        turn = (between(rng, 0.0, 3.0), between(rng, -0.6, 0.6), between(rng, -0.6, 0.6))
        parts.append(box(place, (half[0], half[1], half[2]), tinted(rng, look, 0.4), turn))
    return parts, (2.2 * spread, 0.8 * spread, 2.0 * spread)


DEVELOPMENT: dict[str, Family] = {
    "crate": _crate,
    "ball": _ball,
    "cone": _cone,
    "tyre": _tyre,
    "plank": _plank,
    "animal": _animal,
    "furniture": _furniture,
    "cloth": _cloth,
    "debris": _debris,
}
