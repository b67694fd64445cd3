"""Short ways to write primitives down."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from open_set_seg.simulation.scene import Primitive, Vector


def between_points(start: Vector, end: Vector) -> tuple[Vector, float, Vector]:
    """Centre, half length and angles that lay the y axis of a solid from ``start`` to ``end``."""
    a, b = np.array(start), np.array(end)
    axis = b - a
    length = float(np.linalg.norm(axis))
    pitch = math.acos(float(np.clip(axis[1] / length, -1.0, 1.0)))
    centre = 0.5 * (a + b)
    angles = (math.atan2(float(axis[0]), float(axis[2])), pitch, 0.0)
    return (float(centre[0]), float(centre[1]), float(centre[2])), 0.5 * length, angles


def rod(start: Vector, end: Vector, radius: float, like: Primitive) -> Primitive:
    """A cylinder from ``start`` to ``end`` in the paint of ``like``."""
    centre, half, angles = between_points(start, end)
    return replace(
        like, shape="cylinder", centre=centre, half=(radius, half, radius), angles=angles
    )


def limb(start: Vector, end: Vector, radius: float, like: Primitive) -> Primitive:
    """A long ellipsoid from ``start`` to ``end``, a little longer than the way between them."""
    centre, half, angles = between_points(start, end)
    size = (radius, half + 0.5 * radius, radius)
    return replace(like, shape="ellipsoid", centre=centre, half=size, angles=angles)


def box(
    centre: Vector, half: Vector, like: Primitive, angles: Vector = (0.0, 0.0, 0.0)
) -> Primitive:
    """A box in the paint of ``like``."""
    return replace(like, shape="box", centre=centre, half=half, angles=angles)


def ball(
    centre: Vector, half: Vector, like: Primitive, angles: Vector = (0.0, 0.0, 0.0)
) -> Primitive:
    """An ellipsoid in the paint of ``like``."""
    return replace(like, shape="ellipsoid", centre=centre, half=half, angles=angles)


def drum(
    centre: Vector, radius: float, half: float, like: Primitive, top: float = 1.0
) -> Primitive:
    """An upright cylinder, or with ``top`` < 1 a cone frustum, in the paint of ``like``."""
    return replace(
        like,
        shape="cylinder",
        centre=centre,
        half=(radius, half, radius),
        taper=(top, 1.0, 0.0),
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
