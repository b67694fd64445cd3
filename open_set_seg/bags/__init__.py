"""Recordings (rosbag2: MCAP or SQLite) written and read without a ROS installation."""

from open_set_seg.bags.reading import (
    FrameTopics,
    count_messages,
    header_stamp,
    match_stamps,
    open_bag,
    read_frames,
    read_messages,
)
from open_set_seg.bags.writing import TYPESTORE, BagError, BagWriter

__all__ = [
    "TYPESTORE",
    "BagError",
    "BagWriter",
    "FrameTopics",
    "count_messages",
    "header_stamp",
    "match_stamps",
    "open_bag",
    "read_frames",
    "read_messages",
]
