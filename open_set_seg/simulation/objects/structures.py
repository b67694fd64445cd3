"""Buildings, walls and fences along the road."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.simulation.objects.palettes import FACADES, MASONRY, WOODS, pick
from open_set_seg.simulation.objects.shapes import box, paint, texture_origin
from open_set_seg.simulation.scene import Colour, Primitive, SceneObject
from open_set_seg.simulation.streams import between, chance, open_stream

BUILDING = STREETHAZARDS.id_of("building")
WALL = STREETHAZARDS.id_of("wall")
FENCE = STREETHAZARDS.id_of("fence")

FRAMES: tuple[Colour, ...] = ((0.80, 0.79, 0.76), (0.22, 0.21, 0.20), (0.45, 0.33, 0.22))
ROOFS: tuple[Colour, ...] = ((0.42, 0.22, 0.16), (0.24, 0.24, 0.26), (0.33, 0.28, 0.24))
METAL: tuple[Colour, ...] = ((0.34, 0.37, 0.36), (0.15, 0.19, 0.17), (0.55, 0.56, 0.56))


def build_building(
    seed: int,
    key: str,
    lateral: float,
    distance: float,
    lift: float,
    frontage: float,
    depth: float,
    storeys: tuple[int, int],
) -> SceneObject:
    """A house with its front along the road; ``lateral`` is the middle of its depth."""
    rng = open_stream(seed, key)
    floor = between(rng, 2.8, 3.6)
    count = int(rng.integers(storeys[0], storeys[1] + 1))
    height = floor * count + between(rng, 0.3, 1.0)
    colour, frames = pick(rng, FACADES, 0.10), pick(rng, FRAMES)
    windows = (between(rng, 1.7, 3.4), floor, between(rng, 0.36, 0.72), between(rng, 0.42, 0.66))
    front = paint(BUILDING, "facade", colour, frames, windows, texture_origin(rng))
    half = (0.5 * depth, 0.5 * height, 0.5 * frontage)
    parts = [box((0.0, -0.5 * height, 0.0), half, front)]
    if count <= 3 and chance(rng, 0.75):
        parts.append(_roof(rng, height, half))
    elif chance(rng, 0.6):
        hut = box((0.0, -height - 0.9, 0.0), (0.25 * depth, 0.9, 0.2 * frontage), front)
        parts.append(replace(hut, material="plain", pattern=(0.05, 0.0, 0.0, 0.0)))
    toward_road = -math.copysign(1.0, lateral)
    if chance(rng, 0.45):
        parts += _balconies(rng, front, half, floor, count, toward_road)
    return SceneObject(
        key, "building", lateral, distance, tuple(parts), (depth, height, frontage), lift
    )


def _roof(rng: np.random.Generator, height: float, half: tuple[float, float, float]) -> Primitive:
    rise = between(rng, 0.9, 1.9)
    tiles = paint(BUILDING, "stripes", pick(rng, ROOFS), pick(rng, ROOFS), (0.3, 0.0, 0.12, 0.1))
    roof = box((0.0, -height - rise, 0.0), (half[0] + 0.4, rise, half[2] + 0.3), tiles)
    return replace(roof, taper=(0.08, 0.9, 0.0))


def _balconies(
    rng: np.random.Generator,
    front: Primitive,
    half: tuple[float, float, float],
    floor: float,
    count: int,
    toward_road: float,
) -> list[Primitive]:
    slab = replace(front, material="plain", pattern=(0.05, 0.0, 0.0, 0.0))
    z = between(rng, -0.5, 0.5) * half[2]
    x = toward_road * (half[0] + 0.5)
    return [
        box((x, -storey * floor - 0.5, z), (0.5, 0.5, 1.3), slab)
        for storey in range(1, min(count, 5))
    ]


def build_wall(
    seed: int, key: str, lateral: float, distance: float, lift: float, length: float
) -> SceneObject:
    """A stretch of garden or retaining wall with a coping."""
    rng = open_stream(seed, key)
    height, thick = between(rng, 1.5, 3.4), between(rng, 0.12, 0.22)
    colour = pick(rng, MASONRY, 0.10)
    mortar = (0.62, 0.60, 0.56) if chance(rng, 0.6) else (0.30, 0.29, 0.27)
    blocks = (between(rng, 0.22, 0.62), between(rng, 0.07, 0.32), between(rng, 0.3, 0.8), 0.25)
    body = paint(WALL, "masonry", colour, mortar, blocks, texture_origin(rng))
    parts = [box((0.0, -0.5 * height, 0.0), (thick, 0.5 * height, 0.5 * length), body)]
    coping = replace(body, material="plain", colour=mortar, pattern=(0.06, 0.0, 0.0, 0.0))
    parts.append(box((0.0, -height - 0.05, 0.0), (thick + 0.07, 0.06, 0.5 * length), coping))
    if chance(rng, 0.5):
        for z in (-0.5 * length + 0.2, 0.5 * length - 0.2):
            pier = box(
                (0.0, -0.5 * height - 0.15, z), (thick + 0.1, 0.5 * height + 0.15, 0.22), body
            )
            parts.append(pier)
    return SceneObject(key, "wall", lateral, distance, tuple(parts), (0.4, height, length), lift)


def build_fence(
    seed: int, key: str, lateral: float, distance: float, lift: float, length: float, style: int
) -> SceneObject:
    """A stretch of fence; ``style``: 0 pickets, 1 bars, 2 boards, 3 wire mesh."""
    rng = open_stream(seed, key)
    height = between(rng, 1.0, 1.4) if style == 0 else between(rng, 1.3, 2.1)
    origin = texture_origin(rng)
    if style == 0:
        colour = pick(rng, (*WOODS, (0.82, 0.81, 0.78)), 0.08)
        period = between(rng, 0.13, 0.18)
        face = paint(FENCE, "pickets", colour, pattern=(0.10, 0.0, period, 0.66), offset=origin)
    elif style == 1:
        face = paint(FENCE, "pickets", pick(rng, METAL), pattern=(0.05, 0.0, 0.14, 0.28))
    elif style == 2:
        boards = (between(rng, 0.10, 0.2), 0.10, float(chance(rng, 0.6)), 0.0)
        face = paint(FENCE, "timber", pick(rng, WOODS, 0.1), pattern=boards, offset=origin)
    else:
        face = paint(FENCE, "mesh", pick(rng, METAL), pattern=(0.05, 0.0, 0.11, 0.030))
    parts = [box((0.0, -0.5 * height - 0.04, 0.0), (0.02, 0.5 * height, 0.5 * length), face)]
    post = replace(face, material="plain", pattern=(0.08, 0.0, 0.0, 0.0))
    count = max(2, round(length / 2.5) + 1)
    for index in range(count):
        z = -0.5 * length + length * index / (count - 1)
        parts.append(box((0.0, -0.5 * height - 0.06, z), (0.05, 0.5 * height + 0.06, 0.05), post))
    return SceneObject(key, "fence", lateral, distance, tuple(parts), (0.1, height, length), lift)
