"""Publishers of a recording's topics, latched where they were."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.interfaces import Connection

from open_set_seg.bags import BagError
from open_set_seg.bags.replay import QUEUE_DEPTH, Section, latched_depth
from open_set_seg.ros.qos import allow_overrides


class RecordedTopics:
    """One publisher for each topic of a section; those that cannot be played leave the section.

    Publishers are reliable, which suits subscribers that want that and those that do not.

    Args:
        left_out: gets the topics that are not played, with the reason.

    Raises:
        BagError: nothing remains to be played.
    """

    def __init__(self, node: Node, section: Section, left_out: dict[str, str]) -> None:
        left_out |= dict.fromkeys(section.missing, "not in the recording")
        self._publishers: dict[tuple[str, str], Publisher] = {}
        for connection in section.connections:
            kind = _find_class(connection.msgtype)
            if kind is None:
                left_out[connection.topic] = f"{connection.msgtype} is not installed"
                continue
            key = connection.topic, connection.msgtype
            if key not in self._publishers:
                self._publishers[key] = _create_publisher(node, kind, connection)
        if not self._publishers:
            types = sorted({c.msgtype for c in section.connections})
            raise BagError(f"no type of the topics to play is installed: {', '.join(types)}")
        section.leave_out(left_out)

    @property
    def publishers(self) -> Collection[Publisher]:
        """All of them."""
        return self._publishers.values()

    def publish(self, connection: Connection, cdr: bytes) -> None:
        """Publish a serialised message of a topic."""
        self._publishers[connection.topic, connection.msgtype].publish(cdr)


def _find_class(type_name: str) -> Any:
    package, _, name = type_name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError):
        return None


def _create_publisher(node: Node, kind: Any, connection: Connection) -> Publisher:
    latched = latched_depth(connection)
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return node.create_publisher(
        kind,
        connection.topic,
        QoSProfile(depth=latched or QUEUE_DEPTH, durability=durability),
        qos_overriding_options=allow_overrides(),
    )
