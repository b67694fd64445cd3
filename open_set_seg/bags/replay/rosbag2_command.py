"""The command of ROS's own player for what our player is asked to do."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence


def find_rosbag2() -> bool:
    """Whether ``ros2 bag play`` is installed here."""
    return shutil.which("ros2") is not None and importlib.util.find_spec("ros2bag") is not None


def rosbag2_command(
    bag: str,
    *,
    rate: float = 1.0,
    loop: bool = False,
    start_offset: float = 0.0,
    duration: float = 0.0,
    clock_hz: float = 0.0,
    topics: Sequence[str] = (),
    start_paused: bool = False,
) -> list[str]:
    """``ros2 bag play`` with the meanings of our player's parameters.

    It neither waits for subscribers nor writes new stamps.
    """
    # The recording comes first: behind --topics it would be taken for one.
    command = ["ros2", "bag", "play", bag, "--rate", f"{rate:g}"]
    command += ["--loop"] if loop else []
    command += ["--start-offset", f"{start_offset!r}"] if start_offset else []
    command += ["--playback-duration", f"{duration!r}"] if duration else []
    command += ["--clock", f"{clock_hz:g}"] if clock_hz else []
    command += ["--start-paused"] if start_paused else []
    command += ["--topics", *topics] if topics else []
    return command
