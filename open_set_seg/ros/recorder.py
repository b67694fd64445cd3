"""Recording live topics into a rosbag2 without rosbag2: what arrives is written as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message

from open_set_seg.bags import BagWriter, header_stamp

QUEUE_DEPTH = 50


class Recorder:
    """Writes every message of its topics, serialised as it came, at the time it was published.

    Attributes:
        counts: messages by topic so far.
    """

    def __init__(self, node: Node, bag: BagWriter) -> None:
        self._node, self._bag = node, bag
        self._newest: dict[str, tuple[Any, bytes]] = {}
        self.counts: Counter[str] = Counter()

    def subscribe(self, topics: Mapping[str, Any]) -> None:
        """Begin to record topics, given with their message classes."""
        for topic, kind in topics.items():
            package, _, _ = kind.__module__.partition(".")
            self._subscribe(topic, kind, f"{package}/msg/{kind.__name__}")

    def newest_stamp(self, topic: str) -> int | None:
        """Header stamp of a topic's newest message in nanoseconds; None before the first."""
        return header_stamp(self._newest[topic][1]) if topic in self._newest else None

    def newest(self, topic: str) -> Any:
        """The newest message of a topic, decoded; None before the first."""
        if topic not in self._newest:
            return None
        kind, cdr = self._newest[topic]
        return deserialize_message(cdr, kind)

    def _subscribe(self, topic: str, kind: Any, type_name: str) -> None:
        def write(cdr: bytes, info: Mapping[str, int]) -> None:
            self._bag.write_cdr(topic, type_name, info["source_timestamp"], cdr)
            self._newest[topic] = (kind, cdr)
            self.counts[topic] += 1

        # Reliable, so that nothing is missing from the recording; every publisher that a demo or
        # a benchmark starts is reliable.
        qos = QoSProfile(depth=QUEUE_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
        self._node.create_subscription(kind, topic, write, qos, raw=True)
