"""From pixels to points and back, for a rectified pinhole camera."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from open_set_seg.frame import Camera, FloatImage


def back_project(
    columns: ArrayLike, rows: ArrayLike, depth: ArrayLike, camera: Camera
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Points (X, Y, Z) in metres, optical frame, of pixels at depth Z; all arguments broadcast.

    X = (u - cx) Z / fx and Y = (v - cy) Z / fy; NaN depth gives NaN points.
    """
    z = np.asarray(depth)
    x = (np.asarray(columns) - camera.cx) * z / camera.fx
    y = (np.asarray(rows) - camera.cy) * z / camera.fy
    return x, y, np.broadcast_to(z, x.shape)


def project(
    x: ArrayLike, y: ArrayLike, z: ArrayLike, camera: Camera
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixels (u, v) of points in metres, optical frame; NaN for points not in front (Z <= 0)."""
    depth = np.asarray(z, dtype=np.float64)
    in_front = np.where(depth > 0, depth, np.nan)
    return (
        camera.fx * np.asarray(x) / in_front + camera.cx,
        camera.fy * np.asarray(y) / in_front + camera.cy,
    )


def point_map(depth: FloatImage, camera: Camera) -> FloatImage:
    """(H, W, 3) float32 points in metres, optical frame, of a (H, W) depth map; NaN stays NaN."""
    height, width = depth.shape
    points = np.empty((height, width, 3), np.float32)
    columns = ((np.arange(width) - camera.cx) / camera.fx).astype(np.float32)
    rows = ((np.arange(height) - camera.cy) / camera.fy).astype(np.float32)
    np.multiply(depth, columns[None, :], out=points[..., 0])
    np.multiply(depth, rows[:, None], out=points[..., 1])
    points[..., 2] = depth
    return points
