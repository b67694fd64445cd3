"""What the executables that publish recorded or rendered data share: settings, pacing, the end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import rclpy
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions

from open_set_seg.resources import find_resource
from open_set_seg.ros.parameters import Parameter

SettingsType = TypeVar("SettingsType")

# How long a wait may keep Python from seeing a signal.
LONGEST_SPIN_S = 0.05
DELIVERY_S = 0.5
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
# Subscriptions of one node are discovered one after the other.
SETTLING_S = 0.5


def declare_settings(
    node: Node, table: Sequence[Parameter], kind: Callable[..., SettingsType]
) -> SettingsType:
    """Declare the parameters of a table, read only, and make the settings of their values.

    Raises:
        ParameterError: a given value of a wrong type or out of its range.
    """
    values = {}
    for row in table:
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        given = node.declare_parameter(row.name, default, row.describe()).value
        values[row.name] = row.convert(given)
    return kind(**values)


class Pacer:
    """Waits for moments and for subscribers while the node goes on answering."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)

    def wait_until(self, due: float) -> None:
        """Spin until ``time.monotonic()`` reaches ``due``; at once where that is past."""
        while (remaining := due - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(remaining, LONGEST_SPIN_S))

    def attend(self) -> None:
        """Answer what waits for an answer, without waiting for more."""
        self._executor.spin_once(timeout_sec=0)

    def wait_for_subscribers(
        self, publishers: Iterable[Publisher], wanted: int, timeout_s: float
    ) -> None:
        """Spin until each publisher has ``wanted`` subscribers; warn and go on at the deadline."""
        publishers = list(publishers)
        if not self._spin_while(
            lambda: any(p.get_subscription_count() < wanted for p in publishers), timeout_s
        ):
            self._warn_of_starting(f"fewer than {wanted} subscribers", timeout_s)

    def wait_for_any_subscriber(self, publishers: Iterable[Publisher], timeout_s: float) -> None:
        """Spin until some publisher has a subscriber, and a moment longer for those beside it."""
        publishers = list(publishers)
        if self._spin_while(
            lambda: not any(p.get_subscription_count() for p in publishers), timeout_s
        ):
            self._settle(publishers)
        else:
            self._warn_of_starting("no subscriber", timeout_s)

    def _settle(self, publishers: Sequence[Publisher]) -> None:
        """Spin until no subscriber has come or gone for a moment."""
        counts, since = [0], time.monotonic()
        while time.monotonic() < since + SETTLING_S:
            now = [publisher.get_subscription_count() for publisher in publishers]
            if now != counts:
                counts, since = now, time.monotonic()
            self._executor.spin_once(timeout_sec=LONGEST_SPIN_S)

    def _spin_while(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while condition():
            if time.monotonic() >= deadline:
                return False
            self._executor.spin_once(timeout_sec=LONGEST_SPIN_S)
        return True

    def _warn_of_starting(self, reason: str, timeout_s: float) -> None:
        self._node.get_logger().warning(f"{reason} after {timeout_s:g} s: publishing anyway")

    def deliver(self, publishers: Iterable[Publisher]) -> None:
        """Give reliable subscribers time to take the last messages before the publishers go.

        An acknowledgement may be seconds late although everything has arrived, so this is short.
        """
        deadline = time.monotonic() + DELIVERY_S
        for publisher in publishers:
            remaining = max(0.0, deadline - time.monotonic())
            publisher.wait_for_all_acked(Duration(nanoseconds=round(remaining * 1e9)))


def take_large_messages() -> None:
    """Let Fast DDS carry whole images in shared memory, unless the user has a profile already.

    Without it most large messages that are published best effort are lost; see
    config/fastdds.xml.
    """
    if not any(os.environ.get(name) for name in PROFILE_VARIABLES):
        os.environ[PROFILE_VARIABLES[0]] = str(find_resource("config/fastdds.xml"))


def run_executable(name: str, play: Callable[[], None], arguments: Sequence[str] | None) -> int:
    """Run the body of an executable between ``rclpy.init`` and shutdown.

    Returns:
        The exit code: 0 at the end and after SIGINT or SIGTERM; 2 with one line on stderr where
        ``play`` raises ``ValueError`` or ``OSError`` (wrong parameters, missing files).
    """
    # Signals stay Python's: they must also end work during which nothing spins. SIGINT is named
    # too, because a child of a shell's background job inherits that it is ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        take_large_messages()
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        play()
    except KeyboardInterrupt:
        return 0
    except (ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    finally:
        # A terminal and a launch file may both send SIGINT: the second must not break this.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        rclpy.try_shutdown()
    return 0
