"""Pedestrians: standing, walking and sitting, in all sizes and clothes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.simulation.objects.palettes import CLOTHES, HAIR, SKINS, pick
from open_set_seg.simulation.objects.shapes import ball, box, limb, paint, texture_origin
from open_set_seg.simulation.scene import Primitive, SceneObject, Swing
from open_set_seg.simulation.streams import between, chance, open_stream

PEDESTRIAN = STREETHAZARDS.id_of("pedestrian")


def build_pedestrian(
    seed: int,
    key: str,
    lateral: float,
    distance: float,
    lift: float,
    crossing: float = 0.0,
    patrol: float = 0.0,
) -> SceneObject:
    """A person at a road position; ``crossing`` m/s across the road, 0 for one on the sidewalk.

    ``patrol``: see ``SceneObject``.
    """
    rng = open_stream(seed, key)
    height = between(rng, 1.05, 1.40) if chance(rng, 0.12) else between(rng, 1.52, 1.92)
    walks = crossing != 0.0 or chance(rng, 0.62)
    speed = 0.0
    turn = between(rng, -math.pi, math.pi)
    if crossing != 0.0:
        turn = math.copysign(0.5 * math.pi, crossing)
    elif walks:
        ahead = chance(rng, 0.5)
        speed = between(rng, 0.8, 1.6) * (1.0 if ahead else -1.0)
        turn = (0.0 if ahead else math.pi) + between(rng, -0.2, 0.2)
    pace = abs(speed) + abs(crossing)
    return SceneObject(
        key=key,
        kind="walking" if walks else "standing",
        lateral=lateral,
        distance=distance,
        lift=lift,
        turn=turn,
        velocity=(crossing, speed),
        patrol=patrol,
        parts=_parts(rng, height, pace),
        size=(0.5, height, 0.5),
    )


def _parts(rng: np.random.Generator, height: float, pace: float) -> tuple[Primitive, ...]:
    scale = height / 1.75
    girth = scale * between(rng, 0.88, 1.25)
    origin = texture_origin(rng)

    def cloth(strength: float) -> Primitive:
        colour = pick(rng, CLOTHES, 0.15)
        return paint(PEDESTRIAN, "plain", colour, pattern=(strength, 0.0, 0.0, 0.0), offset=origin)

    top, bottom = cloth(0.10), cloth(0.08)
    skin = paint(PEDESTRIAN, "plain", pick(rng, SKINS), pattern=(0.03, 0.0, 0.0, 0.0))
    hair = paint(PEDESTRIAN, "plain", pick(rng, HAIR), pattern=(0.1, 0.0, 0.0, 0.0), offset=origin)
    shoes = paint(PEDESTRIAN, "plain", pick(rng, HAIR + CLOTHES[:3]))
    sleeve = top if chance(rng, 0.7) else skin

    def at(x: float, y: float, z: float) -> tuple[float, float, float]:
        return x * girth, -y * scale, z * scale

    parts = [
        ball(at(0.0, 1.27, 0.0), (0.175 * girth, 0.30 * scale, 0.125 * girth), top),
        ball(at(0.0, 1.42, 0.0), (0.195 * girth, 0.09 * scale, 0.105 * girth), top),
        ball(at(0.0, 0.97, 0.0), (0.170 * girth, 0.17 * scale, 0.13 * girth), bottom),
        ball(at(0.0, 1.62, 0.02), (0.085 * scale, 0.12 * scale, 0.10 * scale), skin),
        ball(at(0.0, 1.66, -0.02), (0.095 * scale, 0.105 * scale, 0.10 * scale), hair),
    ]
    if chance(rng, 0.25):  # a coat or a skirt hides the upper legs
        hem = ball(at(0.0, 0.85, 0.0), (0.22 * girth, 0.30 * scale, 0.17 * girth), top)
        parts.append(hem)
    if chance(rng, 0.3):
        bag = replace(cloth(0.1), label=PEDESTRIAN)
        parts.append(box(at(0.0, 1.27, -0.2), (0.15 * scale, 0.21 * scale, 0.08 * scale), bag))
    return (*parts, *_limbs(rng, (girth, scale), pace, (sleeve, bottom, shoes)))


def _limbs(
    rng: np.random.Generator,
    build: tuple[float, float],
    pace: float,
    looks: tuple[Primitive, Primitive, Primitive],
) -> list[Primitive]:
    """Legs and arms that swing with the pace; ``build``: girth and height factors."""
    (girth, scale), (sleeve, bottom, shoes) = build, looks

    def at(x: float, y: float, z: float) -> tuple[float, float, float]:
        return x * girth, -y * scale, z * scale

    stride = min(0.12 + 0.32 * pace, 0.55) if pace > 0.0 else between(rng, 0.02, 0.10)
    frequency = 0.55 + 0.28 * pace if pace > 0.0 else 0.0
    phase = between(rng, 0.0, 2.0 * math.pi) if pace > 0.0 else 0.5 * math.pi
    parts: list[Primitive] = []
    for side in (-1.0, 1.0):
        hip = Swing((-0.92 * scale, 0.0), side * stride, frequency, phase)
        leg = [
            limb(at(side * 0.09, 0.92, 0.0), at(side * 0.09, 0.49, 0.03), 0.085 * girth, bottom),
            limb(at(side * 0.09, 0.50, 0.03), at(side * 0.09, 0.08, 0.0), 0.065 * girth, bottom),
            ball(at(side * 0.09, 0.04, 0.05), (0.05 * scale, 0.045 * scale, 0.13 * scale), shoes),
        ]
        shoulder = Swing((-1.44 * scale, 0.0), -0.8 * side * stride, frequency, phase)
        bend = between(rng, 0.0, 0.2)
        arm = [
            limb(at(side * 0.205, 1.43, 0.0), at(side * 0.235, 1.13, 0.0), 0.050 * girth, sleeve),
            limb(at(side * 0.235, 1.14, 0.0), at(side * 0.225, 0.86, bend), 0.042 * girth, sleeve),
        ]
        parts += [replace(part, swing=hip) for part in leg]
        parts += [replace(part, swing=shoulder) for part in arm]
    return parts
