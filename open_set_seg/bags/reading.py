"""Reading rosbag2 recordings without a ROS installation: a recording becomes frames."""

from __future__ import annotations

import logging
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader, AnyReaderError

from open_set_seg.bags.writing import TYPESTORE, BagError
from open_set_seg.frame import Camera, DepthMap, DisparityMap, Frame, ImageRGB
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


@contextmanager
def open_bag(path: Path | str) -> Iterator[AnyReader]:
    """Open a rosbag2 recording, of either storage, for reading.

    Raises:
        BagError: there is none, or it is not whole.
    """
    if Path(path).suffix == ".bag":
        raise BagError(f"{path} is a ROS 1 recording: convert it (rosbags-convert) first")
    try:
        reader = AnyReader([Path(path)], default_typestore=TYPESTORE)
        reader.open()
    except (AnyReaderError, OSError) as error:
        raise BagError(f"{path} is not a whole recording: {error}") from None
    try:
        yield reader
    finally:
        reader.close()


def read_messages(path: Path | str, topics: Sequence[str]) -> Iterator[tuple[str, int, Any]]:
    """Yield (topic, time of the record in nanoseconds, decoded message) in the order of time."""
    with open_bag(path) as bag:
        connections = [c for c in bag.connections if c.topic in topics]
        if not connections:
            return
        for connection, time_ns, cdr in bag.messages(connections):
            yield connection.topic, time_ns, bag.deserialize(cdr, connection.msgtype)


def count_messages(path: Path | str, topic: str) -> int:
    """How many messages of a topic a recording holds."""
    with open_bag(path) as bag:
        return sum(c.msgcount for c in bag.connections if c.topic == topic)


def read_frames(
    path: Path | str, topics: FrameTopics | None = None, tolerance_s: float = 0.0
) -> Iterator[Frame]:
    """Yield the frames of a recording, one an image, in the order of the images.

    Nothing is dropped: an image gets the disparity (or depth) of its own stamp, else the nearest
    one within the tolerance that no other image is nearer to, else none. The camera is that of the
    stamp, else the last one before the image, else the first one.

    A message that cannot be decoded is logged once for each kind of fault; without a usable image
    there is no frame, without a usable disparity the frame has no range.

    Args:
        tolerance_s: largest difference of stamps, seconds.

    Raises:
        BagError: not a whole recording, or no image topic in it.
    """
    topics = topics or FrameTopics()
    with open_bag(path) as bag:
        decoder = _Decoder(bag, topics)
        partners = match_stamps(
            decoder.stamps(decoder.image_topic),
            decoder.stamps(decoder.range_topic),
            round(tolerance_s * NANOSECONDS),
        )
        yield from decoder.frames(partners)


def match_stamps(
    images: Sequence[int], ranges: Sequence[int], tolerance_ns: int
) -> list[int | None]:
    """For each image the index of its range message, or None; no range is given away twice.

    Equal stamps come first (with a stamp that occurs several times, as in a looped recording, the
    first image takes the first message). Then an image takes the nearest free message within the
    tolerance, nearest pairs first.
    """
    by_stamp: dict[int, list[int]] = {}
    for index in reversed(range(len(ranges))):
        by_stamp.setdefault(ranges[index], []).append(index)
    partners: list[int | None] = [
        by_stamp[stamp].pop() if by_stamp.get(stamp) else None for stamp in images
    ]
    free = sorted((stamp, index) for stamp, indices in by_stamp.items() for index in indices)
    candidates = sorted(
        (abs(stamp - images[image]), image, index)
        for image, partner in enumerate(partners)
        if partner is None
        for stamp, index in free[
            bisect_left(free, (images[image] - tolerance_ns, -1)) : bisect_left(
                free, (images[image] + tolerance_ns + 1, -1)
            )
        ]
    )
    taken: set[int] = set()
    for _, image, index in candidates:
        if partners[image] is None and index not in taken:
            partners[image] = index
            taken.add(index)
    return partners


def header_stamp(cdr: bytes) -> int:
    """Stamp in nanoseconds of a serialised message that begins with a header."""
    # The byte after the first tells the byte order of what follows the 4 bytes of encapsulation.
    seconds, nanoseconds = struct.unpack_from("<iI" if cdr[1] & 1 else ">iI", cdr, 4)
    return int(seconds) * NANOSECONDS + int(nanoseconds)


class _Decoder:
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
        self._cameras = self._read_cameras(topics.camera_info)
        self._right = self._read_right_camera(topics.right_camera_info)

    def stamps(self, topic: str) -> list[int]:
        """Header stamps of a topic's messages in nanoseconds, in the order of the recording."""
        return [header_stamp(cdr) for _, _, cdr in self._records(topic)]

    def frames(self, partners: Sequence[int | None]) -> Iterator[Frame]:
        """Yield the frames, given each image's index into the range messages."""
        needed = {partner for partner in partners if partner is not None}
        last_read, ranges = -1, self._records(self.range_topic)
        waiting: dict[int, bytes] = {}
        for (_, _, cdr), partner in zip(self._records(self.image_topic), partners, strict=True):
            while partner is not None and last_read < partner:
                last_read += 1
                record = next(ranges)[2]
                if last_read in needed:
                    waiting[last_read] = record
            range_cdr = waiting.pop(partner) if partner is not None else None
            frame = self._frame(cdr, range_cdr)
            if frame is not None:
                yield frame

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
        if error.code not in self._reported:
            self._reported.add(error.code)
            LOGGER.warning("at %.3f s: %s (said once)", stamp_ns / NANOSECONDS, error)
