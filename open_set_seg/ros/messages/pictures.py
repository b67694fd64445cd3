"""Arrays -> image messages that go out."""

from __future__ import annotations

import array
import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from open_set_seg.frame import FloatImage, ImageRGB
from open_set_seg.messages import MessageError

_BYTES_PER_PIXEL = {"mono8": 1, "bgr8": 3, "rgb8": 3, "32FC1": 4}


def create_message(kind: Any) -> Any:
    """An empty message of a class, which keeps an ``array.array`` that it is given.

    Generated setters look at the type and keep the array where fields are checked, and copy it
    where they are not, which is the default.
    """
    return kind(check_fields=True)


def pack_bytes(values: NDArray[Any]) -> array.array[int]:
    """The array's bytes in the one container that rclpy takes without a check of every element."""
    packed = array.array("B")
    packed.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return packed


def build_image(header: Any, pixels: NDArray[Any], encoding: str) -> Any:
    """sensor_msgs/Image without row padding from (H, W) or (H, W, C) pixels."""
    height, width = pixels.shape[:2]
    message = create_message(Image)
    message.header = header
    message.height, message.width = height, width
    message.encoding = encoding
    message.is_bigendian = int(sys.byteorder == "big")
    message.step = width * _BYTES_PER_PIXEL[encoding]
    message.data = pack_bytes(pixels)
    return message


def build_confidence(header: Any, anomaly: FloatImage) -> Any:
    """mono8 image of 255 (1 - anomaly), rounded: what Nav2's semantic layer reads."""
    confidence = cv2.convertScaleAbs(1.0 - np.clip(anomaly, 0.0, 1.0), alpha=255.0)
    return build_image(header, confidence, "mono8")


def build_bgr(header: Any, rgb: ImageRGB) -> Any:
    """bgr8 image of an RGB picture."""
    return build_image(header, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), "bgr8")


def build_jpeg(header: Any, rgb: ImageRGB, quality: int) -> Any:
    """sensor_msgs/CompressedImage (JPEG) of an RGB picture, with image_transport's format text."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise MessageError("overlay.jpeg", f"a picture of {rgb.shape} cannot be written as JPEG")
    message = create_message(CompressedImage)
    message.header = header
    message.format = "bgr8; jpeg compressed bgr8"
    message.data = pack_bytes(data)
    return message
