"""ROS messages <-> arrays: everything that knows how a message is laid out.

Decoding that needs no ROS is shared with recordings and comes from ``open_set_seg.messages``.
"""

from open_set_seg.messages import (
    MessageError,
    decode_camera,
    decode_compressed_image,
    decode_depth,
    decode_disparity,
    decode_right_camera,
    fit_camera,
    shift_limits,
)
from open_set_seg.ros.messages.cameras import build_scaled_camera_info
from open_set_seg.ros.messages.clouds import (
    build_clearing_points,
    build_obstacle_list,
    build_obstacle_points,
    build_points,
)
from open_set_seg.ros.messages.images import decode_image
from open_set_seg.ros.messages.markers import build_markers
from open_set_seg.ros.messages.pictures import build_bgr, build_confidence, build_image, build_jpeg
from open_set_seg.ros.messages.placement import place_cloud, place_detections, place_markers
from open_set_seg.ros.messages.vision import (
    VisionMessages,
    build_detections,
    build_label_info,
    import_vision_messages,
)

__all__ = [
    "MessageError",
    "VisionMessages",
    "build_bgr",
    "build_clearing_points",
    "build_confidence",
    "build_detections",
    "build_image",
    "build_jpeg",
    "build_label_info",
    "build_markers",
    "build_obstacle_list",
    "build_obstacle_points",
    "build_points",
    "build_scaled_camera_info",
    "decode_camera",
    "decode_compressed_image",
    "decode_depth",
    "decode_disparity",
    "decode_image",
    "decode_right_camera",
    "fit_camera",
    "import_vision_messages",
    "place_cloud",
    "place_detections",
    "place_markers",
    "shift_limits",
]
