"""Trees, bushes and hedges: balls of leaves with ragged, perforated shells."""

from __future__ import annotations

import math

import numpy as np

from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.simulation.objects.palettes import LEAVES, pick, vary
from open_set_seg.simulation.objects.shapes import ball, box, drum, paint, texture_origin
from open_set_seg.simulation.scene import Colour, Primitive, SceneObject
from open_set_seg.simulation.streams import between, chance, open_stream

VEGETATION = STREETHAZARDS.id_of("vegetation")
BARK: tuple[Colour, ...] = ((0.26, 0.20, 0.15), (0.36, 0.32, 0.27), (0.20, 0.17, 0.14))
OPAQUE = -9.0  # a level of holes that no noise falls below


def _leaves(rng: np.random.Generator, colour: Colour, tile: float, holes: float) -> Primitive:
    tone = vary(rng, colour, 0.12)
    glint = (0.35 * tone[0] + 0.02, 0.35 * tone[1] + 0.02, 0.2 * tone[2])
    pattern = (tile, holes, 0.0, 0.0)
    return paint(VEGETATION, "foliage", tone, glint, pattern, texture_origin(rng))


def build_tree(seed: int, key: str, lateral: float, distance: float, lift: float) -> SceneObject:
    """A tree: a trunk, a solid core of leaves and a ragged crown around it."""
    rng = open_stream(seed, key)
    height, colour = between(rng, 4.5, 11.0), pick(rng, LEAVES, 0.12)
    crown, trunk = height * between(rng, 0.24, 0.36), height * between(rng, 0.22, 0.34)
    slender = chance(rng, 0.2)
    if slender:
        crown *= 0.5
    bark = paint(VEGETATION, "plain", pick(rng, BARK), pattern=(0.2, 0.0, 0.0, 0.0))
    radius = 0.02 * height
    parts = [drum((0.0, -0.6 * trunk, 0.0), radius, 0.6 * trunk, bark, top=0.7)]
    middle, reach = -0.5 * (height + trunk), 0.5 * (height - trunk)
    core = (0.72 * crown, 0.80 * reach, 0.72 * crown)
    parts.append(ball((0.0, middle, 0.0), core, _leaves(rng, colour, 2.6, -1.1)))
    for index in range(7):
        angle = 2.0 * math.pi * (index + between(rng, 0.0, 0.7)) / 7.0
        level = between(rng, -0.75, 0.85)
        out = crown * math.sqrt(max(1.0 - level * level, 0.1)) * between(rng, 0.45, 0.75)
        size = crown * between(rng, 0.42, 0.68)
        place = (out * math.cos(angle), middle + level * reach * 0.8, out * math.sin(angle))
        leaves = _leaves(rng, colour, between(rng, 1.4, 2.4), -0.25)
        parts.append(ball(place, (size, 0.8 * size, size), leaves))
    return SceneObject(
        key, "tree", lateral, distance, tuple(parts), (2.0 * crown, height, 2.0 * crown), lift
    )


def build_bush(seed: int, key: str, lateral: float, distance: float, lift: float) -> SceneObject:
    """Three or four ragged balls near the ground."""
    rng = open_stream(seed, key)
    colour, size = pick(rng, LEAVES, 0.15), between(rng, 0.45, 1.2)
    parts = []
    for _ in range(3):
        place = (between(rng, -size, size), -0.6 * size, between(rng, -size, size))
        half = (size, between(rng, 0.6, 0.9) * size, size)
        parts.append(ball(place, half, _leaves(rng, colour, 1.2, -0.7)))
    extent = (4.0 * size, 1.5 * size, 4.0 * size)
    return SceneObject(key, "bush", lateral, distance, tuple(parts), extent, lift)


def build_hedge(
    seed: int, key: str, lateral: float, distance: float, lift: float, length: float
) -> SceneObject:
    """A clipped hedge along the road with a ragged top."""
    rng = open_stream(seed, key)
    colour, height = pick(rng, LEAVES, 0.1), between(rng, 0.9, 2.0)
    solid = _leaves(rng, colour, 1.5, OPAQUE)
    parts = [box((0.0, -0.5 * height, 0.0), (0.45, 0.5 * height, 0.5 * length), solid)]
    for index in range(3):
        z = (index - 1.0) * length / 3.0
        half = (0.55, 0.22, length / 5.0)
        parts.append(ball((0.0, -height, z), half, _leaves(rng, colour, 1.2, -0.4)))
    return SceneObject(
        key, "hedge", lateral, distance, tuple(parts), (1.0, height + 0.2, length), lift
    )
