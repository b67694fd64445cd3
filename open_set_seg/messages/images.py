"""Camera messages -> RGB images: sensor_msgs/Image and sensor_msgs/CompressedImage.

Row padding (``step``) and ``is_bigendian`` are honoured; nothing is copied where the layout already
is what the pipeline wants (rgb8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import ImageRGB
from open_set_seg.messages.errors import MessageError

# A complete JPEG or PNG stream carries its end marker near the end; cameras may pad behind it.
_TAIL_BYTES = 1024


def _convert(code: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda pixels: np.asarray(cv2.cvtColor(pixels, code))


def _grey16_to_rgb(pixels: NDArray[Any]) -> NDArray[Any]:
    """Full 16-bit range to 8 bits, v / 257 rounded, as cv_bridge scales it."""
    grey = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))


def _float_to_rgb(pixels: NDArray[Any]) -> NDArray[Any]:
    """Intensities in [0, 1]; NaN is black."""
    grey = np.rint(np.clip(np.nan_to_num(pixels, nan=0.0), 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))


@dataclass(frozen=True)
class Encoding:
    """How pixels of one encoding lie in memory and become RGB uint8."""

    dtype: str
    channels: int
    to_rgb: Callable[[NDArray[Any]], NDArray[Any]]
    even_width: bool = False


_BGR = Encoding("u1", 3, _convert(cv2.COLOR_BGR2RGB))
_GREY = Encoding("u1", 1, _convert(cv2.COLOR_GRAY2RGB))
_GREY16 = Encoding("u2", 1, _grey16_to_rgb)
_UYVY = Encoding("u1", 2, _convert(cv2.COLOR_YUV2RGB_UYVY), even_width=True)
_YUYV = Encoding("u1", 2, _convert(cv2.COLOR_YUV2RGB_YUY2), even_width=True)

# 8UC3 says nothing about the channel order: OpenCV's, BGR, is what such senders mean. OpenCV names
# a Bayer pattern by its second row and column, so ROS's rggb is OpenCV's BG.
ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding("u1", 3, lambda pixels: pixels),
    "bgr8": _BGR,
    "8UC3": _BGR,
    "rgba8": Encoding("u1", 4, _convert(cv2.COLOR_RGBA2RGB)),
    "bgra8": Encoding("u1", 4, _convert(cv2.COLOR_BGRA2RGB)),
    "mono8": _GREY,
    "8UC1": _GREY,
    "mono16": _GREY16,
    "16UC1": _GREY16,
    "32FC1": Encoding("f4", 1, _float_to_rgb),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "bayer_rggb8": Encoding("u1", 1, _convert(cv2.COLOR_BayerBG2RGB)),
    "bayer_bggr8": Encoding("u1", 1, _convert(cv2.COLOR_BayerRG2RGB)),
    "bayer_gbrg8": Encoding("u1", 1, _convert(cv2.COLOR_BayerGR2RGB)),
    "bayer_grbg8": Encoding("u1", 1, _convert(cv2.COLOR_BayerGB2RGB)),
}


def view_pixels(msg: Any, dtype: str, channels: int, name: str) -> NDArray[Any]:
    """Pixels of a sensor_msgs/Image as a view of the message's own bytes.

    Args:
        msg: sensor_msgs/Image; its ``encoding`` is not looked at.
        dtype: ``u1``, ``u2`` or ``f4``; taken in the byte order that the message states.
        channels: values per pixel.
        name: first part of the error codes: ``image``, ``disparity`` or ``depth``.

    Returns:
        (H, W) for one channel, else (H, W, channels); rows are strided where ``step`` pads them.

    Raises:
        MessageError: ``.empty``, ``.step`` or ``.truncated``, with the numbers.
    """
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    if height <= 0 or width <= 0:
        raise MessageError(f"{name}.empty", f"{name} of {width} x {height} pixels holds nothing")
    kind = np.dtype(f"{'>' if msg.is_bigendian else '<'}{dtype}")
    row_bytes = width * channels * kind.itemsize
    if step < row_bytes:
        raise MessageError(
            f"{name}.step",
            f"{name} rows of {width} pixels ({msg.encoding}) need {row_bytes} bytes, "
            f"but step says {step}",
        )
    data = np.frombuffer(msg.data, dtype=np.uint8)
    needed = step * (height - 1) + row_bytes  # the last row's padding may be missing
    if data.size < needed:
        raise MessageError(
            f"{name}.truncated",
            f"{name} of {width} x {height} pixels ({msg.encoding}, step {step}) needs {needed} "
            f"bytes, but holds {data.size}",
        )
    shape = (height, width) if channels == 1 else (height, width, channels)
    strides = (step, channels * kind.itemsize, kind.itemsize)[: len(shape)]
    if step % kind.itemsize:  # rows that do not start at a multiple of the item cannot be viewed
        rows = np.lib.stride_tricks.as_strided(data, (height, row_bytes), (step, 1))
        return np.frombuffer(rows.tobytes(), dtype=kind).reshape(shape)
    pixels: NDArray[Any] = np.ndarray(shape, dtype=kind, buffer=msg.data, strides=strides)
    return pixels


def decode_image(msg: Any) -> ImageRGB:
    """RGB uint8 (H, W, 3) of a sensor_msgs/Image.

    Raises:
        MessageError: ``image.empty``, ``image.step``, ``image.truncated``, ``image.encoding``.
    """
    encoding = ENCODINGS.get(msg.encoding)
    if encoding is None:
        raise MessageError(
            "image.encoding", f"encoding {msg.encoding!r} is not one of {', '.join(ENCODINGS)}"
        )
    if encoding.even_width and int(msg.width) % 2:
        raise MessageError("image.encoding", f"{msg.encoding} needs an even width, not {msg.width}")
    pixels = view_pixels(msg, encoding.dtype, encoding.channels, "image")
    return np.asarray(encoding.to_rgb(pixels), dtype=np.uint8)


def decode_compressed_image(msg: Any) -> ImageRGB:
    """RGB uint8 (H, W, 3) of a sensor_msgs/CompressedImage (JPEG or PNG).

    A stream that was cut off is refused: decoders would fill the rest with grey and say nothing.

    Raises:
        MessageError: ``image.empty``, ``image.truncated``, ``image.compressed``.
    """
    data = np.frombuffer(msg.data, dtype=np.uint8)
    if data.size == 0:
        raise MessageError("image.empty", "compressed image without data")
    head, tail = data[:8].tobytes(), data[-_TAIL_BYTES:].tobytes()
    for start, end, name in ((b"\xff\xd8", b"\xff\xd9", "JPEG"), (b"\x89PNG", b"IEND", "PNG")):
        if head.startswith(start) and end not in tail:
            raise MessageError("image.truncated", f"{name} of {data.size} bytes has no end marker")
    try:
        # The orientation tag is the camera's affair: CameraInfo describes the pixels as stored.
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise MessageError(
            "image.compressed",
            f"{data.size} bytes of format {msg.format!r} are neither a JPEG nor a PNG image",
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
