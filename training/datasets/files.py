"""Image files as arrays: decoded by their content, whatever their suffix says.

Orientation tags and gamma chunks are ignored on purpose: labels were drawn on the stored pixels,
and networks were trained on the stored values.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from open_set_seg.frame import ImageRGB, LabelImage
from training.datasets.frames import CorruptFileError

Codes16 = NDArray[np.uint16]

_PNG = b"\x89PNG\r\n\x1a\n"
# What data sets are made of; Pillow would hand others to outside programs (EPS to Ghostscript).
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM")
_PALETTE_OR_GREY = ("L", "P", "1")


def read_rgb(path: Path) -> ImageRGB:
    """An 8-bit picture as (H, W, 3) uint8 RGB; grey is repeated, transparency is dropped.

    Raises:
        CorruptFileError: no such file, not an image, cut short, or deeper than 8 bits.
    """
    data = _read(path)
    with _decoding(path, data) as picture:
        if picture.mode.startswith(("I", "F")):
            raise CorruptFileError(path, f"8-bit picture expected, found mode {picture.mode}")
        return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def read_labels(path: Path) -> LabelImage:
    """Codes of an 8-bit image with one channel, (H, W) uint8; palette images give their indices.

    An RGB(A) image passes where its colour channels are equal.

    Raises:
        CorruptFileError: no such file, not an image, cut short, or not of one channel of 8 bits.
    """
    data = _read(path)
    with _decoding(path, data) as picture:
        mode, values = picture.mode, np.asarray(picture)
    if mode in _PALETTE_OR_GREY:
        return values.astype(np.uint8) // _grey_step(data, mode)
    if mode in ("LA", "RGB", "RGBA"):
        colours = values[..., : len(mode.rstrip("A"))]
        if (colours == colours[..., :1]).all():
            return np.ascontiguousarray(colours[..., 0])
    elif values.ndim == 2 and values.dtype.kind in "iu" and values.min() >= 0 <= values.max() < 256:
        return values.astype(np.uint8)
    raise CorruptFileError(path, f"codes of one channel and 8 bits expected, found mode {mode}")


def read_codes16(path: Path) -> Codes16:
    """A 16-bit image with one channel, (H, W) uint16, such as an encoded disparity.

    Raises:
        CorruptFileError: no such file, not an image, cut short, or not of one channel of 16 bits.
    """
    data = _read(path)
    with _decoding(path, data) as picture:
        mode, values = picture.mode, np.asarray(picture)
    if not mode.startswith("I") or values.min() < 0 or values.max() > 65535:
        raise CorruptFileError(path, f"one channel of 16 bits expected, found mode {mode}")
    return values.astype(np.uint16)


def read_rgb16(path: Path) -> ImageRGB | Codes16:
    """A picture of three channels as stored: (H, W, 3) uint8 or uint16, RGB.

    Pillow cannot read three channels of 16 bits, so OpenCV reads them.

    Raises:
        CorruptFileError: no such file, not an image, cut short, or other channels or depths.
    """
    data = _read(path)
    try:
        values: NDArray[Any] | None = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED
        )
    except cv2.error as error:
        raise CorruptFileError(path, f"cannot be decoded ({error.err})") from None
    if values is None:
        raise CorruptFileError(path, "cannot be decoded")
    if values.ndim != 3 or values.shape[2] not in (3, 4) or values.dtype not in ("u1", "u2"):
        raise CorruptFileError(
            path, f"RGB of 8 or 16 bits expected, found {values.shape} {values.dtype}"
        )
    return np.ascontiguousarray(values[..., 2::-1])


def read_panoptic(path: Path) -> NDArray[np.uint32]:
    """Segment ids R + 256 G + 65536 B of a COCO panoptic PNG, (H, W) uint32."""
    data = _read(path)
    with _decoding(path, data) as picture:
        if picture.mode not in ("RGB", "RGBA"):
            raise CorruptFileError(path, f"segment ids in RGB expected, found mode {picture.mode}")
        # Pillow keeps RGB in four bytes a pixel, so a word a pixel is the quickest way out.
        words = np.frombuffer(picture.tobytes("raw", picture.mode.ljust(4, "X")), dtype="<u4")
        shape = (picture.height, picture.width)
    return np.asarray(words & 0xFFFFFF, dtype=np.uint32).reshape(shape)


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorruptFileError(path, error.strerror or str(error)) from None
    if not data:
        raise CorruptFileError(path, "is empty")
    return data


@contextmanager
def _decoding(path: Path, data: bytes) -> Iterator[Image.Image]:
    """The decoded picture; whatever Pillow makes of a damaged file becomes one kind of error."""
    try:
        picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        picture.load()
    except UnidentifiedImageError:
        kinds = ", ".join(_FORMATS)
        raise CorruptFileError(path, f"is none of {kinds}, or its head is damaged") from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise CorruptFileError(path, f"cannot be decoded ({error})") from None
    yield picture


def _grey_step(data: bytes, mode: str) -> int:
    """The factor by which Pillow spreads grey PNGs of 2 and 4 bits over 0..255."""
    if mode != "L" or not data.startswith(_PNG):
        return 1
    depth = data[24]  # fixed place: signature 8, chunk head 8, width 4, height 4
    return int(255 // (2**depth - 1)) if depth < 8 else 1
