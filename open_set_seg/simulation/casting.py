"""Which surface every ray meets first: rays against all primitives, with a buffer on 1/Z.

Rays start at the camera and have the direction (dx, dy, 1), so the parameter along a ray is the
depth Z. Primitives are visited front to back and only inside the rectangle of their projection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_set_seg.simulation.compiled import SHAPES, CompiledScene, Integers, PosedScene
from open_set_seg.simulation.materials import CUTOUTS, cut_out
from open_set_seg.simulation.primitives import (
    Ray,
    enter_ball,
    enter_box,
    enter_cylinder,
    enter_tapered_box,
)
from open_set_seg.simulation.scene import NO_TAPER
from open_set_seg.simulation.textures import Floats

NEAR = 0.3  # metres; nothing nearer is drawn
SPECK = 1.0  # square pixels of the bounding rectangle up to which a primitive is left out

# The corners of the unit cube and its twelve edges as pairs of corners.
CORNERS = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
EDGES = np.array([(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit])


@dataclass(frozen=True, eq=False)
class Rays:
    """A bundle of rays, ``samples`` for each pixel that takes part.

    Attributes:
        dx, dy: (N,) slopes; N = pixels * samples, the samples of a pixel side by side.
        slots: (H, W) number of the pixel in the bundle, -1 where the pixel takes no part.
        footprint: size of a sample at 1 m, metres.
    """

    dx: Floats
    dy: Floats
    slots: Integers
    samples: int
    focal: float
    centre_column: float
    centre_row: float

    @property
    def footprint(self) -> float:
        """Size of a sample on a facing surface at 1 m, metres."""
        return 1.0 / (self.focal * float(np.sqrt(self.samples)))

    def within(self, box: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of the rays of the pixels in ``box`` (left, top, right, bottom; exclusive)."""
        left, top, right, bottom = box
        slots = self.slots[top:bottom, left:right].ravel().astype(np.int64)
        slots = slots[slots >= 0]
        if self.samples == 1:
            return slots
        return (slots[:, None] * self.samples + np.arange(self.samples)).ravel()


def cast(rays: Rays, scene: PosedScene, inverse_depth: Floats) -> Integers:
    """Find the primitive that every ray meets first.

    Args:
        rays: N rays.
        scene: Q primitives.
        inverse_depth: (N,) 1/Z of the ground, 0 for the sky; lowered to the nearest surface in
            place.

    Returns:
        (N,) index of the primitive in ``scene``, -1 for ground and sky.
    """
    hit = np.full(inverse_depth.shape, -1, np.int32)
    boxes, nearest, visible = project_bounds(scene, rays)
    order = np.argsort(nearest, kind="stable")
    order = order[visible[order]]
    highest = 1.0 / nearest
    with np.errstate(all="ignore"):
        for index in order:
            chosen = rays.within(boxes[index])
            chosen = chosen[inverse_depth[chosen] < highest[index]]
            if chosen.size == 0:
                continue
            inverse = _meet(rays.dx[chosen], rays.dy[chosen], scene, int(index))
            nearer = inverse > inverse_depth[chosen]
            chosen = chosen[nearer]
            inverse_depth[chosen] = inverse[nearer]
            hit[chosen] = index
    return hit


