"""The layout of the obstacle list, and sensor_msgs/PointCloud2 -> structured arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Obstacle
from open_set_seg.messages.errors import MessageError
from open_set_seg.tracking import STATE_CODES, UNTRACKED, TrackedObstacle

_FLOATS = ("x", "y", "z", "distance", "sigma", "valid_share", "score", "width", "height")
LIST_POINT = np.dtype(
    {
        "names": [*_FLOATS, "id", "state", "nearest_class"],
        "formats": [*["<f4"] * 9, "<u4", "u1", "u1"],
        "offsets": [*range(0, 36, 4), 36, 40, 41],
        "itemsize": 44,
    }
)
# sensor_msgs/PointField's codes.
FIELD_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
FIELD_CODES = {name: code for code, name in FIELD_TYPES.items()}


def list_points(obstacles: Sequence[Obstacle], unknown_id: int) -> NDArray[np.void]:
    """(N,) ``LIST_POINT``, one an obstacle, in their order; what is unknown is NaN.

    ``score`` is the mean anomaly of the region and ``nearest_class`` the known class that most of
    its pixels resemble (the unknown id where there is none); ``state`` is ``code_of_state``.
    """
    points = np.zeros(len(obstacles), LIST_POINT)
    for point, obstacle in zip(points, obstacles, strict=True):
        point["x"], point["y"], point["z"] = obstacle.position
        point["distance"], point["sigma"] = obstacle.distance, obstacle.distance_sigma
        point["valid_share"], point["score"] = obstacle.valid_share, obstacle.mean_score
        point["width"], point["height"] = obstacle.width, obstacle.height
        point["id"], point["state"] = obstacle.id, code_of_state(obstacle)
        nearest = obstacle.nearest_classes
        point["nearest_class"] = nearest[0][0] if nearest else unknown_id
    return points


def code_of_state(obstacle: Obstacle) -> int:
    """0: untracked, 1: tentative, 2: confirmed."""
    return STATE_CODES[obstacle.state] if isinstance(obstacle, TrackedObstacle) else UNTRACKED


def decode_points(msg: Any) -> NDArray[np.void]:
    """(N,) points of a sensor_msgs/PointCloud2 as a structured array with the cloud's fields.

    Raises:
        MessageError: ``cloud.field``, ``cloud.truncated``.
    """
    order = ">" if msg.is_bigendian else "<"
    unknown = [field.name for field in msg.fields if field.datatype not in FIELD_TYPES]
    if unknown:
        raise MessageError("cloud.field", f"fields of an unknown type: {', '.join(unknown)}")
    layout = np.dtype(
        {
            "names": [field.name for field in msg.fields],
            "formats": [order + FIELD_TYPES[field.datatype] for field in msg.fields],
            "offsets": [field.offset for field in msg.fields],
            "itemsize": msg.point_step,
        }
    )
    count, data = int(msg.width) * int(msg.height), np.frombuffer(msg.data, dtype=np.uint8)
    if data.size < count * layout.itemsize:
        raise MessageError(
            "cloud.truncated",
            f"{count} points need {count * layout.itemsize} bytes, the cloud holds {data.size}",
        )
    return data[: count * layout.itemsize].view(layout)
