"""Talking to processes of our own over DDS and to nobody else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from open_set_seg.resources import find_resource

STEP_S = 0.05


def isolated_environment(domain_id: int) -> dict[str, str]:
    """Variables that keep DDS on this machine, in a domain of its own, able to carry images."""
    return {
        "ROS_DOMAIN_ID": str(domain_id),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(find_resource("config/fastdds.xml")),
    }


@contextmanager
def isolated_node(
    name: str, environment: Mapping[str, str]
) -> Iterator[tuple[Node, Callable[[], None]]]:
    """A node in a context of its own under an environment, and a function that spins it once."""
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    context = rclpy.Context()
    try:
        rclpy.init(
            context=context,
            domain_id=int(environment["ROS_DOMAIN_ID"]),
            signal_handler_options=SignalHandlerOptions.NO,
        )
        node = rclpy.create_node(name, context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        try:
            yield node, lambda: executor.spin_once(timeout_sec=STEP_S)
        finally:
            executor.shutdown()
            node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.update({key: value})
