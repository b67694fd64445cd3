"""``open-set-seg bag``: recordings (rosbag2), without a ROS installation."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from open_set_seg.cli import bag_extract, bag_play, bag_process, bag_report
from open_set_seg.cli.bag_sources import SOURCES

MODULES: dict[str, Any] = {
    "play": bag_play,
    "process": bag_process,
    "report": bag_report,
    "extract": bag_extract,
}
HELP = "make recordings (rosbag2) of stored data sets, play and process them"
DESCRIPTION = "Works on recordings (rosbag2: MCAP or SQLite) without a ROS installation."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs within the verb."""
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for name, source in SOURCES.items():
        verb = verbs.add_parser(name, help=source.help, description=source.description)
        source.add_arguments(verb)
        verb.set_defaults(run_bag=source.run)
    for name, module in MODULES.items():
        verb = verbs.add_parser(name, help=module.HELP, description=module.DESCRIPTION)
        module.add_arguments(verb)
        verb.set_defaults(run_bag=module.run)


def run(options: argparse.Namespace) -> int:
    """Run the verb within the verb."""
    chosen: Callable[[argparse.Namespace], int] = options.run_bag
    return chosen(options)
