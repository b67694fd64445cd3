"""Frames of a simulated drive -> the messages that a stereo camera driver and matcher publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from stereo_msgs.msg import DisparityImage

from open_set_seg.frame import Camera, DisparityMap, ImageRGB
from open_set_seg.messages import NANOSECONDS
from open_set_seg.ros.messages import build_image
from open_set_seg.simulation import StereoFrame

LEFT_FRAME = "left_camera_optical_frame"
RIGHT_FRAME = "right_camera_optical_frame"


@dataclass(frozen=True, eq=False)
class FrameMessages:
    """What is published for one frame of the drive.

    Attributes:
        at_once: topic -> message, published together when the image is taken.
        disparity: published later, with the same stamp.
    """

    at_once: dict[str, Any]
    disparity: DisparityImage


def set_stamp(message: Any, stamp_ns: int) -> None:
    """Stamp a message, the image inside a DisparityImage included."""
    stamp = Time(sec=stamp_ns // NANOSECONDS, nanosec=stamp_ns % NANOSECONDS)
    message.header.stamp = stamp
    if isinstance(message, DisparityImage):
        message.image.header.stamp = stamp


def build_messages(
    frames: Sequence[StereoFrame], encoding: str, right: bool, truth: bool
) -> list[FrameMessages]:
    """Messages of a whole drive, held in memory, still without stamps.

    Args:
        encoding: of the colour images: ``rgb8`` or ``bgr8``.
        right: whether to publish the right camera's calibration, and its image where rendered.
        truth: whether to publish the true labels.
    """
    return [_frame_messages(frame, encoding, right, truth) for frame in frames]


def _frame_messages(frame: StereoFrame, encoding: str, right: bool, truth: bool) -> FrameMessages:
    rig = frame.rig
    at_once: dict[str, Any] = {
        "image": _colour_image(frame.left, LEFT_FRAME, encoding),
        "camera_info": camera_info(rig.camera, LEFT_FRAME),
    }
    if right:
        at_once["right/camera_info"] = camera_info(rig.camera, RIGHT_FRAME, rig.baseline)
    if right and frame.right is not None:
        at_once["right/image"] = _colour_image(frame.right, RIGHT_FRAME, encoding)
    if truth:
        at_once["truth/labels"] = _image(frame.labels, LEFT_FRAME, "mono8")
    return FrameMessages(at_once, disparity_message(frame.sensor_disparity, LEFT_FRAME))


def camera_info(camera: Camera, frame_id: str, baseline: float = 0.0) -> CameraInfo:
    """sensor_msgs/CameraInfo of a rectified camera; P[3] = -fx B, 0 for the left one."""
    fx, fy, cx, cy = (float(v) for v in (camera.fx, camera.fy, camera.cx, camera.cy))
    return CameraInfo(
        header=Header(frame_id=frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, -fx * baseline, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def disparity_message(disparity: DisparityMap, frame_id: str) -> DisparityImage:
    """stereo_msgs/DisparityImage; the valid window is the whole image."""
    values = disparity.values.astype(np.float32, copy=False)
    message = DisparityImage(
        header=Header(frame_id=frame_id),
        image=_image(values, frame_id, "32FC1"),
        f=float(disparity.focal_length),
        t=float(disparity.baseline),
        min_disparity=float(disparity.min_disparity),
        max_disparity=float(disparity.max_disparity),
        delta_d=float(disparity.quantum),
    )
    message.valid_window.height, message.valid_window.width = (int(n) for n in values.shape)
    return message


def _image(pixels: NDArray[Any], frame_id: str, encoding: str) -> Image:
    return build_image(Header(frame_id=frame_id), pixels, encoding)


def _colour_image(rgb: ImageRGB, frame_id: str, encoding: str) -> Image:
    return _image(rgb if encoding == "rgb8" else rgb[..., ::-1], frame_id, encoding)
