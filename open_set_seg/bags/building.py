"""Arrays -> messages of the rosbags library: what a recording made without ROS holds.

The messages equal, field for field, those that the simulator and the detector node publish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.bags.writing import TYPESTORE
from open_set_seg.frame import Camera, DisparityMap
from open_set_seg.messages import FIELD_CODES, NANOSECONDS

_TYPES = TYPESTORE.types
_ENCODINGS = {("uint8", 3): "rgb8", ("uint8", 1): "mono8", ("float32", 1): "32FC1"}


@dataclass(frozen=True)
class Link:
    """Pose of the frame ``child`` in the frame ``parent``.

    Attributes:
        translation: (x, y, z) in metres; rotation: unit quaternion (x, y, z, w).
    """

    parent: str
    child: str
    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)


def header(stamp_ns: int, frame_id: str) -> Any:
    """std_msgs/Header."""
    time = _TYPES["builtin_interfaces/msg/Time"](
        sec=stamp_ns // NANOSECONDS, nanosec=stamp_ns % NANOSECONDS
    )
    return _TYPES["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)


def image(pixels: NDArray[Any], stamp_ns: int, frame_id: str, encoding: str = "") -> Any:
    """sensor_msgs/Image of an array.

    Args:
        pixels: (H, W, 3) uint8, (H, W) uint8 or (H, W) float32.
        encoding: as ROS names it; empty: rgb8, mono8 or 32FC1 by the array's kind.

    Raises:
        ValueError: an array of another kind.
    """
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if (pixels.dtype.name, channels) not in _ENCODINGS:
        raise ValueError(f"no image encoding for {pixels.dtype} with {channels} channels")
    rows = np.ascontiguousarray(pixels)
    return _TYPES["sensor_msgs/msg/Image"](
        header=header(stamp_ns, frame_id),
        height=rows.shape[0],
        width=rows.shape[1],
        encoding=encoding or _ENCODINGS[pixels.dtype.name, channels],
        is_bigendian=0,
        step=rows.shape[1] * channels * rows.itemsize,
        data=rows.reshape(-1).view(np.uint8),
    )


def compressed_image(data: bytes, kind: str, stamp_ns: int, frame_id: str) -> Any:
    """sensor_msgs/CompressedImage of a file's bytes; ``kind`` is ``png`` or ``jpeg``."""
    return _TYPES["sensor_msgs/msg/CompressedImage"](
        header=header(stamp_ns, frame_id), format=kind, data=np.frombuffer(data, np.uint8)
    )


def text(content: str) -> Any:
    """std_msgs/String."""
    return _TYPES["std_msgs/msg/String"](data=content)


def static_transforms(links: Sequence[Link], stamp_ns: int) -> Any:
    """tf2_msgs/TFMessage of links that do not move."""
    vector, quaternion = _TYPES["geometry_msgs/msg/Vector3"], _TYPES["geometry_msgs/msg/Quaternion"]
    return _TYPES["tf2_msgs/msg/TFMessage"](
        transforms=[
            _TYPES["geometry_msgs/msg/TransformStamped"](
                header=header(stamp_ns, link.parent),
                child_frame_id=link.child,
                transform=_TYPES["geometry_msgs/msg/Transform"](
                    translation=vector(*link.translation), rotation=quaternion(*link.rotation)
                ),
            )
            for link in links
        ]
    )


def camera_info(camera: Camera, stamp_ns: int, frame_id: str, baseline: float = 0.0) -> Any:
    """sensor_msgs/CameraInfo of a rectified camera.

    Args:
        baseline: distance to the left camera in metres; P[3] = -fx B (0 for the left one).
    """
    fx, fy, cx, cy = camera.fx, camera.fy, camera.cx, camera.cy
    return _TYPES["sensor_msgs/msg/CameraInfo"](
        header=header(stamp_ns, frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1], dtype=np.float64),
        r=np.eye(3).reshape(-1),
        p=np.array([fx, 0, cx, -fx * baseline, 0, fy, cy, 0, 0, 0, 1, 0], dtype=np.float64),
        binning_x=0,
        binning_y=0,
        roi=_region(0, 0, 0, 0),
    )


def disparity_image(disparity: DisparityMap, stamp_ns: int, frame_id: str) -> Any:
    """stereo_msgs/DisparityImage; the valid window is the whole image."""
    height, width = disparity.values.shape
    # The message's numbers are float32: rounded here, they are the same before and after transport.
    return _TYPES["stereo_msgs/msg/DisparityImage"](
        header=header(stamp_ns, frame_id),
        image=image(disparity.values.astype(np.float32, copy=False), stamp_ns, frame_id),
        f=float(np.float32(disparity.focal_length)),
        t=float(np.float32(disparity.baseline)),
        valid_window=_region(0, 0, width, height),
        min_disparity=float(np.float32(disparity.min_disparity)),
        max_disparity=float(np.float32(disparity.max_disparity)),
        delta_d=float(np.float32(disparity.quantum)),
    )


def point_cloud(points: NDArray[np.void], stamp_ns: int, frame_id: str, is_dense: bool) -> Any:
    """sensor_msgs/PointCloud2 of a structured array (N,) whose fields are the cloud's fields.

    Args:
        is_dense: whether no coordinate is NaN.
    """
    names: Sequence[str] = points.dtype.names or ()
    fields: Any = points.dtype.fields or {}
    point_field = _TYPES["sensor_msgs/msg/PointField"]
    return _TYPES["sensor_msgs/msg/PointCloud2"](
        header=header(stamp_ns, frame_id),
        height=1,
        width=len(points),
        fields=[
            point_field(
                name=name,
                offset=fields[name][1],
                datatype=FIELD_CODES[fields[name][0].str[1:]],
                count=1,
            )
            for name in names
        ],
        is_bigendian=False,
        point_step=points.dtype.itemsize,
        row_step=points.dtype.itemsize * len(points),
        data=np.frombuffer(points.tobytes(), dtype=np.uint8),
        is_dense=is_dense,
    )


def _region(left: int, top: int, width: int, height: int) -> Any:
    return _TYPES["sensor_msgs/msg/RegionOfInterest"](
        x_offset=left, y_offset=top, height=height, width=width, do_rectify=False
    )
