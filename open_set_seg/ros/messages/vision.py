"""Results -> vision_msgs, which may be missing: the message classes come in as arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from open_set_seg.frame import Obstacle
from open_set_seg.label_spaces import UNKNOWN_NAME, LabelSpace

_UNMEASURED_VARIANCE = 1e6  # m^2: what the covariance says where nothing was measured


@dataclass(frozen=True)
class VisionMessages:
    """The classes of vision_msgs.msg that are used (or plain classes of the same fields)."""

    Detection3DArray: Any
    Detection3D: Any
    ObjectHypothesisWithPose: Any
    LabelInfo: Any
    VisionClass: Any


def import_vision_messages() -> VisionMessages | None:
    """vision_msgs where it is installed (LabelInfo came with 4.1), else None."""
    try:
        from vision_msgs import msg
    except ImportError:
        return None
    names = VisionMessages.__dataclass_fields__
    if not all(hasattr(msg, name) for name in names):
        return None
    return VisionMessages(**{name: getattr(msg, name) for name in names})


def build_label_info(
    classes: VisionMessages, header: Any, space: LabelSpace, threshold: float
) -> Any:
    """vision_msgs/LabelInfo: names of all ids of ``~/segmentation``, unknown included."""
    names = [*space.classes, UNKNOWN_NAME]
    message = classes.LabelInfo()
    message.header = header
    message.class_map = [_build_class(classes, i, name) for i, name in enumerate(names)]
    message.threshold = float(threshold)
    return message


def _build_class(classes: VisionMessages, number: int, name: str) -> Any:
    entry = classes.VisionClass()
    entry.class_id, entry.class_name = number, name
    return entry


def build_detections(classes: VisionMessages, header: Any, obstacles: tuple[Obstacle, ...]) -> Any:
    """vision_msgs/Detection3DArray, also for no obstacle at all.

    Positions of unknown distance are NaN; sigma^2 of the distance is the covariance of z.
    """
    message = classes.Detection3DArray()
    message.header = header
    message.detections = [_build_detection(classes, header, entry) for entry in obstacles]
    return message


def _build_detection(classes: VisionMessages, header: Any, obstacle: Obstacle) -> Any:
    detection = classes.Detection3D()
    detection.header = header
    detection.id = str(obstacle.id)
    hypothesis = classes.ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = obstacle.kind
    hypothesis.hypothesis.score = float(obstacle.mean_score)
    _place(hypothesis.pose.pose, obstacle)
    hypothesis.pose.covariance = _covariance(obstacle)
    detection.results = [hypothesis]
    _place(detection.bbox.center, obstacle)
    detection.bbox.size.x = float(obstacle.width)
    detection.bbox.size.y = float(obstacle.height)
    detection.bbox.size.z = 0.0  # only the near face is seen
    return detection


def _place(pose: Any, obstacle: Obstacle) -> None:
    pose.position.x, pose.position.y, pose.position.z = (float(v) for v in obstacle.position)
    pose.orientation.w = 1.0


def _covariance(obstacle: Obstacle) -> list[float]:
    """6 x 6, row by row: x and y follow z along the viewing ray; rotation is not measured."""
    covariance = [0.0] * 36
    z, sigma = obstacle.position[2], obstacle.distance_sigma
    known = z > 0 and sigma >= 0  # false for NaN
    for i in range(3):
        for j in range(3):
            share = obstacle.position[i] * obstacle.position[j] / z**2 if known else float(i == j)
            covariance[6 * i + j] = share * (sigma**2 if known else _UNMEASURED_VARIANCE)
        covariance[6 * (i + 3) + i + 3] = _UNMEASURED_VARIANCE
    return covariance
