"""Finished messages into another frame: every position and orientation, and the header's frame.

Stamps never change. Sizes of boxes, ``distance``, ``width`` and ``height`` are as the camera saw
them and belong to no frame.
"""

from __future__ import annotations

import array
from typing import Any

from std_msgs.msg import Header

from open_set_seg.messages import decode_points
from open_set_seg.ros.transforms import RigidTransform, transform_columns


def place_cloud(message: Any, transform: RigidTransform, frame_id: str) -> Any:
    """A PointCloud2 with its fields x, y and z transformed; NaN stays NaN."""
    data = message.data
    if not isinstance(data, array.array):
        message.data = array.array("B", bytes(data))
    points = decode_points(message)
    transform_columns(transform, points["x"], points["y"], points["z"])
    message.header = _rename(message.header, frame_id)
    return message


def place_markers(message: Any, transform: RigidTransform, frame_id: str) -> Any:
    """A MarkerArray with every pose transformed."""
    for marker in message.markers:
        _place_pose(marker.pose, transform)
        marker.header = _rename(marker.header, frame_id)
    return message


def place_detections(message: Any, transform: RigidTransform, frame_id: str) -> Any:
    """A Detection3DArray with poses, boxes and covariances transformed."""
    message.header = _rename(message.header, frame_id)
    for detection in message.detections:
        detection.header = message.header
        _place_pose(detection.bbox.center, transform)
        for result in detection.results:
            _place_pose(result.pose.pose, transform)
            covariance = transform.rotate_covariance(result.pose.covariance)
            result.pose.covariance = covariance.ravel().tolist()
    return message


def _place_pose(pose: Any, transform: RigidTransform) -> None:
    position, turned = pose.position, pose.orientation
    moved = transform.apply([position.x, position.y, position.z])
    position.x, position.y, position.z = (float(value) for value in moved)
    # Markers that only delete may carry no orientation at all.
    before = [turned.x, turned.y, turned.z, turned.w]
    turned.x, turned.y, turned.z, turned.w = (float(value) for value in transform.turn(before))


def _rename(header: Any, frame_id: str) -> Any:
    """A new header: the image's own is shared by all outputs."""
    return Header(stamp=header.stamp, frame_id=frame_id)
