"""Plain classes with the fields of vision_msgs 4.1, which has no wheel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from std_msgs.msg import Header

from open_set_seg.ros.messages import VisionMessages


@dataclass
class Point:
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0


@dataclass
class Quaternion(Point):
    w: float = 1.0


@dataclass
class Pose:
    position: Point = field(default_factory=Point)
    orientation: Quaternion = field(default_factory=Quaternion)


@dataclass
class PoseWithCovariance:
    pose: Pose = field(default_factory=Pose)
    covariance: list[float] = field(default_factory=lambda: [0.0] * 36)


@dataclass
class Hypothesis:
    class_id: str = ""
    score: float = 0.0


@dataclass
class ObjectHypothesisWithPose:
    hypothesis: Hypothesis = field(default_factory=Hypothesis)
    pose: PoseWithCovariance = field(default_factory=PoseWithCovariance)


@dataclass
class BoundingBox3D:
    center: Pose = field(default_factory=Pose)
    size: Point = field(default_factory=Point)


@dataclass
class Detection3D:
    header: Any = None
    results: list = field(default_factory=list)
    bbox: BoundingBox3D = field(default_factory=BoundingBox3D)
    id: str = ""


@dataclass
class Detection3DArray:
    header: Any = None
    detections: list = field(default_factory=list)


@dataclass
class VisionClass:
    class_id: int = 0
    class_name: str = ""


@dataclass
class LabelInfo:
    header: Any = field(default_factory=Header)
    class_map: list = field(default_factory=list)
    threshold: float = 0.0


VISION = VisionMessages(
    Detection3DArray, Detection3D, ObjectHypothesisWithPose, LabelInfo, VisionClass
)
