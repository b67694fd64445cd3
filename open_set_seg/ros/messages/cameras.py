"""The CameraInfo of scaled outputs."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from open_set_seg.frame import Camera


def build_scaled_camera_info(msg: Any, camera: Camera, header: Any) -> Any:
    """A copy of a CameraInfo for ``camera``: width, height, K and P replaced together.

    K, R and distortion describe the unrectified image; K is scaled by the ratio of P so that the
    two go on agreeing. Region and binning are applied already and therefore cleared.
    """
    scaled = deepcopy(msg)
    scaled.header = header
    sx, sy = camera.fx / float(msg.p[0]), camera.fy / float(msg.p[5])
    k, p = [float(v) for v in msg.k], [float(v) for v in msg.p]
    left, top = float(msg.roi.x_offset), float(msg.roi.y_offset)
    k[0], k[4] = k[0] * sx, k[4] * sy
    k[2] = (k[2] - left + 0.5) * sx - 0.5
    k[5] = (k[5] - top + 0.5) * sy - 0.5
    p[0], p[2], p[3] = camera.fx, camera.cx, p[3] * sx
    p[5], p[6] = camera.fy, camera.cy
    scaled.k, scaled.p = k, p
    scaled.width, scaled.height = camera.width, camera.height
    scaled.roi.x_offset = scaled.roi.y_offset = scaled.roi.width = scaled.roi.height = 0
    scaled.binning_x = scaled.binning_y = 0
    return scaled
