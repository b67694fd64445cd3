"""ROS 2 executable `player`: plays a rosbag2 recording where `ros2 bag play` is not installed.

Messages go out as they were recorded (their bytes are not touched, nor are their stamps unless
`restamp` asks for it), at the pace at which they were recorded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

import rclpy
from rclpy.node import Node

from open_set_seg.bags.replay import Keyboard, ReplayReport, ReplaySettings, ReplayStatus
from open_set_seg.ros.parameters import Parameter, ParameterError, convert_values
from open_set_seg.ros.playback import declare_settings, run_executable
from open_set_seg.ros.replay import HIGHEST_RATE, LOWEST_RATE, Replay, Watcher

_row = partial(Parameter, live=False)
PARAMETERS = (
    _row("bag", "", "Folder of the rosbag2 recording."),
    _row("rate", 1.0, "How many times faster than recorded.", LOWEST_RATE, HIGHEST_RATE),
    _row("loop", False, "Start again after the last message."),
    _row("start_offset", 0.0, "Seconds of the recording to skip.", 0.0, 1e6),
    _row("duration", 0.0, "Seconds of the recording to play; 0: to its end.", 0.0, 1e6),
    _row(
        "clock_hz", 0.0, "How often the recording's time is published on /clock, for nodes with "
        "use_sim_time; 0: never.", 0.0, 1000.0,
    ),
    _row("topics", (), "Topics to play; empty: all."),
    _row("start_paused", False, "Wait for ~/pause or the space key before the first message."),
    _row("restamp", False, "Move header stamps to the time at which they are played."),
    _row("wait_for_subscribers_s", 10.0, "Longest wait for a first subscriber, s.", 0.0, 3600.0),
)  # fmt: skip


def make_settings(**values: object) -> ReplaySettings:
    """Settings of values by name, in the types and ranges of ``PARAMETERS``.

    Raises:
        ParameterError: a wrong type, out of range, or two values that exclude each other.
    """
    settings = ReplaySettings(**convert_values(PARAMETERS, values))
    if not settings.bag:
        raise ParameterError("bag names no recording (-p bag:=FOLDER)")
    if settings.clock_hz and settings.restamp:
        raise ParameterError(
            "clock_hz and restamp exclude each other: nodes follow either the recording's time on "
            "/clock, or the time of this machine, which new stamps are of"
        )
    return settings


class LogWatcher:
    """Tells of a replay in a node's log."""

    def __init__(self, node: Node, bag: str) -> None:
        self._logger, self._bag = node.get_logger(), bag

    def begin(self, keys: bool) -> None:
        """With the name of the recording."""
        self._logger.info(f"playing {self._bag}" + (f": {Keyboard.HELP}" if keys else ""))

    def warn(self, text: str) -> None:
        """As a warning."""
        self._logger.warning(text)

    def show(self, status: ReplayStatus) -> None:
        """Logs are no place for progress."""

    def finish(self, report: ReplayReport) -> None:
        """With every line of the report."""
        for line in report.lines():
            self._logger.info(line)


def run_player(
    program: str,
    prepare: Callable[[Node], tuple[ReplaySettings, Watcher]],
    arguments: Sequence[str] | None,
) -> int:
    """Play a recording in this process through a node of its own, called ``player``.

    Args:
        program: name in error messages.
        prepare: gives what to play, and who hears of it.
        arguments: of ROS (``--ros-args ...``); None: those of this process.

    Returns:
        0 after the last message or SIGINT or SIGTERM, 2 for a wrong recording.
    """

    def play() -> None:
        node = rclpy.create_node("player")
        settings, watcher = prepare(node)
        with Keyboard() as keyboard:
            watcher.begin(keyboard.active)
            replay = Replay(node, settings, watcher, keyboard.commands)
            try:
                replay.play()
            finally:
                watcher.finish(replay.report)

    return run_executable(program, play, arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the player as an executable that is told what to do by parameters."""

    def prepare(node: Node) -> tuple[ReplaySettings, Watcher]:
        settings = declare_settings(node, PARAMETERS, make_settings)
        return settings, LogWatcher(node, settings.bag)

    return run_player("player", prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
