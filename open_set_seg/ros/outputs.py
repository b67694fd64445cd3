"""The node's publishers: results become messages only for topics that somebody listens to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from open_set_seg.drawing import draw_heatmap, draw_overlay
from open_set_seg.frame import Frame, FrameResult, Obstacle, Problem
from open_set_seg.free_ground import FreeGroundConfig
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.ros.messages import (
    VisionMessages,
    build_bgr,
    build_clearing_points,
    build_confidence,
    build_detections,
    build_image,
    build_jpeg,
    build_label_info,
    build_markers,
    build_obstacle_list,
    build_obstacle_points,
    build_points,
    build_scaled_camera_info,
    place_cloud,
    place_detections,
    place_markers,
)
from open_set_seg.ros.qos import allow_overrides
from open_set_seg.ros.settings import Settings
from open_set_seg.ros.transforms import OutputFrame, RigidTransform
from open_set_seg.ros.watching import build_visibility
from open_set_seg.tracking import TrackedObstacle

if TYPE_CHECKING:
    from open_set_seg.observer import Observation

DIAGNOSTICS = "/diagnostics"
LABEL_INFO = "~/label_info"
DETECTIONS = "~/obstacles"
VISIBILITY = "~/visibility"


TOPICS: dict[str, Any] = {
    "~/segmentation": Image,
    "~/confidence": Image,
    "~/anomaly": Image,
    "~/anomaly/heatmap": Image,
    "~/overlay": Image,
    "~/overlay/compressed": CompressedImage,
    "~/obstacles/list": PointCloud2,
    "~/obstacles/points": PointCloud2,
    "~/obstacles/clearing": PointCloud2,
    "~/obstacles/markers": MarkerArray,
    "~/points": PointCloud2,
    "~/camera_info": CameraInfo,
    VISIBILITY: DiagnosticArray,
    DIAGNOSTICS: DiagnosticArray,
}

# What ``target_frame`` moves.
_PLACERS = {
    DETECTIONS: place_detections,
    "~/obstacles/list": place_cloud,
    "~/obstacles/points": place_cloud,
    "~/obstacles/clearing": place_cloud,
    "~/obstacles/markers": place_markers,
    "~/points": place_cloud,
}


@dataclass(frozen=True, eq=False)
class Publication:
    """One frame on its way out.

    Attributes:
        header: the image's header, which every output carries: its stamp always, its frame unless
            ``target_frame`` puts obstacles and points elsewhere.
        camera_message: the CameraInfo that the frame was processed with, or None.
    """

    header: Any
    frame: Frame
    observation: Observation
    camera_message: Any
    label_space: LabelSpace
    settings: Settings

    @property
    def result(self) -> FrameResult:
        """Of the detector, with ids and states."""
        return self.observation.result

    def marked(self) -> FrameResult:
        """The result with the obstacles alone that a costmap shall mark."""
        if self.settings.watching.marked_states == "all":
            return self.result
        return replace(self.result, obstacles=tuple(filter(_is_believed, self.result.obstacles)))

    def scaled(self, pixels: NDArray[Any], interpolation: int) -> NDArray[Any]:
        """``pixels`` (H, W[, C]) at the published size."""
        scale = self.settings.output_scale
        if scale == 1.0:
            return pixels
        height, width = pixels.shape[:2]
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(pixels, size, interpolation=interpolation))


class Outputs:
    """Creates the publishers and fills the messages."""

    def __init__(self, node: Node, vision: VisionMessages | None) -> None:
        self._node, self._vision = node, vision
        self._publishers: dict[str, Any] = {}
        self._frame = OutputFrame()
        self._transform: RigidTransform | None = None

    def open(self, frame: OutputFrame | None = None) -> None:
        """Create all publishers: reliable, depth 1, which suits every subscriber.

        Args:
            frame: in which geometry goes out; None: the images'.
        """
        self._frame = frame or OutputFrame()
        for topic, kind in TOPICS.items():
            self._publishers[topic] = self._create(kind, topic, DurabilityPolicy.VOLATILE)
        if self._vision is not None:
            latched = DurabilityPolicy.TRANSIENT_LOCAL
            self._publishers[LABEL_INFO] = self._create(self._vision.LabelInfo, LABEL_INFO, latched)
            self._publishers[DETECTIONS] = self._create(
                self._vision.Detection3DArray, DETECTIONS, DurabilityPolicy.VOLATILE
            )

    def close(self) -> None:
        """Destroy all publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()

    def wanted(self, topic: str) -> bool:
        """Whether somebody listens to a topic."""
        publisher = self._publishers.get(topic)
        return publisher is not None and publisher.get_subscription_count() > 0

    def publish(self, item: Publication) -> Problem | None:
        """Everything that one frame gives, for topics with listeners: obstacles first.

        What an empty list is worth goes out before the list, and whether somebody listens or not:
        no list is ever without it.

        Returns:
            why obstacles and points could not be put into the target frame, or None.
        """
        found = self._frame.find(item.header.frame_id, item.result.stamp_ns)
        self._transform = found if isinstance(found, RigidTransform) else None
        name = self._node.get_fully_qualified_name()
        self._send(VISIBILITY, build_visibility(item.header, name, item.observation))
        self._publish_obstacles(item)
        self._publish_images(item)
        self._publish_geometry(item)
        self._publish_pictures(item)
        return found if isinstance(found, Problem) else None

    def publish_label_info(self, stamp: Any, space: LabelSpace, threshold: float) -> None:
        """Class names and threshold; latched, and repeated for listeners that are not."""
        publisher = self._publishers.get(LABEL_INFO)
        if publisher is None or self._vision is None:
            return
        header = self._vision.LabelInfo().header
        header.stamp = stamp
        publisher.publish(build_label_info(self._vision, header, space, threshold))

    def publish_diagnostics(self, message: Any) -> None:
        """A DiagnosticArray."""
        if DIAGNOSTICS in self._publishers:
            self._publishers[DIAGNOSTICS].publish(message)

    def _publish_images(self, item: Publication) -> None:
        prediction, send = item.result.prediction, self._send
        if self.wanted("~/segmentation"):
            labels = item.scaled(prediction.labels, cv2.INTER_NEAREST)
            send("~/segmentation", build_image(item.header, labels, "mono8"))
        wanted = [t for t in ("~/confidence", "~/anomaly", "~/anomaly/heatmap") if self.wanted(t)]
        if not wanted:
            return
        anomaly = item.scaled(prediction.anomaly, cv2.INTER_AREA)
        if "~/confidence" in wanted:
            send("~/confidence", build_confidence(item.header, anomaly))
        if "~/anomaly" in wanted:
            send("~/anomaly", build_image(item.header, anomaly, "32FC1"))
        if "~/anomaly/heatmap" in wanted:
            send("~/anomaly/heatmap", build_bgr(item.header, draw_heatmap(anomaly)))

    def _publish_pictures(self, item: Publication) -> None:
        raw, compressed = self.wanted("~/overlay"), self.wanted("~/overlay/compressed")
        if not raw and not compressed:
            return
        drawn = draw_overlay(item.frame.image, item.result, item.label_space)
        overlay = item.scaled(drawn, cv2.INTER_AREA)
        if raw:
            self._send("~/overlay", build_bgr(item.header, overlay))
        if compressed:
            jpeg = build_jpeg(item.header, overlay, item.settings.jpeg_quality)
            self._send("~/overlay/compressed", jpeg)

    def _publish_obstacles(self, item: Publication) -> None:
        """Obstacle topics. A frame that was not examined gives none: empty would mean clear."""
        result, unknown = item.result, item.label_space.unknown_id
        if not result.examined:
            return
        if self._vision is not None and self.wanted(DETECTIONS):
            message = build_detections(self._vision, item.header, result.obstacles)
            self._send(DETECTIONS, message)
        if self.wanted("~/obstacles/list"):
            message = build_obstacle_list(item.header, result.obstacles, unknown)
            self._send("~/obstacles/list", message)
        if self.wanted("~/obstacles/markers"):
            self._send("~/obstacles/markers", build_markers(item.header, result.obstacles))
        placeable = result.range_map is not None and result.camera is not None
        if (placeable or not result.obstacles) and self.wanted("~/obstacles/points"):
            message = build_obstacle_points(item.header, item.marked(), unknown)
            self._send("~/obstacles/points", message)
        if placeable and self.wanted("~/obstacles/clearing"):
            config = FreeGroundConfig(robot_rows=item.settings.robot_rows)
            message = build_clearing_points(item.header, result, item.label_space, config)
            self._send("~/obstacles/clearing", message)

    def _publish_geometry(self, item: Publication) -> None:
        result, camera = item.result, item.result.camera
        if camera is None:
            return
        published = camera
        if item.settings.output_scale != 1.0:
            labels = item.scaled(result.prediction.labels, cv2.INTER_NEAREST)
            published = camera.scaled(labels.shape[1], labels.shape[0])
            if item.camera_message is not None and self.wanted("~/camera_info"):
                message = build_scaled_camera_info(item.camera_message, published, item.header)
                self._send("~/camera_info", message)
        if result.range_map is not None and self.wanted("~/points"):
            depth = item.scaled(result.range_map.depth, cv2.INTER_NEAREST)
            self._send("~/points", build_points(item.header, depth, published))

    def _send(self, topic: str, message: Any) -> None:
        if self._transform is not None and topic in _PLACERS:
            message = _PLACERS[topic](message, self._transform, self._frame.target)
        self._publishers[topic].publish(message)

    def _create(self, kind: Any, topic: str, durability: DurabilityPolicy) -> Any:
        return self._node.create_publisher(
            kind,
            topic,
            QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=durability),
            qos_overriding_options=allow_overrides(),
        )


def _is_believed(obstacle: Obstacle) -> bool:
    """Confirmed, or without a state because nothing is tracked."""
    return not isinstance(obstacle, TrackedObstacle) or obstacle.state == "confirmed"
