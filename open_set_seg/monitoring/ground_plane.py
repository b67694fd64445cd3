"""The plane on which obstacles stand, from the ranges of the ground region."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from open_set_seg.frame import Camera, FrameResult

# All four are ours: a plane rests on at least so many pixels, at most so many are looked at, drawn
# in threes so often, and what differs by less than this share of its inverse depth lies on it.
LEAST_PIXELS, MOST_PIXELS, DRAWS = 50, 1500, 100
UNEVENNESS = 0.01
LEAST_INLIER_SHARE = 0.5
# What a camera above a road can be: metres above it, and degrees between plane and optical axis.
HEIGHTS, MAX_TILT = (0.05, 6.0), 35.0


@dataclass(frozen=True)
class GroundPlane:
    """The plane n . P = height in the optical frame, n a unit vector that points down.

    Attributes:
        normal: n.
        height: distance of the camera from the plane, metres.
    """

    normal: tuple[float, float, float]
    height: float

    def heights(self, x: ArrayLike, z: ArrayLike) -> NDArray[np.float64]:
        """Y of the plane's points at X and Z, metres, down."""
        across, down, along = self.normal
        rest = self.height - across * np.asarray(x, np.float64) - along * np.asarray(z, np.float64)
        return np.asarray(rest / down)

    def nearest_visible(self, camera: Camera) -> float:
        """Z of the plane in the last row of pixels, straight ahead; inf if it is not seen there."""
        _, down, along = self.normal
        slope = down * (camera.height - 1 - camera.cy) / camera.fy + along
        return self.height / slope if slope > 0 else math.inf


def level_plane(camera_height: float) -> GroundPlane:
    """Flat ground under a camera that looks along it."""
    return GroundPlane((0.0, 1.0, 0.0), camera_height)


def fit_ground_plane(result: FrameResult) -> GroundPlane | None:
    """The plane of most ground pixels with range, or None where none can be trusted.

    A plane is linear in inverse depth: 1 / Z = a (u - cx) / fx + b (v - cy) / fy + c with
    (a, b, c) = n / height, and a stereo sensor's noise sigma / Z^2 is the same at all ranges there.
    Triples of pixels vote (RANSAC; Fischler and Bolles 1981), least squares over the winner's
    pixels decide. Pixels of *unknown* do not take part. The same frame gives the same plane.
    """
    ground, ranges, camera = result.ground, result.range_map, result.camera
    if ground is None or ranges is None or camera is None:
        return None
    known = result.prediction.anomaly <= result.prediction.threshold
    pixels = np.flatnonzero(ground & known & (ranges.depth > 0))
    if pixels.size < LEAST_PIXELS:
        return None
    pixels = pixels[np.linspace(0, pixels.size - 1, min(pixels.size, MOST_PIXELS)).astype(np.intp)]
    rows, columns = np.divmod(pixels, ground.shape[1])
    inverse = 1.0 / ranges.depth.ravel()[pixels].astype(np.float64)
    noise = np.nan_to_num(ranges.sigma.ravel()[pixels].astype(np.float64)) * np.square(inverse)
    rays = np.stack(
        [(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(pixels.size)], 1
    )
    tolerance = np.maximum(3.0 * noise, UNEVENNESS * inverse)
    return _plane_of(_vote(rays, inverse, tolerance))


def _vote(
    rays: NDArray[np.float64], inverse: NDArray[np.float64], tolerance: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """(a, b, c) of the plane on which most pixels lie; None without a majority."""
    rng = np.random.default_rng(0)
    triples = rng.integers(0, inverse.size, (DRAWS, 3))
    matrices = rays[triples]
    usable = np.abs(np.linalg.det(matrices)) > 1e-6
    if not usable.any():
        return None
    planes = np.linalg.solve(matrices[usable], inverse[triples[usable]][..., None])[..., 0]
    counts = (np.abs(planes @ rays.T - inverse) <= tolerance).sum(axis=1)
    plane = planes[int(np.argmax(counts))]
    for _ in range(2):
        inside = np.abs(rays @ plane - inverse) <= tolerance
        if inside.sum() < max(LEAST_PIXELS, LEAST_INLIER_SHARE * inverse.size):
            return None
        plane = np.linalg.lstsq(rays[inside], inverse[inside], rcond=None)[0]
    return np.asarray(plane)


def _plane_of(parameters: NDArray[np.float64] | None) -> GroundPlane | None:
    if parameters is None:
        return None
    length = float(np.linalg.norm(parameters))
    if not math.isfinite(length) or length <= 0:
        return None
    across, down, along = (float(value) / length for value in parameters)
    level = down >= math.cos(math.radians(MAX_TILT))
    if not level or not HEIGHTS[0] <= 1 / length <= HEIGHTS[1]:
        return None
    return GroundPlane((across, down, along), 1 / length)
