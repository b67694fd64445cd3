"""Bundles of camera rays, and where primitives appear among them.

Rays start at the camera and have the direction (dx, dy, 1), so the parameter along a ray is the
depth Z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_set_seg.simulation.rendering.compiled import Integers, PosedScene
from open_set_seg.simulation.rendering.textures import Floats

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

    def pairs(
        self, boxes: NDArray[np.int64], names: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All pairs of a box's name and a ray of a pixel inside that box.

        Args:
            boxes: (B, 4) left, top, right, bottom; exclusive.
            names: (B,) what to call the boxes.

        Returns:
            Indices of rays and names of boxes, (M,) each.
        """
        sizes = boxes[:, 2:] - boxes[:, :2]
        areas = sizes[:, 0] * sizes[:, 1]
        box = np.repeat(np.arange(len(boxes)), areas)
        number = np.arange(len(box)) - np.repeat(np.cumsum(areas) - areas, areas)
        down, across = np.divmod(number, sizes[box, 0])
        slot = self.slots[boxes[box, 1] + down, boxes[box, 0] + across].astype(np.int64)
        name = names[box]
        if (slot < 0).any():
            slot, name = slot[slot >= 0], name[slot >= 0]
        if self.samples == 1:
            return slot, name
        rays = (slot[:, None] * self.samples + np.arange(self.samples)).ravel()
        return rays, np.repeat(name, self.samples)

    def within(self, box: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of the rays of the pixels in ``box`` (left, top, right, bottom; exclusive)."""
        left, top, right, bottom = box
        slots = self.slots[top:bottom, left:right].ravel().astype(np.int64)
        slots = slots[slots >= 0]
        if self.samples == 1:
            return slots
        return (slots[:, None] * self.samples + np.arange(self.samples)).ravel()


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
