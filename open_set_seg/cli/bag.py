"""``open-set-seg bag``: recordings (rosbag2), without a ROS installation."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from open_set_seg.cli import bag_extract, bag_play
from open_set_seg.cli.bag_sources import SOURCES

HELP = "make recordings (rosbag2) of stored data sets, and play them"
DESCRIPTION = "Works on recordings (rosbag2: MCAP or SQLite) without a ROS installation."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs within the verb."""
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for name, source in SOURCES.items():
        verb = verbs.add_parser(name, help=source.help, description=source.description)
        source.add_arguments(verb)
        verb.set_defaults(run_bag=source.run)
    play = verbs.add_parser("play", help=bag_play.HELP, description=bag_play.DESCRIPTION)
    bag_play.add_arguments(play)
    play.set_defaults(run_bag=bag_play.run)
    extract = verbs.add_parser(
        "extract", help=bag_extract.HELP, description=bag_extract.DESCRIPTION
    )
    bag_extract.add_arguments(extract)
    extract.set_defaults(run_bag=bag_extract.run)


def run(options: argparse.Namespace) -> int:
    """Run the verb within the verb."""
    chosen: Callable[[argparse.Namespace], int] = options.run_bag
    return chosen(options)
