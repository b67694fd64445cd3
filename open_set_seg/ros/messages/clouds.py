"""Results -> sensor_msgs/PointCloud2: the obstacle list, obstacle pixels, the organised frame.

Coordinates are metres in the optical frame of the image (x right, y down, z forward).
"""

from __future__ import annotations

import array
import sys
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField

from open_set_seg.frame import Camera, FloatImage, FrameResult, Obstacle
from open_set_seg.free_ground import FreeGroundConfig, thin_free_ground
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.messages import FIELD_CODES, list_points
from open_set_seg.ros.messages.pictures import create_message, pack_bytes

OBSTACLE_POINT = np.dtype(
    {
        "names": ["x", "y", "z", "anomaly", "probability", "class_id"],
        "formats": [*["<f4"] * 5, "u1"],
        "offsets": [0, 4, 8, 12, 16, 20],
        "itemsize": 24,
    }
)
PLAIN_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4")])


def build_cloud(header: Any, points: NDArray[Any], is_dense: bool) -> Any:
    """PointCloud2 of (N,) points (unorganised) or (H, W) points (organised) of a packed dtype."""
    shape = (1, points.size) if points.ndim == 1 else points.shape
    return _fill_cloud(header, pack_bytes(points), points.dtype, shape, is_dense)


def _fill_cloud(
    header: Any, data: array.array[int], layout: np.dtype[Any], shape: Any, is_dense: bool
) -> Any:
    fields: Mapping[str, Any] = layout.fields or {}
    message = create_message(PointCloud2)
    message.header = header
    message.height, message.width = shape
    message.fields = [
        PointField(name=name, offset=int(entry[1]), datatype=FIELD_CODES[entry[0].str[1:]], count=1)
        for name, entry in fields.items()
    ]
    message.is_bigendian = sys.byteorder == "big"
    message.point_step = layout.itemsize
    message.row_step = layout.itemsize * int(message.width)
    message.is_dense = is_dense
    message.data = data
    return message


def build_obstacle_list(header: Any, obstacles: tuple[Obstacle, ...], unknown_id: int) -> Any:
    """One point an obstacle, as ``open_set_seg.messages.list_points`` lays it out."""
    points = list_points(obstacles, unknown_id)
    dense = all(np.isfinite(obstacle.position).all() for obstacle in obstacles)
    return build_cloud(header, points, is_dense=bool(dense))


def build_obstacle_points(header: Any, result: FrameResult, unknown_id: int) -> Any:
    """Every obstacle pixel with a valid range; empty when there is no obstacle.

    ``class_id`` is the unknown id for obstacles of kind ``unknown`` and the nearest class for
    chosen known classes; ``probability`` is how much speaks for it: the anomaly, or 1 - anomaly.

    Raises:
        ValueError: there are obstacles, but no range or no camera to place them with.
    """
    parts = [_obstacle_pixels(obstacle, result, unknown_id) for obstacle in result.obstacles]
    points = np.concatenate(parts) if parts else np.zeros(0, OBSTACLE_POINT)
    return build_cloud(header, points, is_dense=True)


def _obstacle_pixels(obstacle: Obstacle, result: FrameResult, unknown_id: int) -> NDArray[Any]:
    if result.range_map is None or result.camera is None:
        raise ValueError("obstacle points need a range map and a camera")
    left, top, width, height = obstacle.box
    window = np.s_[top : top + height, left : left + width]
    depth = result.range_map.depth[window]
    valid = obstacle.mask & np.isfinite(depth)
    # Several times as fast as np.nonzero of two axes.
    rows, columns = np.divmod(np.flatnonzero(valid), width)
    z = depth[valid]
    camera, anomaly = result.camera, result.prediction.anomaly[window][valid]
    points = np.zeros(z.size, OBSTACLE_POINT)
    points["x"] = (columns + left - camera.cx) * z / camera.fx
    points["y"] = (rows + top - camera.cy) * z / camera.fy
    points["z"], points["anomaly"] = z, anomaly
    if obstacle.kind == "unknown":
        points["probability"], points["class_id"] = anomaly, unknown_id
    else:
        points["probability"] = 1.0 - anomaly
        points["class_id"] = result.prediction.nearest[window][valid]
    return points


def build_clearing_points(
    header: Any, result: FrameResult, space: LabelSpace, config: FreeGroundConfig
) -> Any:
    """Ground that was seen to be free, thinned; empty where none was.

    Raises:
        ValueError: no range or no camera to place it with.
    """
    if result.range_map is None or result.camera is None:
        raise ValueError("clearing points need a range map and a camera")
    depth, camera = result.range_map.depth, result.camera
    rows, columns = thin_free_ground(result, space, config)
    z = depth[rows, columns]
    points = np.zeros(z.size, PLAIN_POINT)
    points["x"] = (columns - camera.cx) * z / camera.fx
    points["y"] = (rows - camera.cy) * z / camera.fy
    points["z"] = z
    return build_cloud(header, points, is_dense=True)


def build_points(header: Any, depth: FloatImage, camera: Camera) -> Any:
    """Organised cloud of (H, W) depth in metres: pixel (u, v) is point v W + u; NaN where unknown.

    X = (u - cx) Z / fx, Y = (v - cy) Z / fy.
    """
    height, width = depth.shape
    across = ((np.arange(width) - camera.cx) / camera.fx).astype(np.float32)
    down = ((np.arange(height) - camera.cy) / camera.fy).astype(np.float32)
    # Written where the message keeps them: the cloud is the largest of all messages.
    data = array.array("B", [0]) * (height * width * PLAIN_POINT.itemsize)
    points = np.frombuffer(data, "<f4").reshape(height, width, 3)
    planes = [across * depth, down[:, None] * depth, depth]
    cv2.merge(planes, dst=points)
    return _fill_cloud(header, data, PLAIN_POINT, (height, width), is_dense=False)
