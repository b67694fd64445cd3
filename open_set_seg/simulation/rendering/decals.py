"""Flat things on the road: patches, stains, cracks, manholes (hard inliers), and road markings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from open_set_seg.simulation.rendering.ground import LINE, ROAD, GroundPoints
from open_set_seg.simulation.rendering.rays import Rays
from open_set_seg.simulation.rendering.textures import (
    Floats,
    Ints,
    fractal_noise,
    grain_noise,
    sample,
)
from open_set_seg.simulation.scene import Decal, Road, SceneGraph

# Shape of a decal: local metres x (across), z (along), half sizes, and ragged noise -> opacity.
Shape = Callable[[Floats, Floats, float, float, Floats], Floats]


def _patch(x: Floats, z: Floats, half_x: float, half_z: float, noise: Floats) -> Floats:
    edge = np.minimum(half_x - np.abs(x), half_z - np.abs(z)) + 0.02 * noise
    return np.asarray(np.clip(edge / 0.03, 0.0, 1.0), np.float32)


def _stain(x: Floats, z: Floats, half_x: float, half_z: float, noise: Floats) -> Floats:
    radius = np.hypot(x / half_x, z / half_z)
    return np.asarray(np.clip(1.5 * (0.75 - radius + 0.22 * noise), 0.0, 1.0), np.float32)


def _crack(x: Floats, z: Floats, half_x: float, half_z: float, noise: Floats) -> Floats:
    wander = 0.16 * noise
    inside = np.abs(z) < half_z
    opacity = np.clip(1.0 - np.abs(x - wander) / half_x, 0.0, 1.0)
    return np.asarray(opacity * inside, np.float32)


def _manhole(x: Floats, z: Floats, half_x: float, half_z: float, noise: Floats) -> Floats:
    radius = np.hypot(x / half_x, z / half_z)
    ribs = 0.55 + 0.45 * (np.sin(x * 60.0) * np.sin(z * 60.0) > 0.0)
    return np.asarray(np.where(radius > 0.86, 1.0, 0.72 * ribs) * (radius < 1.0), np.float32)


def _grate(x: Floats, z: Floats, half_x: float, half_z: float, noise: Floats) -> Floats:
    inside = (np.abs(x) < half_x) & (np.abs(z) < half_z)
    return np.asarray(inside * (0.55 + 0.45 * (np.sin(z * 70.0) > 0.0)), np.float32)


def _bars(x: Floats, z: Floats, half_x: float, half_z: float, noise: Floats) -> Floats:
    """A crosswalk: bars of half a metre, half a metre apart."""
    inside = (np.abs(x) < half_x) & (np.abs(z) < half_z)
    return np.asarray(inside & (x - np.floor(x) < 0.5), np.float32)


def _block(x: Floats, z: Floats, half_x: float, half_z: float, noise: Floats) -> Floats:
    return np.asarray((np.abs(x) < half_x) & (np.abs(z) < half_z), np.float32)


def _arrow(x: Floats, z: Floats, half_x: float, half_z: float, noise: Floats) -> Floats:
    """Straight on: a shaft and a head."""
    tip = z - 0.25 * half_z
    head = (tip > 0.0) & (np.abs(x) < half_x * (1.0 - tip / (0.75 * half_z)))
    shaft = (np.abs(x) < 0.28 * half_x) & (np.abs(z + 0.375 * half_z) < 0.625 * half_z)
    return np.asarray(head | shaft, np.float32)


DECALS: dict[str, Shape] = {
    "patch": _patch,
    "stain": _stain,
    "crack": _crack,
    "manhole": _manhole,
    "grate": _grate,
    "bars": _bars,
    "block": _block,
    "arrow": _arrow,
}


def apply_decals(
    points: GroundPoints,
    order: Ints,
    albedo: Floats,
    graph: SceneGraph,
    eye: NDArray[np.float64],
    rays: Rays,
) -> None:
    """Paint the decals over the ground in place: ``albedo`` and, for markings, ``points.label``.

    Args:
        order: (rays,) row of every ray in ``points``, -1 where it does not show the ground.
    """
    for decal in graph.decals:
        ahead = decal.distance - eye[2]
        if not -6.0 < ahead < 90.0:
            continue
        inside = order[rays.within(_bounds(decal, graph.road, eye, rays))]
        chosen = inside[inside >= 0].astype(np.int64)
        if chosen.size:
            _paint(points, chosen, albedo, decal, graph.road.wear)


def _paint(
    points: GroundPoints, chosen: NDArray[np.int64], albedo: Floats, decal: Decal, wear: float
) -> None:
    x0 = points.lateral[chosen] - np.float32(decal.lateral)
    z0 = points.along[chosen] - np.float32(decal.distance)
    reach = float(np.hypot(*decal.half)) + 0.5
    near = (np.abs(x0) < reach) & (np.abs(z0) < reach)
    near &= (points.label[chosen] == ROAD) | (points.label[chosen] == LINE)
    chosen, x0, z0 = chosen[near], x0[near], z0[near]
    if not chosen.size:
        return
    cos, sin = np.float32(np.cos(decal.turn)), np.float32(np.sin(decal.turn))
    x, z = cos * x0 - sin * z0, sin * x0 + cos * z0
    footprint = points.across_footprint[chosen]
    u, v = (x + decal.offset[0]) / 2.6, (z + decal.offset[1]) / 2.6
    noise = sample(fractal_noise(), u, v, footprint / 2.6)
    opacity = DECALS[decal.kind](x, z, decal.half[0], decal.half[1], noise)
    if decal.label is not None:
        points.label[chosen[opacity > 0.5]] = decal.label
        fine = sample(grain_noise(), u, v, footprint / 2.6)
        opacity = opacity * np.clip(1.0 - (0.7 * noise + 0.5 * fine - 1.4 + 2.2 * wear), 0.2, 1.0)
    colour = np.asarray(decal.colour, np.float32) * (1.0 + 0.07 * noise)[:, None]
    weight = (decal.strength * opacity)[:, None].astype(np.float32)
    albedo[chosen] += (colour - albedo[chosen]) * weight


def _bounds(decal: Decal, road: Road, eye: NDArray[np.float64], rays: Rays) -> NDArray[np.int64]:
    """Pixel rectangle of a decal, clipped to the image."""
    reach = float(np.hypot(*decal.half)) + 0.3
    height, width = rays.slots.shape
    ahead = decal.distance - float(eye[2])
    nearest, farthest = max(ahead - reach, 0.8), ahead + reach
    if farthest <= nearest:
        return np.zeros(4, np.int64)
    x = decal.lateral + road.centre(decal.distance) - float(eye[0])
    slack = abs(road.heading(decal.distance)) * reach + reach
    left = min((x - slack) / nearest, (x - slack) / farthest)
    right = max((x + slack) / nearest, (x + slack) / farthest)
    bounds = [
        np.clip(np.floor(left * rays.focal + rays.centre_column), 0, width),
        np.clip(np.floor(-eye[1] / farthest * rays.focal + rays.centre_row), 0, height),
        np.clip(np.ceil(right * rays.focal + rays.centre_column) + 1, 0, width),
        np.clip(np.ceil(-eye[1] / nearest * rays.focal + rays.centre_row) + 1, 0, height),
    ]
    return np.array(bounds, np.int64)
