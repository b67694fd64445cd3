"""Cars, vans, buses and lorries from boxes, tapered boxes and wheels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.simulation.objects.palettes import pick_paint
from open_set_seg.simulation.objects.shapes import box, paint, rod, texture_origin
from open_set_seg.simulation.scene import Primitive, SceneObject
from open_set_seg.simulation.streams import between, open_stream

CAR = STREETHAZARDS.id_of("car")


@dataclass(frozen=True)
class Body:
    """Proportions of a kind of vehicle, metres; cabin numbers are shares of the length.

    Attributes:
        belt: height of the lower body; cabin: (centre, half length) along the body, front = +.
        taper: (x scale, z scale, z shift) of the cabin's top; weight: how common it is.
    """

    length: tuple[float, float]
    width: float
    height: float
    belt: float
    cabin: tuple[float, float]
    taper: tuple[float, float, float]
    wheel: float
    weight: float


BODIES: dict[str, Body] = {
    "sedan": Body((4.4, 4.9), 1.80, 1.45, 0.86, (-0.05, 0.30), (0.82, 0.62, -0.06), 0.32, 0.30),
    "hatchback": Body((3.7, 4.2), 1.72, 1.48, 0.88, (-0.13, 0.34), (0.84, 0.70, -0.12), 0.31, 0.24),
    "estate": Body((4.5, 4.9), 1.82, 1.48, 0.88, (-0.13, 0.36), (0.84, 0.76, -0.14), 0.32, 0.14),
    "suv": Body((4.4, 4.9), 1.90, 1.72, 1.02, (-0.12, 0.37), (0.86, 0.78, -0.10), 0.37, 0.16),
    "van": Body((5.0, 6.0), 2.02, 2.35, 1.10, (-0.06, 0.44), (0.92, 0.86, -0.12), 0.36, 0.09),
    "pickup": Body((5.0, 5.4), 1.92, 1.75, 1.00, (0.05, 0.20), (0.86, 0.68, -0.05), 0.39, 0.04),
}


def build_vehicle(
    seed: int,
    key: str,
    lateral: float,
    distance: float,
    turn: float = 0.0,
    speed: float = 0.0,
) -> SceneObject:
    """A car of a random kind; ``turn`` is pi for oncoming traffic."""
    rng = open_stream(seed, key)
    kinds = list(BODIES)
    weights = np.array([BODIES[kind].weight for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    body = BODIES[kind]
    length = between(rng, *body.length)
    scale = between(rng, 0.96, 1.05)
    parts = _parts(rng, body, kind, length, scale)
    return SceneObject(
        key=key,
        kind=kind,
        lateral=lateral,
        distance=distance,
        parts=parts,
        size=(body.width * scale, body.height * scale, length),
        turn=turn + between(rng, -0.02, 0.02),
        velocity=(0.0, speed),
    )


def _parts(
    rng: np.random.Generator, body: Body, kind: str, length: float, scale: float
) -> tuple[Primitive, ...]:
    colour, gloss = pick_paint(rng), between(rng, 0.10, 0.30)
    origin = texture_origin(rng)
    lower = paint(CAR, "car_paint", colour, pattern=(gloss, 0.0, 0.0, 0.0), offset=origin)
    windows = (gloss, between(rng, 0.6, 1.0), 0.12, 0.84)
    upper = paint(CAR, "car_cabin", colour, pattern=windows, offset=origin)
    half_width, half_length = 0.5 * body.width * scale, 0.5 * length
    clearance, belt, top = 0.19, body.belt * scale, body.height * scale
    sill = replace(
        box(
            (0.0, -0.5 * (belt + clearance), 0.0),
            (half_width, 0.5 * (belt - clearance), half_length),
            lower,
        ),
        taper=(0.94, 0.96, 0.0),
    )
    roof = replace(
        box(
            (0.0, -0.5 * (top + belt), body.cabin[0] * length),
            (0.95 * half_width, 0.5 * (top - belt) + 0.01, body.cabin[1] * length),
            upper,
        ),
        taper=body.taper,
    )
    parts = [sill, roof]
    if kind == "van" and rng.random() < 0.6:  # a closed van: windows in front only
        parts[1] = replace(
            roof, pattern=(gloss, 1.0, 0.30, 0.72), half=(*roof.half[:2], 0.16 * length)
        )
        parts[1] = replace(
            parts[1], centre=(0.0, roof.centre[1], 0.24 * length), taper=(0.94, 0.6, -0.35)
        )
        hold = replace(lower, material="plain", pattern=(0.02, gloss, 0.0, 0.0))
        parts.append(
            box(
                (0.0, -0.5 * (top + belt), -0.14 * length),
                (0.97 * half_width, 0.5 * (top - belt), 0.34 * length),
                hold,
            )
        )
    return (*parts, *_wheels(half_width, half_length, body.wheel * scale))


def _wheels(half_width: float, half_length: float, radius: float) -> list[Primitive]:
    """Four tyres with their rims."""
    rubber = paint(CAR, "plain", (0.05, 0.05, 0.055), pattern=(0.05, 0.0, 0.0, 0.0))
    metal = paint(CAR, "plain", (0.45, 0.46, 0.47), pattern=(0.05, 0.2, 0.0, 0.0))
    parts = []
    for side in (-1.0, 1.0):
        for end in (-0.62, 0.62):
            inner = side * (half_width - 0.20)
            outer = side * (half_width + 0.015)
            z = end * half_length
            parts.append(rod((inner, -radius, z), (outer, -radius, z), radius, rubber))
            rim = (outer + 0.01 * side, -radius, z)
            parts.append(rod((inner, -radius, z), rim, 0.6 * radius, metal))
    return parts
