"""sensor_msgs/CameraInfo -> Camera, and the CameraInfo of scaled outputs."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

from open_set_seg.frame import Camera
from open_set_seg.ros.messages.errors import MessageError

_ASPECT_TOLERANCE = 1.0  # pixels of rounding when a driver scaled the image


def decode_camera(msg: Any, name: str = "camera_info") -> Camera:
    """The pinhole camera of the rectified image: the left 3 x 3 part of P, in image pixels.

    ``roi`` and ``binning`` are honoured: P describes the full sensor image, of which the region is
    cut out first and binned second. Pixel centres are at integer coordinates, so
    c' = (c - offset + 1/2) / binning - 1/2.

    Raises:
        MessageError: ``.uncalibrated`` when K[0] or P[0] is 0 (or not a number);
            ``.empty`` when it states no image size.
    """
    fx, fy = float(msg.p[0]), float(msg.p[5])
    numbers = (float(msg.k[0]), fx, fy, float(msg.p[2]), float(msg.p[6]))
    if not all(math.isfinite(n) for n in numbers) or min(numbers[:3]) <= 0:
        raise MessageError(
            f"{name}.uncalibrated",
            f"{name} is of an uncalibrated camera (K[0] = {numbers[0]:g}, P[0] = {fx:g}, "
            f"P[5] = {fy:g}): calibrate it, or take the rectified image's camera_info",
        )
    left, top = int(msg.roi.x_offset), int(msg.roi.y_offset)
    width, height = int(msg.roi.width) or int(msg.width), int(msg.roi.height) or int(msg.height)
    if width <= 0 or height <= 0:
        raise MessageError(f"{name}.empty", f"{name} states an image of {width} x {height} pixels")
    region = Camera(width, height, fx, fy, numbers[3] - left, numbers[4] - top)
    columns, rows = max(1, int(msg.binning_x)), max(1, int(msg.binning_y))
    if columns == rows == 1:
        return region
    return Camera(
        max(1, width // columns),
        max(1, height // rows),
        fx / columns,
        fy / rows,
        (region.cx + 0.5) / columns - 0.5,
        (region.cy + 0.5) / rows - 0.5,
    )


def decode_right_camera(msg: Any) -> tuple[Camera, float]:
    """Camera and baseline in metres of the right camera: B = -P[3] / P[0].

    Raises:
        MessageError: as ``decode_camera``, and ``right_camera_info.baseline`` when B is not
            positive: the message is then not that of a right camera.
    """
    camera = decode_camera(msg, "right_camera_info")
    baseline = -float(msg.p[3]) / float(msg.p[0])
    if not baseline > 0 or not math.isfinite(baseline):
        raise MessageError(
            "right_camera_info.baseline",
            f"right_camera_info gives a baseline of {baseline:g} m (P[3] = {float(msg.p[3]):g}); "
            "it must be that of the right camera",
        )
    return camera, baseline


def fit_camera(camera: Camera, width: int, height: int) -> Camera:
    """The camera for an image of ``width`` x ``height``: scaled where the shape is the same.

    Raises:
        MessageError: ``camera_info.size`` when the aspect differs: something was cut off, and
            nobody says where.
    """
    if (camera.width, camera.height) == (width, height):
        return camera
    if abs(width * camera.height / camera.width - height) > _ASPECT_TOLERANCE:
        raise MessageError(
            "camera_info.size",
            f"camera_info is for {camera.width} x {camera.height} pixels, but the image has "
            f"{width} x {height}: it cannot be the same picture scaled",
        )
    return camera.scaled(width, height)


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
