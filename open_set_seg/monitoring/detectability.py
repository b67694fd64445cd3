"""Up to which distance an object of a size would still be an obstacle.

A square of s metres at distance Z covers at least ``floor(fx s / Z)`` columns and
``floor(fy s / Z)`` rows, wherever it lies on the pixel grid, and the rules of ``ObstacleConfig``
are about such numbers. Both fall in steps, and right after a step the square metres that the
rules see are the fewest, so every step is looked at from both of its sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Camera, Mask
from open_set_seg.monitoring.ground_plane import GroundPlane
from open_set_seg.obstacles import ObstacleConfig

# Between the steps, for what is not closed form: where ranges are missing.
GRID_STEP = 0.25
OPENING_SIDE = 3
_BESIDE = 1e-9


@dataclass(frozen=True, eq=False)
class Sight:
    """What a frame could see.

    Attributes:
        camera, plane: geometry.
        valid: (H, W) where there is range; None: the frame has no ranges, so that regions are
            judged by their pixels alone.
        seen_at: distances (N,) in metres -> share of the corridor that was seen there, [0, 1].
        corridor_width: metres.
    """

    camera: Camera
    plane: GroundPlane
    valid: Mask | None
    seen_at: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    corridor_width: float


def find_detectable_distances(
    sight: Sight,
    obstacles: ObstacleConfig,
    sizes: Sequence[float],
    farthest: float,
    min_share: float,
) -> dict[float, float]:
    """Size -> the distance up to which a square of that size would be found, metres.

    From where the ground straight ahead enters the image to that distance it is found at every
    distance, everywhere on the pixel grid. Whether the object's pixels have range is taken from
    the image as it is: the same rows, averaged over the corridor's width. 0: not found where the
    ground enters the image, or it does not.

    Args:
        farthest: nothing is stated beyond, metres.
        min_share: of the corridor that must have been seen.
    """
    nearest = sight.plane.nearest_visible(sight.camera)
    if not nearest < farthest:
        return dict.fromkeys(sizes, 0.0)
    distances = _distances(sight.camera, sizes, nearest, farthest)
    seen = sight.seen_at(distances) >= min_share
    strips = _Strips(sight, distances)
    found = {}
    for size in sizes:
        kept = seen & _is_kept(size, distances, strips, sight.camera, obstacles)
        count = kept.size if kept.all() else int(np.argmin(kept))
        found[size] = float(distances[count - 1]) if count else 0.0
    return found


def _distances(
    camera: Camera, sizes: Sequence[float], nearest: float, farthest: float
) -> NDArray[np.float64]:
    """A grid, and both sides of every step of every size: the same for all sizes."""
    points = [np.arange(nearest, farthest, GRID_STEP), np.array([farthest])]
    for size in sizes:
        for focal_length in (camera.fx, camera.fy):
            steps = (
                focal_length * size / np.arange(1, math.floor(focal_length * size / nearest) + 1)
            )
            points += [steps * (1.0 - _BESIDE), steps * (1.0 + _BESIDE)]
    every = np.unique(np.concatenate(points))
    return every[(every >= nearest) & (every <= farthest)]


def _is_kept(
    size: float,
    distances: NDArray[np.float64],
    strips: _Strips,
    camera: Camera,
    obstacles: ObstacleConfig,
) -> Mask:
    """Whether the rules keep the square at each distance, in the worst place on the pixel grid."""
    columns = np.floor(camera.fx * size / distances)
    rows = np.floor(camera.fy * size / distances)
    visible, valid_share = strips.look(rows.astype(np.intp))
    area = columns * visible
    valid = area * valid_share
    square_metres = valid * np.square(distances) / (camera.fx * camera.fy)
    keep = area >= obstacles.min_area_px
    large = strips.have_range & (square_metres >= obstacles.min_area_m2)
    keep &= large | (area - valid >= obstacles.min_blind_area_px)
    if obstacles.opening:
        keep &= (columns >= OPENING_SIDE) & (visible >= OPENING_SIDE)
    return np.asarray(keep)


class _Strips:
    """Shares of valid range over the corridor's width, in the rows above where an object stands."""

    def __init__(self, sight: Sight, distances: NDArray[np.float64]) -> None:
        camera = sight.camera
        self.have_range = sight.valid is not None
        shape = (camera.height, camera.width)
        valid = np.zeros(shape, np.bool_) if sight.valid is None else sight.valid
        self._sums = cv2.integral(valid.view(np.uint8))
        foot = camera.fy * sight.plane.heights(0.0, distances) / distances + camera.cy
        # Rows whose centre is above the foot; one below the last.
        self._end = np.clip(np.ceil(foot - 1e-6), 0, camera.height).astype(np.intp)
        reach = camera.fx * sight.corridor_width / 2 / distances
        self._left = np.clip(np.ceil(camera.cx - reach), 0, camera.width - 1).astype(np.intp)
        right = np.clip(np.floor(camera.cx + reach) + 1, 0, camera.width).astype(np.intp)
        self._right = np.maximum(right, self._left + 1)

    def look(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Of so many rows those in the image, and the share of their pixels that has range."""
        top = np.maximum(self._end - rows, 0)
        sums, end, left, right = self._sums, self._end, self._left, self._right
        valid = sums[end, right] - sums[top, right] - sums[end, left] + sums[top, left]
        visible = end - top
        share = valid / np.maximum(visible * (right - left), 1)
        return visible, np.asarray(share, np.float64)
