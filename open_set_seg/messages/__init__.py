"""How messages are laid out: message -> array, for the node and for recordings alike.

Nothing here imports message packages: any object with a message's fields will do, be it rclpy's or
that of a library that reads recordings.
"""

from open_set_seg.messages.cameras import decode_camera, decode_right_camera, fit_camera
from open_set_seg.messages.clouds import FIELD_CODES, LIST_POINT, decode_points, list_points
from open_set_seg.messages.errors import MessageError
from open_set_seg.messages.images import ENCODINGS, decode_compressed_image, decode_image
from open_set_seg.messages.ranges import decode_depth, decode_disparity, shift_limits
from open_set_seg.messages.stamps import NANOSECONDS, decode_stamp

__all__ = [
    "ENCODINGS",
    "FIELD_CODES",
    "LIST_POINT",
    "NANOSECONDS",
    "MessageError",
    "decode_camera",
    "decode_compressed_image",
    "decode_depth",
    "decode_disparity",
    "decode_image",
    "decode_points",
    "decode_right_camera",
    "decode_stamp",
    "fit_camera",
    "list_points",
    "shift_limits",
]
