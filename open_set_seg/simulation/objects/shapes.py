"""Short ways to write primitives down."""

from __future__ import annotations

import math

import numpy as np

from open_set_seg.simulation.scene import NO_TAPER, Primitive, Vector

UPRIGHT: Vector = (0.0, 0.0, 0.0)


def between_points(start: Vector, end: Vector) -> tuple[Vector, float, Vector]:
    """Centre, half length and angles that lay the y axis of a solid from ``start`` to ``end``."""
    x, y, z = (last - first for first, last in zip(start, end, strict=True))
    length = math.sqrt(x * x + y * y + z * z)
    pitch = math.acos(min(max(y / length, -1.0), 1.0))
    centre = (start[0] + 0.5 * x, start[1] + 0.5 * y, start[2] + 0.5 * z)
    return centre, 0.5 * length, (math.atan2(x, z), pitch, 0.0)


def rod(start: Vector, end: Vector, radius: float, like: Primitive) -> Primitive:
    """A cylinder from ``start`` to ``end`` in the paint of ``like``."""
    centre, half, angles = between_points(start, end)
    return _solid("cylinder", centre, (radius, half, radius), like, angles)


def limb(start: Vector, end: Vector, radius: float, like: Primitive) -> Primitive:
    """A long ellipsoid from ``start`` to ``end``, a little longer than the way between them."""
    centre, half, angles = between_points(start, end)
    return _solid("ellipsoid", centre, (radius, half + 0.5 * radius, radius), like, angles)


def box(centre: Vector, half: Vector, like: Primitive, angles: Vector = UPRIGHT) -> Primitive:
    """A box in the paint of ``like``."""
    return _solid("box", centre, half, like, angles)


def ball(centre: Vector, half: Vector, like: Primitive, angles: Vector = UPRIGHT) -> Primitive:
    """An ellipsoid in the paint of ``like``."""
    return _solid("ellipsoid", centre, half, like, angles)


def drum(
    centre: Vector, radius: float, half: float, like: Primitive, top: float = 1.0
) -> Primitive:
    """An upright cylinder, or with ``top`` < 1 a cone frustum, in the paint of ``like``."""
    size = (radius, half, radius)
    return _solid("cylinder", centre, size, like, UPRIGHT, (top, 1.0, 0.0))


def _solid(
    shape: str,
    centre: Vector,
    half: Vector,
    like: Primitive,
    angles: Vector,
    taper: Vector = NO_TAPER,
) -> Primitive:
    return Primitive(
        shape=shape,
        centre=centre,
        half=half,
        label=like.label,
        material=like.material,
        colour=like.colour,
        angles=angles,
        taper=taper,
        accent=like.accent,
        pattern=like.pattern,
        offset=like.offset,
    )


def paint(
    label: int,
    material: str,
    colour: tuple[float, float, float],
    accent: tuple[float, float, float] = (0.0, 0.0, 0.0),
    pattern: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
    offset: tuple[float, float] = (0.0, 0.0),
) -> Primitive:
    """A primitive of which only the paint matters: what the functions above copy."""
    return Primitive(
        shape="box",
        centre=(0.0, 0.0, 0.0),
        half=(1.0, 1.0, 1.0),
        label=label,
        material=material,
        colour=colour,
        accent=accent,
        pattern=pattern,
        offset=offset,
    )


def texture_origin(rng: np.random.Generator) -> tuple[float, float]:
    """A texture origin of an object's own."""
    first, second = rng.uniform(0.0, 50.0, 2)
    return float(first), float(second)
