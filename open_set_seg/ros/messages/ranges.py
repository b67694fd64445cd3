"""Range messages -> maps: stereo_msgs/DisparityImage and depth as sensor_msgs/Image.

Only the layout is checked here. What the numbers mean, and whether they can be true, is judged in
``open_set_seg.stereo``, which serves the offline pipeline too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Camera, DepthMap, DisparityMap
from open_set_seg.ros.messages.errors import MessageError
from open_set_seg.ros.messages.images import view_pixels

_SAMPLES = 4096
_SMALLEST, _LARGEST = 2.0**-10, 2.0**14  # pixels: outside lies no disparity and no invalid code


def decode_disparity(msg: Any) -> DisparityMap:
    """A stereo_msgs/DisparityImage with f, T and the matcher's limits as its sender states them.

    ``valid_window`` is ignored (common senders fill it with wrapped numbers), and so is
    ``is_bigendian`` (common senders set it on little-endian data): values are read as
    little-endian unless that makes them implausible and the other order does not.

    Raises:
        MessageError: ``disparity.encoding``, ``.empty``, ``.step``, ``.truncated``.
    """
    image = msg.image
    if image.encoding != "32FC1":
        raise MessageError(
            "disparity.encoding", f"the disparity image must be 32FC1, not {image.encoding!r}"
        )
    stated = view_pixels(image, "f4", 1, "disparity")
    little = stated.view(np.dtype("<f4"))
    big = stated.view(np.dtype(">f4"))
    share = _plausible_share(little)
    values = big if share < 0.5 and _plausible_share(big) > share else little
    return DisparityMap(
        values=_native_float(values),
        focal_length=float(msg.f),
        baseline=float(msg.t),
        min_disparity=float(msg.min_disparity),
        max_disparity=float(msg.max_disparity),
        quantum=float(msg.delta_d),
    )


def decode_depth(msg: Any) -> DepthMap:
    """Depth of a sensor_msgs/Image: 32FC1 in metres or 16UC1 (mono16) in millimetres (REP 118).

    Raises:
        MessageError: ``depth.encoding``, ``.empty``, ``.step``, ``.truncated``.
    """
    if msg.encoding == "32FC1":
        return DepthMap(_native_float(view_pixels(msg, "f4", 1, "depth")))
    if msg.encoding in ("16UC1", "mono16"):
        millimetres = view_pixels(msg, "u2", 1, "depth")
        return DepthMap(millimetres.astype(np.float32) * np.float32(1e-3))
    raise MessageError(
        "depth.encoding",
        f"depth must be 32FC1 (metres) or 16UC1 (millimetres), not {msg.encoding!r}",
    )


def shift_limits(disparity: DisparityMap, left: Camera, right: Camera) -> DisparityMap:
    """Move the matcher's limits to where the values are.

    Values of a DisparityImage are corrected for principal points that differ,
    d = x_l - x_r - (cx_l - cx_r), but senders leave ``min_disparity`` and ``max_disparity`` as the
    matcher searched, before the correction.
    """
    shift = left.cx - right.cx
    if shift == 0.0 or (disparity.min_disparity == 0.0 and disparity.max_disparity == 0.0):
        return disparity
    return replace(
        disparity,
        min_disparity=disparity.min_disparity - shift,
        max_disparity=disparity.max_disparity - shift,
    )


def _native_float(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(np.float32, copy=False)


def _plausible_share(values: NDArray[Any]) -> float:
    """Share of sampled values that a matcher could have written: zero, NaN, Inf, or pixels."""
    rows, columns = values.shape
    stride = max(1, int(np.sqrt(rows * columns / _SAMPLES)))
    sample = np.abs(values[::stride, ::stride].astype(np.float32))
    plausible = ~np.isfinite(sample) | (sample == 0)
    plausible |= (sample >= _SMALLEST) & (sample <= _LARGEST)
    return float(plausible.mean())
