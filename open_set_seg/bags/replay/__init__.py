"""Replaying recordings, as far as no ROS is needed: what is due when, and how well it went."""

from open_set_seg.bags.replay.keyboard import Command, Keyboard, parse_keys
from open_set_seg.bags.replay.lateness import Lateness
from open_set_seg.bags.replay.read_ahead import ReadAhead
from open_set_seg.bags.replay.report import BEHIND_S, ReplayReport, ReplaySettings, ReplayStatus
from open_set_seg.bags.replay.restamping import HeaderPlaces, Restamper
from open_set_seg.bags.replay.rosbag2_command import find_rosbag2, rosbag2_command
from open_set_seg.bags.replay.sections import QUEUE_DEPTH, Record, Section, latched_depth
from open_set_seg.bags.replay.timeline import Timeline

__all__ = [
    "BEHIND_S",
    "QUEUE_DEPTH",
    "Command",
    "HeaderPlaces",
    "Keyboard",
    "Lateness",
    "ReadAhead",
    "Record",
    "ReplayReport",
    "ReplaySettings",
    "ReplayStatus",
    "Restamper",
    "Section",
    "Timeline",
    "find_rosbag2",
    "latched_depth",
    "parse_keys",
    "rosbag2_command",
]
