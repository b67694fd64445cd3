"""What the pipeline found in a frame -> the messages that a recording keeps of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from open_set_seg.bags import building, topics
from open_set_seg.frame import FrameResult, ImageRGB
from open_set_seg.messages import list_points

# Name of an output -> its topic, as the node publishes it.
OUTPUTS = MappingProxyType(
    {
        "obstacles": topics.OBSTACLE_LIST,
        "segmentation": topics.SEGMENTATION,
        "anomaly": topics.ANOMALY,
        "overlay": topics.OVERLAY,
    }
)


def output_messages(
    result: FrameResult,
    unknown_id: int,
    draw_overlay: Callable[[], ImageRGB],
    wanted: Collection[str] = tuple(OUTPUTS),
) -> dict[str, Any]:
    """Topic -> message of the rosbags library, equal to the detector node's.

    A frame that was not examined has no obstacle list: an empty one means a clear road.

    Args:
        result: of the frame; its obstacles may be tracked ones.
        unknown_id: label of unknown pixels.
        draw_overlay: makes the RGB overlay, where that is wanted.
        wanted: names in ``OUTPUTS``.
    """
    stamp, name, prediction = result.stamp_ns, result.frame_id, result.prediction
    messages: dict[str, Any] = {}
    if "segmentation" in wanted:
        messages[topics.SEGMENTATION] = building.image(prediction.labels, stamp, name)
    if "anomaly" in wanted:
        messages[topics.ANOMALY] = building.image(prediction.anomaly, stamp, name)
    if "overlay" in wanted:
        overlay = cv2.cvtColor(draw_overlay(), cv2.COLOR_RGB2BGR)
        messages[topics.OVERLAY] = building.image(overlay, stamp, name, encoding="bgr8")
    if "obstacles" in wanted and result.examined:
        points = list_points(result.obstacles, unknown_id)
        dense = bool(np.isfinite(points["z"]).all())
        messages[topics.OBSTACLE_LIST] = building.point_cloud(points, stamp, name, dense)
    return messages
