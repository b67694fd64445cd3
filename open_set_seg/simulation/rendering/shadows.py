"""Shadows on the ground as seen from above: a map in world coordinates, two resolutions.

The shadow of a convex solid under a distant sun is the convex hull of its projected points, so
every primitive, known or unknown, is one polygon. A second layer holds the footprints of
everything near the ground, widely blurred: the soft dark rim where a thing touches the road.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.simulation.rendering.compiled import SHAPES, PosedScene
from open_set_seg.simulation.rendering.rays import CORNERS
from open_set_seg.simulation.rendering.textures import Floats
from open_set_seg.simulation.scene import Light

Doubles = NDArray[np.float64]

# (cell in metres, half width in metres, first and last distance ahead in metres)
LEVELS = ((0.05, 22.4, 0.0, 48.0), (0.25, 64.0, 0.0, 220.0))
PENUMBRA = 0.06  # metres
CONTACT = 0.16  # metres
CONTACT_DEPTH = 0.55
SPECK = 0.7  # cells; smaller shadows are left out
TOUCHING = 0.30  # metres above the ground up to which a solid darkens the ground below it


@dataclass(frozen=True, eq=False)
class ShadowMap:
    """Levels of (sun, contact) images, uint8 255 = dark, over camera-relative x and z."""

    images: tuple[NDArray[np.uint8], ...]
    origins: tuple[tuple[float, float], ...]
    cells: tuple[float, ...]


def build_shadow_map(scene: PosedScene, light: Light, eye: Doubles) -> ShadowMap:
    """Draw the shadows of all primitives around ``eye`` (world position of the left camera)."""
    points = _outline_points(scene)
    drop = scene.base[:, None] - points[..., 1]  # height above the ground, metres
    slant = np.array([light.sun[0], light.sun[2]]) / max(-light.sun[1], 0.15)
    flat = points[..., [0, 2]]
    cast = flat - drop[..., None] * slant
    touching = drop.min(axis=1) < TOUCHING
    images, origins = [], []
    for cell, half_width, first, last in LEVELS:
        # Cells lie on a fixed world raster, so that shadows do not swim as the car moves.
        left = np.floor((eye[0] - half_width) / cell) * cell - eye[0]
        front = np.floor((eye[2] + first) / cell) * cell - eye[2]
        shape = (int((last - first) / cell), int(2 * half_width / cell))
        origin = np.array([left, front])
        sun = _draw(cast, np.ones(len(cast), bool), origin, cell, shape)
        contact = _draw(flat, touching, origin, cell, shape)
        soft = cv2.GaussianBlur(sun, (0, 0), max(PENUMBRA / cell, 0.5))
        rim = cv2.GaussianBlur(contact, (0, 0), max(CONTACT / cell, 0.5))
        images.append(np.stack([soft, rim], axis=-1).astype(np.uint8))
        origins.append((float(left), float(front)))
    return ShadowMap(tuple(images), tuple(origins), tuple(level[0] for level in LEVELS))


def look_up(shadows: ShadowMap, x: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Share of sun and share of ambient light that reach ground points, (N,) in [0, 1] each.

    Args:
        x, z: metres, relative to the left camera.
    """
    dark = np.zeros((len(x), 2), np.float32)
    missing = np.arange(len(x))
    for level in range(len(LEVELS)):
        inside, values = _sample_level(shadows, level, x[missing], z[missing])
        dark[missing[inside]] = values
        missing = missing[~inside]
    return 1.0 - dark[:, 0], 1.0 - np.float32(CONTACT_DEPTH) * dark[:, 1]


def _sample_level(
    shadows: ShadowMap, level: int, x: Floats, z: Floats
) -> tuple[NDArray[np.bool_], Floats]:
    """Which of the points the level covers, and the values there."""
    image, cell = shadows.images[level], shadows.cells[level]
    left, front = shadows.origins[level]
    column, row = (x - left) / cell - 0.5, (z - front) / cell - 0.5
    rows, columns = image.shape[:2]
    inside = (column >= 0) & (column < columns - 1) & (row >= 0) & (row < rows - 1)
    column, row = column[inside], row[inside]
    c0, r0 = column.astype(np.int64), row.astype(np.int64)
    fc, fr = (column - c0)[:, None], (row - r0)[:, None]
    flat = image.reshape(-1, 2)
    start = r0 * columns + c0
    top = flat[start] * (1.0 - fc) + flat[start + 1] * fc
    bottom = flat[start + columns] * (1.0 - fc) + flat[start + columns + 1] * fc
    values = (top * (1.0 - fr) + bottom * fr) / 255.0
    return inside, values.astype(np.float32)


def _draw(
    points: Doubles,
    chosen: NDArray[np.bool_],
    origin: Doubles,
    cell: float,
    shape: tuple[int, int],
) -> NDArray[np.uint8]:
    """Fill the convex hull of every row of points, in 1/16 cells."""
    image = np.zeros(shape, np.uint8)
    cells = (points - origin) / cell - 0.5
    low, high = cells.min(axis=1), cells.max(axis=1)
    inside = (high >= 0).all(axis=1) & (low < [shape[1], shape[0]]).all(axis=1)
    size = (high - low).max(axis=1)
    inside &= (size > SPECK) & (size < 8000)
    fixed = np.round(np.clip(cells, -30_000, 30_000) * 16.0).astype(np.int32)
    for index in np.flatnonzero(chosen & inside):
        cv2.fillConvexPoly(image, cv2.convexHull(fixed[index]), 255, cv2.LINE_AA, 4)
    return image


def _outline_points(scene: PosedScene) -> Doubles:
    """(Q, 24, 3) camera-relative points whose hull is the primitive, or nearly so."""
    shape = scene.compiled.shape[scene.row]
    taper = scene.compiled.taper[scene.row]
    half = scene.compiled.half[scene.row]
    unit = np.empty((len(shape), 24, 3))
    box = np.tile(CORNERS, (3, 1))
    ring = np.linspace(0.0, 2.0 * np.pi, 12, endpoint=False)
    circle = np.stack([np.cos(ring), np.sin(ring)], axis=1)
    tube = np.concatenate([np.insert(circle, 1, 1.0, axis=1), np.insert(circle, 1, -1.0, axis=1)])
    turn = np.arange(24) * (np.pi * (3.0 - np.sqrt(5.0)))
    level = (np.arange(24) + 0.5) / 12.0 - 1.0
    rim = np.sqrt(1.0 - level * level)
    ball = 1.05 * np.stack([rim * np.cos(turn), level, rim * np.sin(turn)], axis=1)
    for code, points in (("box", box), ("ellipsoid", ball), ("cylinder", tube)):
        unit[shape == SHAPES[code]] = points
    top = unit[..., 1] == -1.0
    is_box = (shape == SHAPES["box"])[:, None]
    narrow_z = np.where(is_box, taper[:, None, 1], taper[:, None, 0])
    shift = np.where(is_box, taper[:, None, 2], 0.0)
    unit[..., 0] *= np.where(top, taper[:, None, 0], 1.0)
    unit[..., 2] = np.where(top, unit[..., 2] * narrow_z + shift, unit[..., 2])
    turned = np.einsum("qij,qkj->qki", scene.rotation, unit * half[:, None, :])
    return np.asarray(turned + scene.centre[:, None, :])
