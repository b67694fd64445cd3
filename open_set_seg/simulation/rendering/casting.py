"""Which surface every ray meets first: rays against all primitives, with a buffer on 1/Z.

Primitives are visited front to back and only inside the rectangles of their projections. Many
small ones are taken together: (ray, primitive) pairs are what the arrays run over.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from open_set_seg.simulation.rendering.compiled import SHAPES, Integers, PosedScene
from open_set_seg.simulation.rendering.cutouts import CUTOUTS, cut_out
from open_set_seg.simulation.rendering.primitives import (
    Ray,
    enter_ball,
    enter_box,
    enter_cylinder,
    enter_tapered_box,
)
from open_set_seg.simulation.rendering.rays import NEAR, Rays, project_bounds
from open_set_seg.simulation.rendering.textures import Floats
from open_set_seg.simulation.scene import NO_TAPER

Indices = NDArray[np.int64]

BATCH = 40_000  # pairs of rays and primitives that are worked on at once: they fit in the cache
TAPERED = len(SHAPES)  # code of a box that narrows, beside the codes of the shapes


def cast(rays: Rays, scene: PosedScene, inverse_depth: Floats) -> Integers:
    """Find the primitive that every ray meets first.

    Args:
        rays: N rays.
        scene: Q primitives.
        inverse_depth: (N,) 1/Z of the ground, 0 for the sky; raised to that of the nearest
            surface in place.

    Returns:
        (N,) index of the primitive in ``scene``, -1 for ground and sky.
    """
    hit = np.full(inverse_depth.shape, -1, np.int32)
    boxes, nearest, visible = project_bounds(scene, rays)
    order = np.argsort(nearest, kind="stable")
    order = order[visible[order]]
    highest = (1.0 / nearest).astype(np.float32)
    kinds = _kinds(scene)
    with np.errstate(all="ignore"):
        for batch in _batches(order, boxes, rays.samples):
            ray, primitive = rays.pairs(boxes[batch], batch)
            open_pairs = inverse_depth[ray] < highest[primitive]
            ray, primitive = ray[open_pairs], primitive[open_pairs]
            inverse = _meet(rays, ray, primitive, scene, kinds)
            nearer = np.flatnonzero(inverse > inverse_depth[ray])
            # Where several primitives meet a ray, the nearest is written last.
            nearer = nearer[np.argsort(inverse[nearer], kind="stable")]
            inverse_depth[ray[nearer]] = inverse[nearer]
            hit[ray[nearer]] = primitive[nearer]
    return hit


def _kinds(scene: PosedScene) -> Integers:
    """(Q,) code of the intersection routine of every primitive."""
    shape = scene.compiled.shape[scene.row]
    narrows = (scene.compiled.taper[scene.row] != NO_TAPER).any(axis=1)
    return np.where((shape == SHAPES["box"]) & narrows, TAPERED, shape).astype(np.int32)


def _batches(order: Indices, boxes: Indices, samples: int) -> Iterator[Indices]:
    """Cut the visiting order into runs of at most ``BATCH`` pairs, or of one primitive."""
    areas = np.prod(boxes[order, 2:] - boxes[order, :2], axis=1) * samples
    start, total = 0, 0
    for position, area in enumerate(areas.tolist()):
        if position > start and total + area > BATCH:
            yield order[start:position]
            start, total = position, 0
        total += area
    if start < len(order):
        yield order[start:]


def _meet(
    rays: Rays, ray: Indices, primitive: Indices, scene: PosedScene, kinds: Integers
) -> Floats:
    """(M,) 1/Z at which rays enter primitives, pair by pair; 0 where they miss."""
    inverse = np.zeros(len(ray), np.float32)
    kind = kinds[primitive]
    for code in np.unique(kind):
        members = np.flatnonzero(kind == code)
        chosen = primitive[members]
        dx, dy = rays.dx[ray[members]], rays.dy[ray[members]]
        o, d, middle = unit_rays(dx, dy, scene, chosen)
        depth = middle + _enter(int(code), o, d, scene, chosen)
        valid = np.isfinite(depth) & (depth > NEAR)
        inverse[members] = np.where(valid, 1.0 / depth, 0.0)
    return inverse


def unit_rays(
    dx: Floats, dy: Floats, scene: PosedScene, primitive: Indices
) -> tuple[Ray, Ray, Floats]:
    """Rays in the unit frames of their primitives, starting at the depths of the centres.

    An origin near the solid keeps float32 exact enough for thin things far away.
    """
    m = scene.to_unit.astype(np.float32).reshape(-1, 9).T[:, primitive]
    centre = scene.centre.astype(np.float32).T[:, primitive]
    middle = np.maximum(centre[2], np.float32(NEAR))
    x, y, z = dx * middle - centre[0], dy * middle - centre[1], middle - centre[2]
    o0, o1, o2 = (m[i] * x + m[i + 1] * y + m[i + 2] * z for i in (0, 3, 6))
    d0, d1, d2 = (m[i] * dx + m[i + 1] * dy + m[i + 2] for i in (0, 3, 6))
    return (o0, o1, o2), (d0, d1, d2), middle


def _enter(code: int, o: Ray, d: Ray, scene: PosedScene, primitive: Indices) -> Floats:
    """(M,) steps along the unit rays to the first solid point, +inf where there is none."""
    row = scene.row[primitive]
    taper = scene.compiled.taper.astype(np.float32)[row].T
    exit_step: Floats | None = None
    if code == SHAPES["ellipsoid"]:
        step, exit_step = enter_ball(o, d)
    elif code == SHAPES["cylinder"]:
        step = enter_cylinder(o, d, taper[0])
    elif code == TAPERED:
        step = enter_tapered_box(o, d, (taper[0], taper[1], taper[2]))
    else:
        step = enter_box(o, d)
    material = scene.compiled.material[row]
    for holed in CUTOUTS:
        members = np.flatnonzero((material == holed) & np.isfinite(step))
        if members.size:
            exits = None if exit_step is None else exit_step[members]
            part_o, part_d = _take(o, members), _take(d, members)
            step[members] = _perforate(
                holed, part_o, part_d, step[members], exits, scene, row[members]
            )
    return step


def _take(ray: Ray, members: Indices) -> Ray:
    return ray[0][members], ray[1][members], ray[2][members]


def _perforate(
    code: int,
    o: Ray,
    d: Ray,
    step: Floats,
    exit_step: Floats | None,
    scene: PosedScene,
    row: Integers,
) -> Floats:
    """Let rays pass through holes; through a hole in a ball they may meet its far side."""
    compiled = scene.compiled
    half = compiled.half.astype(np.float32)[row]
    pattern, offset = compiled.pattern[row], compiled.offset[row]

    def solid(steps: Floats) -> NDArray[np.bool_]:
        local = [(o[axis] + steps * d[axis]) * half[:, axis] for axis in range(3)]
        return cut_out(code, local, half, pattern, offset)

    passed = np.where(solid(step), step, np.float32(np.inf))
    if exit_step is not None:
        behind = np.where(solid(exit_step), exit_step, np.float32(np.inf))
        passed = np.minimum(passed, behind)
    return passed
