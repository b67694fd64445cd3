"""Reading rosbag2 recordings without a ROS installation: a recording becomes frames."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader

from open_set_seg.bags.decoding import BagFrame, FrameDecoder, FrameTopics
from open_set_seg.bags.writing import TYPESTORE, BagError
from open_set_seg.frame import Frame
from open_set_seg.messages import NANOSECONDS


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
    # Damaged bytes reach decompressors, SQLite and the library's own parser: anything comes.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BagError(f"{path} is not a whole recording: {reason}") from None
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
    with open_frames(path, topics, tolerance_s) as (_, frames):
        yield from (each.frame for each in frames if each.frame is not None)


@contextmanager
def open_frames(
    path: Path | str, topics: FrameTopics | None = None, tolerance_s: float = 0.0
) -> Iterator[tuple[list[int], Iterator[BagFrame]]]:
    """Open a recording's frames: the stamps of all images, and the frames as ``read_frames``.

    An image that cannot be decoded is among them, without a frame.

    Raises:
        BagError: as ``read_frames``.
    """
    with open_bag(path) as bag:
        decoder = FrameDecoder(bag, topics or FrameTopics())
        stamps = decoder.stamps(decoder.image_topic)
        ranges = decoder.stamps(decoder.range_topic)
        partners = match_stamps(stamps, ranges, round(tolerance_s * NANOSECONDS))
        yield stamps, decoder.frames(partners)


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
