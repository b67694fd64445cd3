"""Recordings (rosbag2: MCAP or SQLite) written and read without a ROS installation."""

from open_set_seg.bags.decoding import BagFrame, FrameTopics, header_stamp
from open_set_seg.bags.reading import (
    count_messages,
    match_stamps,
    open_bag,
    open_frames,
    read_frames,
    read_messages,
)
from open_set_seg.bags.writing import TYPESTORE, BagError, BagWriter

__all__ = [
    "TYPESTORE",
    "BagError",
    "BagFrame",
    "BagWriter",
    "FrameTopics",
    "count_messages",
    "header_stamp",
    "match_stamps",
    "open_bag",
    "open_frames",
    "read_frames",
    "read_messages",
]
