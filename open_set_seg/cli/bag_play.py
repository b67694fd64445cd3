"""``open-set-seg bag play``: publishes a recording on ROS topics, without rosbag2."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from open_set_seg.bags.replay import ReplayReport, ReplayStatus

HELP = "publish a recording on ROS topics"
DESCRIPTION = (
    "Publishes a recording on ROS topics at the pace at which it was recorded; needs rclpy, no "
    "rosbag2. On a terminal SPACE pauses and goes on, the right arrow plays the next message, up "
    "and down change the rate; the service ~/pause (std_srvs/SetBool) pauses as well."
)
CLOCK_HZ = 40.0  # as ros2 bag play --clock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb, named as those of ``ros2 bag play``."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="the recording: folder or file")
    parser.add_argument(
        "-r", "--rate", type=float, default=1.0, metavar="X",
        help="how many times faster than recorded; default: 1",
    )  # fmt: skip
    parser.add_argument("-l", "--loop", action="store_true", help="start again after the end")
    parser.add_argument(
        "--start-offset", type=float, default=0.0, metavar="S", help="seconds to skip; default: 0"
    )
    parser.add_argument(
        "--playback-duration", type=float, default=0.0, metavar="S",
        help="seconds of the recording to play; default: all",
    )  # fmt: skip
    parser.add_argument(
        "--clock", type=float, nargs="?", const=CLOCK_HZ, default=0.0, metavar="HZ",
        help=f"publish the recording's time on /clock, this often (default: {CLOCK_HZ:g}) and "
        "before each message",
    )  # fmt: skip
    parser.add_argument("--topics", nargs="+", default=[], metavar="TOPIC", help="default: all")
    parser.add_argument(
        "-m", "--remap", nargs="+", default=[], metavar="OLD:=NEW", help="names of topics to change"
    )
    parser.add_argument("-p", "--start-paused", action="store_true", help="wait for SPACE first")
    parser.add_argument(
        "--restamp", action="store_true",
        help="move header stamps to the time at which they are played, so that nodes without "
        "use_sim_time take the messages for live ones; excludes --clock",
    )  # fmt: skip
    parser.add_argument(
        "--wait-for-subscribers", type=float, default=10.0, metavar="S",
        help="longest wait for a first subscriber; default: 10",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Play it; 0 at the end and after Ctrl-C, 2 after an error."""
    try:
        from open_set_seg.ros.player import make_settings, run_player
    except ModuleNotFoundError as error:
        raise ValueError(
            f"bag play needs ROS ({error.name} is missing): pip install 'open_set_seg[ros,bags]'"
        ) from None

    settings = make_settings(
        bag=str(options.bag),
        rate=options.rate,
        loop=options.loop,
        start_offset=options.start_offset,
        duration=options.playback_duration,
        clock_hz=options.clock,
        topics=options.topics,
        start_paused=options.start_paused,
        restamp=options.restamp,
        wait_for_subscribers_s=options.wait_for_subscribers,
    )
    arguments = _ros_arguments(options.remap)

    watcher = TerminalWatcher(sys.stdout, sys.stderr)
    return run_player("open-set-seg", lambda node: (settings, watcher), arguments)


class TerminalWatcher:
    """Tells of a replay on a terminal: one line that is written anew; elsewhere only warnings.

    Args:
        output: takes the report.
        stream: takes everything else.
    """

    def __init__(self, output: TextIO, stream: TextIO) -> None:
        self._output, self._stream = output, stream
        self._terminal = stream.isatty()
        self._begun = False

    def begin(self, keys: bool) -> None:
        """Say what the keys do."""
        if keys:
            from open_set_seg.bags.replay import Keyboard

            print(Keyboard.HELP, file=self._stream, flush=True)

    def warn(self, text: str) -> None:
        """A line of its own."""
        self._clear()
        print(f"warning: {text}", file=self._stream, flush=True)

    def show(self, status: ReplayStatus) -> None:
        """How far it is."""
        if self._terminal:
            self._clear()
            self._stream.write(describe(status))
            self._stream.flush()
            self._begun = True

    def finish(self, report: ReplayReport) -> None:
        """Leave the last line standing, and report."""
        if self._begun:
            print(file=self._stream)
            self._begun = False
        for line in report.lines():
            print(line, file=self._output)

    def _clear(self) -> None:
        if self._begun:
            self._stream.write("\r\x1b[K")
            self._begun = False


def describe(status: ReplayStatus) -> str:
    """How far a replay is, in a line."""
    held = "" if math.isnan(status.rate_held) else f" (held {status.rate_held:.2f})"
    parts = [
        f"{status.position_s:.1f} of {status.length_s:.1f} s",
        f"rate {status.rate:.2f}{held}",
        f"late by {status.behind_s * 1e3:.1f} ms",
    ]
    if status.rounds > 1:
        parts.append(f"round {status.rounds}")
    if status.paused:
        parts.append("PAUSED")
    return ", ".join(parts)


def _ros_arguments(rules: Sequence[str]) -> list[str]:
    arguments = ["--ros-args"] if rules else []
    for rule in rules:
        old, separator, new = rule.partition(":=")
        if not (separator and old and new):
            raise ValueError(f"--remap wants OLD:=NEW, not {rule!r}")
        arguments += ["-r", rule]
    return arguments
