"""Colour of solids where rays meet them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from open_set_seg.simulation.rendering.compiled import SHAPES, CompiledScene, Integers, PosedScene
from open_set_seg.simulation.rendering.lighting import add_haze, illuminate
from open_set_seg.simulation.rendering.materials import MATERIAL_FUNCTIONS
from open_set_seg.simulation.rendering.rays import Rays
from open_set_seg.simulation.rendering.surface import Surface
from open_set_seg.simulation.rendering.textures import Floats


def shade_solids(
    rays: Rays,
    scene: PosedScene,
    chosen: NDArray[np.int64],
    hit: Integers,
    inverse_depth: Floats,
) -> tuple[Floats, Integers]:
    """Radiance (M, 3) and label (M,) of the chosen rays, which met the primitives ``hit``."""
    compiled, light = scene.compiled, scene.compiled.graph.light
    row = scene.row[hit]
    depth = 1.0 / inverse_depth[chosen]
    point = np.stack([rays.dx[chosen], rays.dy[chosen], np.ones_like(depth)], axis=1)
    point *= depth[:, None]
    rotation = scene.rotation.astype(np.float32)[hit]
    half = compiled.half.astype(np.float32)[row]
    offset = point - scene.centre.astype(np.float32)[hit]
    local = np.einsum("nji,nj->ni", rotation, offset)
    own_normal = _local_normals(local / half, compiled.shape[row], compiled.taper[row], half)
    normal = np.einsum("nij,nj->ni", rotation, own_normal)
    surface = _surface(compiled, row, local, half, own_normal, depth * rays.footprint)
    surface = _reflect(surface, point, normal)
    albedo = np.empty((len(chosen), 3), np.float32)
    for members in _runs(compiled.material[row]):
        code = compiled.material[row[members.start]]
        albedo[members] = MATERIAL_FUNCTIONS[code](surface.take(members))
    lit = illuminate(albedo, normal, 1.0, light)
    # Near the ground less of the sky is seen.
    height = np.maximum(scene.base.astype(np.float32)[hit] - point[:, 1], 0.0)
    lit *= (1.0 - 0.38 * np.exp(-height / 0.28))[:, None]
    return add_haze(lit, depth, light), compiled.label[row]


def _runs(codes: Integers) -> list[slice]:
    """Slices of equal entries of sorted codes."""
    if not len(codes):
        return []
    cuts = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    return [slice(first, last) for first, last in pairwise(cuts)]


def _surface(
    compiled: CompiledScene,
    row: Integers,
    local: Floats,
    half: Floats,
    normal: Floats,
    footprint: Floats,
) -> Surface:
    axis = np.argmax(np.abs(normal), axis=1).astype(np.int32)
    flat = axis == 1
    return Surface(
        local=local,
        half=half,
        axis=axis,
        across=np.where(axis == 0, local[:, 2], local[:, 0]),
        up=np.where(flat, local[:, 2], half[:, 1] - local[:, 1]),
        footprint=footprint,
        gloss=np.zeros_like(footprint),
        colour=compiled.colour[row],
        accent=compiled.accent[row],
        pattern=compiled.pattern[row],
        offset=compiled.offset[row],
    )


def _reflect(surface: Surface, point: Floats, normal: Floats) -> Surface:
    """Fill in the gloss: how far up the mirrored view ray looks, Schlick's law on top."""
    view = point / np.linalg.norm(point, axis=1, keepdims=True)
    facing = np.einsum("ni,ni->n", view, normal)
    upward = -(view[:, 1] - 2.0 * facing * normal[:, 1])
    fresnel = 0.25 + 0.75 * (1.0 - np.clip(np.abs(facing), 0.0, 1.0)) ** 4
    gloss = (np.clip(0.35 + 1.2 * upward, 0.0, 1.0) * fresnel).astype(np.float32)
    fields = {name: getattr(surface, name) for name in surface.__dataclass_fields__}
    return Surface(**(fields | {"gloss": gloss}))


def _local_normals(
    unit: Floats, shape: Integers, taper: NDArray[np.float64], half: Floats
) -> Floats:
    """(M, 3) outward normals in the primitives' axes at points in their unit frames."""
    normal = unit / half  # of an ellipsoid, and of the side of a cylinder after the next lines
    cylinder = shape == SHAPES["cylinder"]
    cap = cylinder & (np.abs(unit[:, 1]) > 0.999)
    slope = 0.5 * (1.0 - taper[:, 0].astype(np.float32))
    normal[:, 1] = np.where(
        cylinder, -slope * np.hypot(unit[:, 0], unit[:, 2]) / half[:, 1], normal[:, 1]
    )
    normal[cap] = 0.0
    normal[cap, 1] = np.sign(unit[cap, 1])
    box = np.flatnonzero(shape == SHAPES["box"])
    normal[box] = _box_normals(unit[box], taper[box].astype(np.float32)) / half[box]
    length = np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    return np.asarray(normal / length, np.float32)


def _box_normals(q: Floats, taper: Floats) -> Floats:
    """Outward normals of unit cubes, tapered or not, at points (M, 3) of their surfaces."""
    narrow_x, narrow_z, shift = taper.T
    rise = 0.5 * (1.0 + q[:, 1])  # 1 below, 0 at the top
    width = narrow_x + (1.0 - narrow_x) * rise
    depth = narrow_z + (1.0 - narrow_z) * rise
    sides = np.stack([q[:, 0] / width, q[:, 1], (q[:, 2] - shift * (1.0 - rise)) / depth], axis=1)
    face = np.argmax(np.abs(sides), axis=1)
    row = np.arange(len(q))
    normal = np.zeros_like(q)
    normal[row, face] = np.sign(sides[row, face])
    lean_x = np.where(face == 0, -0.5 * (1.0 - narrow_x), 0.0)
    lean_z = np.where(face == 2, -0.5 * (1.0 - narrow_z - normal[:, 2] * shift), 0.0)
    normal[:, 1] += lean_x + lean_z
    return normal
