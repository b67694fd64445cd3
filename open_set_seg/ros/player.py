"""ROS 2 executable `player`: plays a rosbag2 recording where `ros2 bag play` is not installed.

Messages go out as they were recorded (their bytes are not touched, nor are their stamps), at the
pace at which they were recorded.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from rosbags.interfaces import Connection, QosDurability
from rosgraph_msgs.msg import Clock

from open_set_seg.bags import BagError, open_bag
from open_set_seg.messages import NANOSECONDS
from open_set_seg.ros.parameters import Parameter, ParameterError
from open_set_seg.ros.playback import Pacer, declare_settings, run_executable

QUEUE_DEPTH = 10
CLOCK_PERIOD_S = 0.01


_row = partial(Parameter, live=False)
PARAMETERS = (
    _row("bag", "", "Folder of the rosbag2 recording."),
    _row("rate", 1.0, "How many times faster than recorded.", 0.01, 100.0),
    _row("loop", False, "Start again after the last message."),
    _row("start_offset", 0.0, "Seconds of the recording to skip.", 0.0, 1e6),
    _row("clock", False, "Publish the recording's time on /clock, for nodes with use_sim_time."),
    _row("topics", (), "Topics to play; empty: all."),
    _row("wait_for_subscribers_s", 30.0, "Longest wait for a first subscriber, s.", 0.0, 3600.0),
)


@dataclass(frozen=True)
class Settings:
    """Values of ``PARAMETERS``, which says what each means."""

    bag: str
    rate: float
    loop: bool
    start_offset: float
    clock: bool
    topics: tuple[str, ...]
    wait_for_subscribers_s: float

    def __post_init__(self) -> None:
        if not self.bag:
            raise ParameterError("bag names no recording (-p bag:=FOLDER)")


class Player:
    """Publishes the messages of a recording through a node.

    Raises:
        ParameterError: a given parameter of a wrong type or out of its range.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.settings = declare_settings(node, PARAMETERS, Settings)
        self._pacer = Pacer(node)
        self._clock = node.create_publisher(Clock, "/clock", 1) if self.settings.clock else None

    def play(self) -> int:
        """Play the recording; returns the number of messages published.

        Raises:
            BagError: no whole recording, or none of the wanted topics can be played.
        """
        settings = self.settings
        with open_bag(settings.bag) as bag:
            publishers = {
                connection.topic: publisher
                for connection in bag.connections
                if not settings.topics or connection.topic in settings.topics
                if (publisher := self._create_publisher(connection)) is not None
            }
            if not publishers:
                raise BagError(f"{settings.bag} holds none of the topics to play")
            self._pacer.wait_for_any_subscriber(
                publishers.values(), settings.wait_for_subscribers_s
            )
            connections = [c for c in bag.connections if c.topic in publishers]
            first = bag.start_time + round(settings.start_offset * NANOSECONDS)
            published = self._play_round(bag, connections, publishers, first)
            while settings.loop and published:
                published += self._play_round(bag, connections, publishers, first)
            self._pacer.deliver(publishers.values())
        return published

    def _play_round(
        self,
        bag: Any,
        connections: list[Connection],
        publishers: dict[str, Publisher],
        first_ns: int,
    ) -> int:
        start, published = time.monotonic(), 0
        now_ns = first_ns
        for connection, stamp_ns, cdr in bag.messages(connections, start=first_ns):
            while now_ns < stamp_ns:  # in steps, so that the clock runs between messages too
                step = round(CLOCK_PERIOD_S * NANOSECONDS * self.settings.rate)
                now_ns = min(stamp_ns, now_ns + step) if self._clock else stamp_ns
                due = start + (now_ns - first_ns) / NANOSECONDS / self.settings.rate
                self._pacer.wait_until(due)
                if self._clock:
                    self._clock.publish(Clock(clock=Time(nanoseconds=now_ns).to_msg()))
            publishers[connection.topic].publish(bytes(cdr))
            published += 1
        return published

    def _create_publisher(self, connection: Connection) -> Publisher | None:
        package, _, name = connection.msgtype.split("/")
        try:
            message_class = getattr(importlib.import_module(f"{package}.msg"), name)
        except (ImportError, AttributeError):
            self._node.get_logger().warning(
                f"{connection.topic} is left out: {connection.msgtype} is not installed"
            )
            return None
        offered = getattr(connection.ext, "offered_qos_profiles", [])
        latched = any(qos.durability == QosDurability.TRANSIENT_LOCAL for qos in offered)
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        qos = QoSProfile(depth=QUEUE_DEPTH, durability=durability)
        return self._node.create_publisher(message_class, connection.topic, qos)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the player; 0 after the last message or SIGINT or SIGTERM, 2 for a wrong recording."""

    def play() -> None:
        node = rclpy.create_node("player")
        player = Player(node)
        node.get_logger().info(f"playing {player.settings.bag}")
        node.get_logger().info(f"published {player.play()} messages")

    return run_executable("player", play, arguments)


if __name__ == "__main__":
    sys.exit(main())
