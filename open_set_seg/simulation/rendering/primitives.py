"""Rays against analytic solids in their unit frames.

A solid is the affine image of a unit solid: the cube [-1, 1]^3 (which may narrow towards its top),
the unit ball, or the unit cylinder about y. In that frame a ray is ``o + s d``; every function
returns the ``s`` at which the ray enters the solid, +inf where it misses. All arrays are (N,).
y points down, so the top of a solid is y = -1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ray = tuple[Floats, Floats, Floats]

INFINITY = np.float32(np.inf)


def enter_box(o: Ray, d: Ray) -> Floats:
    """The slab test of the cube [-1, 1]^3."""
    near = np.full_like(o[0], -np.inf)
    far = np.full_like(o[0], np.inf)
    for origin, direction in zip(o, d, strict=True):
        inverse = 1.0 / np.where(direction == 0.0, np.float32(1e-12), direction)
        middle = -origin * inverse
        reach = np.abs(inverse)
        near = np.maximum(near, middle - reach)
        far = np.minimum(far, middle + reach)
    return np.where(near <= far, near, INFINITY)


def enter_tapered_box(o: Ray, d: Ray, taper: Ray) -> Floats:
    """A cube whose top face is scaled by (taper[0], taper[1]) in x and z and moved by taper[2].

    ``taper`` holds (N,) arrays.
    """
    narrow_x, narrow_z, shift = taper
    kx = 0.5 * (1.0 - narrow_x)
    front, back = narrow_z + shift, narrow_z - shift
    # Every side is a plane n.q <= c with q = (x, y, z); y = 1 below, y = -1 above.
    none = np.zeros_like(kx)
    planes = (
        (1.0, -kx, 0.0, 1.0 - kx),
        (-1.0, -kx, 0.0, 1.0 - kx),
        (0.0, none + 1.0, 0.0, none + 1.0),
        (0.0, none - 1.0, 0.0, none + 1.0),
        (0.0, -0.5 * (1.0 - front), 1.0, 0.5 * (1.0 + front)),
        (0.0, -0.5 * (1.0 - back), -1.0, 0.5 * (1.0 + back)),
    )
    near = np.full_like(o[0], -np.inf)
    far = np.full_like(o[0], np.inf)
    for nx, ny, nz, limit in planes:
        room = limit - (nx * o[0] + ny * o[1] + nz * o[2])
        speed = nx * d[0] + ny * d[1] + nz * d[2]
        speed = np.where(speed == 0.0, np.float32(1e-12), speed)
        step = (room / speed).astype(np.float32)
        entering = speed < 0.0
        near = np.where(entering, np.maximum(near, step), near)
        far = np.where(entering, far, np.minimum(far, step))
    return np.where(near <= far, near, INFINITY)


def enter_ball(o: Ray, d: Ray) -> tuple[Floats, Floats]:
    """Entry and exit of the unit ball; both +inf where the ray misses."""
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    c = o[0] * o[0] + o[1] * o[1] + o[2] * o[2] - 1.0
    square = b * b - a * c
    hit = square >= 0.0
    root = np.sqrt(np.where(hit, square, 0.0))
    entry = np.where(hit, (-b - root) / a, INFINITY)
    return entry, np.where(hit, (-b + root) / a, INFINITY)


def enter_cylinder(o: Ray, d: Ray, top: Floats) -> Floats:
    """The solid x^2 + z^2 <= r(y)^2, |y| <= 1; r = 1 below, ``top`` (N,) above (0: a cone)."""
    k, m = 0.5 * (1.0 - top), 0.5 * (1.0 + top)
    radius = m + k * o[1]
    a = d[0] * d[0] + d[2] * d[2] - (k * k) * d[1] * d[1]
    a = np.where(np.abs(a) < 1e-12, np.float32(1e-12), a)
    b = o[0] * d[0] + o[2] * d[2] - k * d[1] * radius
    c = o[0] * o[0] + o[2] * o[2] - radius * radius
    square = b * b - a * c
    root = np.sqrt(np.maximum(square, 0.0))
    best = np.full_like(o[0], np.inf)
    for sign in (-1.0, 1.0):
        step = (-b + sign * root) / a
        y = o[1] + step * d[1]
        valid = (square >= 0.0) & (np.abs(y) <= 1.0) & (m + k * y >= 0.0)
        best = np.where(valid, np.minimum(best, step), best)
    fall = np.where(d[1] == 0.0, np.float32(1e-12), d[1])
    for level, size in ((1.0, np.float32(1.0)), (-1.0, top)):
        step = (level - o[1]) / fall
        x, z = o[0] + step * d[0], o[2] + step * d[2]
        best = np.where(x * x + z * z <= size * size, np.minimum(best, step), best)
    return best.astype(np.float32)
