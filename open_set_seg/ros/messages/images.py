"""sensor_msgs/Image -> RGB, with cv_bridge for encodings that we do not decode ourselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from open_set_seg import messages
from open_set_seg.frame import ImageRGB
from open_set_seg.messages import ENCODINGS, MessageError


def decode_image(msg: Any) -> ImageRGB:
    """RGB uint8 (H, W, 3) of a sensor_msgs/Image.

    Encodings that are not in ``ENCODINGS`` are left to cv_bridge where it is installed.

    Raises:
        MessageError: ``image.empty``, ``image.step``, ``image.truncated``, ``image.encoding``.
    """
    if msg.encoding in ENCODINGS:
        return messages.decode_image(msg)
    return _decode_with_cv_bridge(msg)


def _decode_with_cv_bridge(msg: Any) -> ImageRGB:
    known = ", ".join(ENCODINGS)
    try:
        from cv_bridge import CvBridge
    except Exception as error:  # binaries built for another NumPy fail with more than ImportError
        raise MessageError(
            "image.encoding",
            f"encoding {msg.encoding!r} is not one of {known}; cv_bridge, which may know it, "
            f"is not usable here ({type(error).__name__})",
        ) from None
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(msg, "rgb8"), dtype=np.uint8)
    except Exception as error:
        raise MessageError(
            "image.encoding", f"cv_bridge cannot decode {msg.encoding!r}: {error}"
        ) from None
