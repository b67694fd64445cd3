"""Options of ``calibrate`` that say what the threshold is for and what the frames are."""

from __future__ import annotations

import argparse

from open_set_seg.cli.frame_options import (
    add_network_arguments,
    add_range_arguments,
    add_topic_arguments,
)


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    """Network and configuration."""
    group = parser.add_argument_group("what the threshold will be used with")
    add_network_arguments(group)
    group.add_argument("--no-ground", action="store_true", help="alarms off the road count too")
    group.add_argument("--min-area-px", type=int, metavar="N", help="of an obstacle, pixels")
    group.add_argument("--min-area-m2", type=float, metavar="A", help="of an obstacle, m^2")
    group.add_argument(
        "--min-blind-area-px", type=int, metavar="N", help="of an obstacle without range"
    )
    group.add_argument("--no-opening", action="store_true", help="keep threads and specks")


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Ranges of pictures, sizes of scenes, topics of recordings."""
    add_range_arguments(parser, "ranges of pictures, as for detect")
    parser.add_argument(
        "--size", default="1024x512", metavar="WxH", help="of rendered scenes (1024x512)"
    )
    add_topic_arguments(parser)
