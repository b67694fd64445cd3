"""Messages of an open recording -> frames."""

from __future__ import annotations

import logging
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rosbags.highlevel import AnyReader

from open_set_seg.bags.writing import BagError
from open_set_seg.frame import Camera, DepthMap, DisparityMap, Frame, ImageRGB, Problem
from open_set_seg.messages import (
    NANOSECONDS,
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

LOGGER = logging.getLogger(__name__)
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"


@dataclass(frozen=True)
class FrameTopics:
    """Topics that make up frames; those that a recording lacks are done without, ``image`` aside.

    Attributes:
        depth: used where the recording has no ``disparity``.
    """

    image: str = "/image"
    camera_info: str = "/camera_info"
    disparity: str = "/disparity"
    depth: str = "/depth"
    right_camera_info: str = "/right/camera_info"


@dataclass(frozen=True, eq=False)
class BagFrame:
    """A frame of a recording, and where it is in it.

    Attributes:
        number: of the image in the recording, from 0.
        stamp_ns: of the image.
        time_ns: when the image was recorded.
        frame: None where the image cannot be decoded.
        problems: what could not be used of the messages that make up the frame.
    """

    number: int
    stamp_ns: int
    time_ns: int
    frame: Frame | None
    problems: tuple[Problem, ...] = ()


def header_stamp(cdr: bytes) -> int:
    """Stamp in nanoseconds of a serialised message that begins with a header."""
    # The byte after the first tells the byte order of what follows the 4 bytes of encapsulation.
    seconds, nanoseconds = struct.unpack_from("<iI" if cdr[1] & 1 else ">iI", cdr, 4)
    return int(seconds) * NANOSECONDS + int(nanoseconds)


class FrameDecoder:
    """Turns the messages of an open recording into frames."""

    def __init__(self, bag: AnyReader, topics: FrameTopics) -> None:
        self._bag = bag
        self._types = {c.topic: c.msgtype for c in bag.connections}
        if topics.image not in self._types:
            held = ", ".join(sorted(f"{t} ({k})" for t, k in self._types.items())) or "nothing"
            raise BagError(f"no image topic {topics.image} in the recording; it holds {held}")
        self.image_topic = topics.image
        self.range_topic = topics.disparity if topics.disparity in self._types else topics.depth
        self._has_disparity = topics.disparity in self._types
        self._reported: set[str] = set()
        self._problems: list[Problem] = []
        self._cameras = self._read_cameras(topics.camera_info)
        self._right = self._read_right_camera(topics.right_camera_info)

    def stamps(self, topic: str) -> list[int]:
        """Header stamps of a topic's messages in nanoseconds, in the order of the recording."""
        return [header_stamp(cdr) for _, _, cdr in self._records(topic)]

    def frames(self, partners: Sequence[int | None]) -> Iterator[BagFrame]:
        """Yield the frames, given each image's index into the range messages."""
        needed = {partner for partner in partners if partner is not None}
        last_read, ranges = -1, self._records(self.range_topic)
        waiting: dict[int, bytes] = {}
        images = zip(self._records(self.image_topic), partners, strict=True)
        for number, ((_, time_ns, cdr), partner) in enumerate(images):
            while partner is not None and last_read < partner:
                last_read += 1
                record = next(ranges)[2]
                if last_read in needed:
                    waiting[last_read] = record
            range_cdr = waiting.pop(partner) if partner is not None else None
            self._problems.clear()
            frame = self._frame(cdr, range_cdr)
            yield BagFrame(number, header_stamp(cdr), time_ns, frame, tuple(self._problems))

    def _records(self, topic: str) -> Iterator[tuple[Any, int, bytes]]:
        connections = [c for c in self._bag.connections if c.topic == topic]
        return self._bag.messages(connections) if connections else iter(())

    def _frame(self, image_cdr: bytes, range_cdr: bytes | None) -> Frame | None:
        message = self._bag.deserialize(image_cdr, self._types[self.image_topic])
        stamp_ns = header_stamp(image_cdr)
        try:
            image = self._decode_image(message)
        except MessageError as error:
            self._report(error, stamp_ns)
            return None
        camera = self._camera_at(stamp_ns, image)
        return Frame(
            image=image,
            stamp_ns=stamp_ns,
            frame_id=message.header.frame_id,
            camera=camera,
            range_input=self._decode_range(range_cdr, camera, stamp_ns),
            right_baseline=self._right[1] if self._right else None,
        )

    def _decode_image(self, message: Any) -> ImageRGB:
        if self._types[self.image_topic] == COMPRESSED_IMAGE:
            return decode_compressed_image(message)
        return decode_image(message)

    def _decode_range(
        self, cdr: bytes | None, camera: Camera | None, stamp_ns: int
    ) -> DisparityMap | DepthMap | None:
        if cdr is None:
            return None
        message = self._bag.deserialize(cdr, self._types[self.range_topic])
        try:
            if not self._has_disparity:
                return decode_depth(message)
            disparity = decode_disparity(message)
        except MessageError as error:
            self._report(error, stamp_ns)
            return None
        if camera is None or self._right is None:
            return disparity
        return shift_limits(disparity, camera, self._right[0])

    def _camera_at(self, stamp_ns: int, image: ImageRGB) -> Camera | None:
        if not self._cameras:
            return None
        stamps = [stamp for stamp, _ in self._cameras]
        before = bisect_left(stamps, stamp_ns + 1) - 1
        try:
            return fit_camera(self._cameras[max(0, before)][1], image.shape[1], image.shape[0])
        except MessageError as error:
            self._report(error, stamp_ns)
            return None

    def _read_cameras(self, topic: str) -> list[tuple[int, Camera]]:
        cameras = []
        for connection, _, cdr in self._records(topic):
            try:
                camera = decode_camera(self._bag.deserialize(cdr, connection.msgtype))
            except MessageError as error:
                self._report(error, header_stamp(cdr))
            else:
                cameras.append((header_stamp(cdr), camera))
        return sorted(cameras, key=lambda item: item[0])

    def _read_right_camera(self, topic: str) -> tuple[Camera, float] | None:
        for connection, _, cdr in self._records(topic):
            try:
                return decode_right_camera(self._bag.deserialize(cdr, connection.msgtype))
            except MessageError as error:
                self._report(error, header_stamp(cdr))
        return None

    def _report(self, error: MessageError, stamp_ns: int) -> None:
        self._problems.append(Problem(error.code, str(error), "error"))
        if error.code not in self._reported:
            self._reported.add(error.code)
            LOGGER.warning("at %.3f s: %s (said once)", stamp_ns / NANOSECONDS, error)
