"""Lamp posts, traffic signs, traffic lights and bollards."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.simulation.objects.palettes import pick
from open_set_seg.simulation.objects.shapes import box, drum, paint, rod, texture_origin
from open_set_seg.simulation.scene import Colour, Primitive, SceneObject
from open_set_seg.simulation.streams import between, chance, open_stream

POLE = STREETHAZARDS.id_of("pole")
SIGN = STREETHAZARDS.id_of("traffic sign")

METALS: tuple[Colour, ...] = (
    (0.44, 0.45, 0.45),
    (0.16, 0.18, 0.17),
    (0.56, 0.56, 0.55),
    (0.30, 0.33, 0.31),
)
RED: Colour = (0.66, 0.07, 0.08)
BLUE: Colour = (0.08, 0.22, 0.55)
WHITE: Colour = (0.86, 0.86, 0.84)
YELLOW: Colour = (0.85, 0.66, 0.08)
GREEN: Colour = (0.06, 0.34, 0.20)

# face, rim, shape (1 round, 0 square), whether the pictogram is light
SIGN_FACES: tuple[tuple[Colour, Colour, float, float], ...] = (
    (WHITE, RED, 1.0, 0.0),
    (BLUE, BLUE, 1.0, 1.0),
    (RED, RED, 1.0, 1.0),
    (BLUE, WHITE, 0.0, 1.0),
    (YELLOW, WHITE, 0.0, 0.0),
    (WHITE, WHITE, 0.0, 0.0),
    (GREEN, WHITE, 0.0, 1.0),
)


def _metal(rng: np.random.Generator) -> Primitive:
    return paint(POLE, "plain", pick(rng, METALS, 0.1), pattern=(0.08, 0.1, 0.0, 0.0))


def build_lamp(seed: int, key: str, lateral: float, distance: float, lift: float) -> SceneObject:
    """A lamp post whose arm reaches over the road."""
    rng = open_stream(seed, key)
    height, metal = between(rng, 5.0, 8.5), _metal(rng)
    reach = -math.copysign(between(rng, 0.7, 1.8), lateral)
    radius = between(rng, 0.07, 0.11)
    parts = (
        drum((0.0, -0.5 * height, 0.0), radius, 0.5 * height, metal, top=0.65),
        drum((0.0, -0.4, 0.0), 1.5 * radius, 0.4, metal),
        rod((0.0, -height, 0.0), (reach, -height - 0.25, 0.0), 0.05, metal),
        box((reach, -height - 0.22, 0.0), (0.34, 0.07, 0.14), metal),
    )
    return SceneObject(key, "lamp", lateral, distance, parts, (0.3, height, 0.3), lift)


def build_sign(seed: int, key: str, lateral: float, distance: float, lift: float) -> SceneObject:
    """A post with one or two plates that face the traffic on its side of the road."""
    rng = open_stream(seed, key)
    metal, height = _metal(rng), between(rng, 2.4, 3.1)
    parts = [drum((0.0, -0.5 * height, 0.0), 0.038, 0.5 * height, metal)]
    facing = -1.0 if lateral > 0.0 or chance(rng, 0.35) else 1.0
    top = height
    for _ in range(1 + int(chance(rng, 0.35))):
        half = between(rng, 0.26, 0.42)
        parts.append(_plate(rng, top - half, half, facing))
        top -= 2.0 * half + 0.06
    return SceneObject(
        key, "sign", lateral, distance, tuple(parts), (0.8, height, 0.1), lift,
        turn=between(rng, -0.12, 0.12),
    )  # fmt: skip


def _plate(rng: np.random.Generator, level: float, half: float, facing: float) -> Primitive:
    face, rim, round_face, light_ink = SIGN_FACES[int(rng.integers(len(SIGN_FACES)))]
    pattern = (round_face, between(rng, 0.0, 3.0), light_ink, 0.0)
    look = paint(SIGN, "sign", face, rim, pattern, texture_origin(rng))
    z = 0.055 * facing
    if round_face:
        return rod((0.0, -level, z), (0.0, -level, z + 0.02 * facing), half, look)
    wide = half * (1.0 if chance(rng, 0.6) else between(rng, 1.2, 1.9))
    return box((0.0, -level, z), (wide, half, 0.012), look)


def build_traffic_light(
    seed: int, key: str, lateral: float, distance: float, lift: float
) -> SceneObject:
    """A signal on a post; its head counts as a traffic sign."""
    rng = open_stream(seed, key)
    metal, height = _metal(rng), between(rng, 2.9, 3.5)
    lit = float(rng.integers(3))
    head = paint(SIGN, "signal", (0.05, 0.055, 0.05), pattern=(lit, 0.0, 0.0, 0.0))
    parts = (
        drum((0.0, -0.5 * height, 0.0), 0.055, 0.5 * height, metal),
        box((0.0, -height + 0.1, -0.16), (0.16, 0.46, 0.12), head),
    )
    return SceneObject(key, "traffic_light", lateral, distance, parts, (0.4, height, 0.4), lift)


def build_bollard(seed: int, key: str, lateral: float, distance: float, lift: float) -> SceneObject:
    """A short post at the kerb."""
    rng = open_stream(seed, key)
    metal, height = _metal(rng), between(rng, 0.75, 1.05)
    ring = replace(metal, colour=(0.8, 0.8, 0.78))
    parts = (
        drum((0.0, -0.5 * height, 0.0), 0.06, 0.5 * height, metal),
        drum((0.0, -0.85 * height, 0.0), 0.066, 0.06, ring),
    )
    return SceneObject(key, "bollard", lateral, distance, parts, (0.14, height, 0.14), lift)
