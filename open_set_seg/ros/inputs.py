"""The node's subscriptions, and how a complete frame is made of their messages."""

from __future__ import annotations

import posixpath
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from stereo_msgs.msg import DisparityImage

from open_set_seg.frame import Camera, DisparityMap, Frame, Problem
from open_set_seg.messages import decode_stamp
from open_set_seg.ros.messages import (
    MessageError,
    decode_camera,
    decode_compressed_image,
    decode_depth,
    decode_disparity,
    decode_image,
    decode_right_camera,
    fit_camera,
    shift_limits,
)
from open_set_seg.ros.pairing import Pair
from open_set_seg.ros.qos import allow_overrides
from open_set_seg.ros.settings import Settings
from open_set_seg.ros.statistics import RateWindow
from open_set_seg.ros.worker import FrameSlot

# Best effort hears every publisher. Callbacks only enqueue, so a few messages are enough; one
# would lose frames when a burst arrives while Python is busy elsewhere.
_IMAGE_DEPTH = 5
_INFO_DEPTH = 1


class Input:
    """One subscription with what is known about it."""

    def __init__(self, name: str, kind: Any, required: bool) -> None:
        self.name = name
        self.kind = kind
        self.required = required
        self.subscription: Any = None
        self.arrivals = RateWindow()
        self.errors: Counter[str] = Counter()
        self.last_stamp_ns: int | None = None

    @property
    def topic(self) -> str:
        """Resolved topic name."""
        return str(self.subscription.topic_name)

    def note_arrival(self, message: Any) -> int:
        """Count a message; returns its stamp in nanoseconds."""
        stamp = decode_stamp(message)
        self.arrivals.add(time.monotonic())
        self.last_stamp_ns = stamp
        return stamp


class Inputs:
    """Subscribes, enqueues, and decodes what the slot hands back.

    ``decode`` runs in the inference thread, so frames that are dropped cost no decoding.
    """

    def __init__(self, node: Node, slot: FrameSlot[Any, Any], settings: Settings) -> None:
        self._node, self._slot = node, slot
        self._camera_info: Any = None
        self._right_info: Any = None
        compressed = settings.image_transport == "compressed"
        self._decode_pixels = decode_compressed_image if compressed else decode_image
        self._range_source = settings.range_source
        self.image = Input("image", CompressedImage if compressed else Image, required=True)
        self.camera_info = Input("camera_info", CameraInfo, required=True)
        self.right_info = Input("right/camera_info", CameraInfo, required=False)
        self.range: Input | None = None
        self.all = [self.image, self.camera_info]
        if self._range_source != "none":
            kind = DisparityImage if self._range_source == "disparity" else Image
            self.range = Input(self._range_source, kind, required=True)
            self.all.append(self.range)
        if self._range_source == "disparity":
            self.all.append(self.right_info)

    def subscribe(self) -> None:
        """Start listening."""
        base = self._node.resolve_topic_name("image")
        image_topic = f"{base}/compressed" if self.image.kind is CompressedImage else "image"
        self._listen(self.image, image_topic, self._on_image, _IMAGE_DEPTH)
        self._listen(self.camera_info, self._camera_info_topic(base), self._on_info, _INFO_DEPTH)
        if self.range is not None:
            self._listen(self.range, self.range.name, self._on_range, _IMAGE_DEPTH)
        if self.right_info in self.all:
            self._listen(self.right_info, self.right_info.name, self._on_right_info, _INFO_DEPTH)

    def unsubscribe(self) -> None:
        """Stop listening."""
        for entry in self.all:
            if entry.subscription is not None:
                self._node.destroy_subscription(entry.subscription)
                entry.subscription = None

    @property
    def camera_message(self) -> Any:
        """The newest CameraInfo, or None."""
        return self._camera_info

    def collect(self, pair: Pair[Any, Any]) -> dict[str, Any]:
        """The messages that a pair's frame is made of, by input; None for what is not there."""
        messages = {
            self.image.name: pair.image,
            self.camera_info.name: self._camera_info,
            self.right_info.name: self._right_info,
        }
        if self.range is not None:
            messages[self.range.name] = pair.range
        return messages

    def decode(self, pair: Pair[Any, Any]) -> tuple[Frame, tuple[Problem, ...]]:
        """The frame of a pair, with what is wrong with everything but its image.

        Raises:
            MessageError: the image itself cannot be used.
        """
        try:
            image = self._decode_pixels(pair.image)
        except MessageError as error:
            self.image.errors[error.code] += 1
            raise
        frame = Frame(
            image=image,
            stamp_ns=decode_stamp(pair.image),
            frame_id=pair.image.header.frame_id,
        )
        problems: list[Problem] = []
        height, width = image.shape[:2]
        camera = self._attempt(
            self.camera_info,
            self._camera_info,
            lambda msg: fit_camera(decode_camera(msg), width, height),
            problems,
        )
        right = self._attempt(self.right_info, self._right_info, decode_right_camera, problems)
        frame = replace(frame, camera=camera, right_baseline=right[1] if right else None)
        if self.range is None or pair.range is None:
            return frame, tuple(problems)
        decode_range = decode_disparity if self._range_source == "disparity" else decode_depth
        measured = self._attempt(self.range, pair.range, decode_range, problems)
        if isinstance(measured, DisparityMap) and camera is not None and right is not None:
            measured = shift_limits(measured, camera, _fit_right(right[0], camera))
        return replace(frame, range_input=measured), tuple(problems)

    def _attempt(
        self,
        source: Input,
        message: Any,
        decode: Callable[[Any], Any],
        problems: list[Problem],
    ) -> Any:
        if message is None:
            return None
        try:
            return decode(message)
        except MessageError as error:
            source.errors[error.code] += 1
            problems.append(Problem(error.code, str(error), "error"))
            return None

    def _listen(
        self, entry: Input, topic: str, callback: Callable[[Any], None], depth: int
    ) -> None:
        entry.subscription = self._node.create_subscription(
            entry.kind,
            topic,
            callback,
            QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=allow_overrides(),
        )

    def _camera_info_topic(self, image_topic: str) -> str:
        """``camera_info``; beside the image where only the image was remapped."""
        node = self._node
        moved = image_topic != node.resolve_topic_name("image", only_expand=True)
        stayed = node.resolve_topic_name("camera_info") == node.resolve_topic_name(
            "camera_info", only_expand=True
        )
        if moved and stayed:
            return posixpath.join(posixpath.dirname(image_topic), "camera_info")
        return "camera_info"

    def _on_image(self, message: Any) -> None:
        self._slot.add_image(self.image.note_arrival(message), message)

    def _on_range(self, message: Any) -> None:
        assert self.range is not None
        self._slot.add_range(self.range.note_arrival(message), message)

    def _on_info(self, message: Any) -> None:
        self.camera_info.note_arrival(message)
        self._camera_info = message

    def _on_right_info(self, message: Any) -> None:
        self.right_info.note_arrival(message)
        self._right_info = message


def _fit_right(right: Camera, left: Camera) -> Camera:
    if (right.width, right.height) == (left.width, left.height):
        return right
    return right.scaled(left.width, left.height)
