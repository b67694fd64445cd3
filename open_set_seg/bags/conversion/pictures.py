"""Picture files as arrays; a file that is damaged in any way is refused, never half decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.bags.conversion.frames import Picture
from open_set_seg.frame import LabelImage

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
# Where a stream's end marker must be: encoders may pad behind it.
_TAIL_BYTES = 1024
_PNG_DEPTH_AT = 24  # signature 8, chunk head 8, width 4, height 4
_PALETTE = 3


def read_picture(path: Path) -> Picture:
    """An 8-bit picture; grey is repeated, transparency is dropped.

    Raises:
        OSError: no such file.
        ValueError: no picture, cut short, or deeper than 8 bits.
    """
    data, values = _decode(path)
    if values.dtype != np.uint8:
        raise ValueError(f"is a picture of {values.dtype}, not of 8 bits")
    channels = 1 if values.ndim == 2 else values.shape[2]
    code = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}.get(channels)
    if code is None:
        raise ValueError(f"has {channels} channels")
    pixels = np.asarray(cv2.cvtColor(values, code), np.uint8)
    kind = "png" if data.startswith(_PNG) else "jpeg" if data.startswith(_JPEG) else ""
    return Picture(pixels, data if kind else None, kind)


def read_label_codes(path: Path) -> LabelImage:
    """Codes (H, W) uint8 of a grey PNG of 8 bits, or of a colour one with equal channels.

    Raises:
        OSError: no such file.
        ValueError: anything else.
    """
    data, values = _decode(path)
    if not data.startswith(_PNG) or data[_PNG_DEPTH_AT] != 8:
        raise ValueError("is no PNG of 8 bits")
    if data[_PNG_DEPTH_AT + 1] == _PALETTE:
        raise ValueError("has a palette; codes are expected")
    if values.ndim == 3:
        colours = values[..., :3]
        if (colours != colours[..., :1]).any():
            raise ValueError("is in colour; codes are expected")
        values = colours[..., 0]
    return np.ascontiguousarray(values, np.uint8)


def read_disparity_codes(path: Path) -> NDArray[np.uint16]:
    """Codes (H, W) uint16 of a grey PNG of 16 bits.

    Raises:
        OSError: no such file.
        ValueError: anything else.
    """
    data, values = _decode(path)
    if not data.startswith(_PNG) or values.dtype != np.uint16 or values.ndim != 2:
        raise ValueError("is no grey PNG of 16 bits")
    return values


def encode_picture(picture: Picture, jpeg_quality: int | None) -> tuple[bytes, str]:
    """(data, kind) of a compressed picture: the file's own bytes, else PNG; or JPEG if asked for.

    Args:
        jpeg_quality: 1 to 100 for JPEG; None: without loss.
    """
    if jpeg_quality is None and picture.data is not None:
        return picture.data, picture.kind
    bgr = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGR)
    if jpeg_quality is None:
        return cv2.imencode(".png", bgr)[1].tobytes(), "png"
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
    return cv2.imencode(".jpg", bgr, options)[1].tobytes(), "jpeg"


def _decode(path: Path) -> tuple[bytes, NDArray[Any]]:
    data = path.read_bytes()
    if not data:
        raise ValueError("is empty")
    tail = data[-_TAIL_BYTES:]
    for start, end in ((_PNG, b"IEND"), (_JPEG, b"\xff\xd9")):
        # Some decoders fill what is missing with grey and say nothing.
        if data.startswith(start) and end not in tail:
            raise ValueError("is cut short")
    try:
        # As stored: the calibration and the labels are of these pixels, whatever a tag says.
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(f"cannot be decoded ({error.err})") from None
    if values is None:
        raise ValueError("is no picture, or a damaged one")
    return data, np.asarray(values)