def project_bounds(
    scene: PosedScene, rays: Rays
) -> tuple[NDArray[np.int64], Floats, NDArray[np.bool_]]:
    """Where the primitives appear.

    Returns:
        Pixel rectangle (Q, 4) clipped to the image, nearest Z (Q,), and whether the primitive is
        in the image at all and more than a speck.
    """
    half = scene.compiled.half[scene.row]
    local = CORNERS[None] * half[:, None, :]
    corners = np.einsum("qij,qkj->qki", scene.rotation, local) + scene.centre[:, None, :]
    starts, ends = corners[:, EDGES[:, 0]], corners[:, EDGES[:, 1]]
    # Points where edges pierce the near plane stand for the corners behind it.
    rise = ends[..., 2] - starts[..., 2]
    share = (NEAR - starts[..., 2]) / np.where(np.abs(rise) < 1e-9, 1e-9, rise)
    pierced = starts + share[..., None] * (ends - starts)
    points = np.concatenate([corners, pierced], axis=1)
    valid = np.concatenate([corners[..., 2] >= NEAR, (share > 0.0) & (share < 1.0)], axis=1)
    depth = np.where(valid, np.maximum(points[..., 2], NEAR), 1.0)
    columns = rays.focal * points[..., 0] / depth + rays.centre_column
    rows = rays.focal * points[..., 1] / depth + rays.centre_row
    height, width = rays.slots.shape

    low = np.stack([np.where(valid, v, np.inf).min(axis=1) for v in (columns, rows)], axis=1)
    high = np.stack([np.where(valid, v, -np.inf).max(axis=1) for v in (columns, rows)], axis=1)
    size = np.array([width, height])
    first = np.clip(np.floor(low - 0.5), 0, size).astype(np.int64)
    last = np.clip(np.ceil(high + 1.5), 0, size).astype(np.int64)
    visible = (last > first).all(axis=1) & (np.prod(high - low, axis=1) > SPECK)
    nearest = np.maximum(corners[..., 2].min(axis=1), NEAR)
    return np.concatenate([first, last], axis=1), nearest.astype(np.float32), visible


def _meet(dx: Floats, dy: Floats, scene: PosedScene, index: int) -> Floats:
    """1/Z at which the rays enter one primitive; 0 where they miss it."""
    compiled, row = scene.compiled, int(scene.row[index])
    o, d, middle = unit_rays(dx, dy, scene, index)
    shape, taper = compiled.shape[row], tuple(float(entry) for entry in compiled.taper[row])
    exit_step: Floats | None = None
    if shape == SHAPES["ellipsoid"]:
        step, exit_step = enter_ball(o, d)
    elif shape == SHAPES["cylinder"]:
        step = enter_cylinder(o, d, taper[0])
    elif taper == NO_TAPER:
        step = enter_box(o, d)
    else:
        step = enter_tapered_box(o, d, (taper[0], taper[1], taper[2]))
    if int(compiled.material[row]) in CUTOUTS:
        step = _perforate(compiled, row, o, d, step, exit_step)
    depth = middle + step
    return np.where(np.isfinite(depth) & (depth > NEAR), 1.0 / depth, 0.0).astype(np.float32)


def unit_rays(dx: Floats, dy: Floats, scene: PosedScene, index: int) -> tuple[Ray, Ray, float]:
    """Rays in the unit frame of a primitive, starting at the depth of its centre.

    The origin near the solid keeps float32 exact enough for thin things far away.
    """
    m = scene.to_unit[index].astype(np.float32)
    centre = scene.centre[index]
    middle = max(float(centre[2]), NEAR)
    x = dx * np.float32(middle) - np.float32(centre[0])
    y = dy * np.float32(middle) - np.float32(centre[1])
    z = np.float32(middle - centre[2])
    o = tuple(m[i, 0] * x + (m[i, 1] * y + m[i, 2] * z) for i in range(3))
    d = tuple(m[i, 0] * dx + (m[i, 1] * dy + m[i, 2]) for i in range(3))
    return (o[0], o[1], o[2]), (d[0], d[1], d[2]), middle


def _perforate(
    compiled: CompiledScene, row: int, o: Ray, d: Ray, step: Floats, exit_step: Floats | None
) -> Floats:
    """Let rays pass through holes; through a hole in a ball they may meet its far side."""

    def solid(steps: Floats) -> NDArray[np.bool_]:
        finite = np.where(np.isfinite(steps), steps, 0.0).astype(np.float32)
        half = compiled.half[row].astype(np.float32)
        local = [(o[i] + finite * d[i]) * half[i] for i in range(3)]
        kept = cut_out(
            int(compiled.material[row]), local, half, compiled.pattern[row], compiled.offset[row]
        )
        return kept & np.isfinite(steps)

    passed = np.where(solid(step), step, np.float32(np.inf))
    if exit_step is not None:
        behind = np.where(solid(exit_step), exit_step, np.float32(np.inf))
        passed = np.minimum(passed, behind)
    return passed
