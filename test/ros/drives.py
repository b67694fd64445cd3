"""A tiny drive and listeners for the tests of what publishes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import contextmanager

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile

from open_set_seg.frame import Camera, DisparityMap
from open_set_seg.simulation import StereoFrame, StereoRig

DEADLINE_S = 30.0
WIDTH, HEIGHT = 24, 16
RIG = StereoRig(Camera(WIDTH, HEIGHT, 30.0, 31.0, 11.5, 7.25), 0.22)


def make_frame(number: int) -> StereoFrame:
    """Noise in every channel, so that any mix-up shows."""
    random = np.random.default_rng(number)
    values = random.uniform(0.5, 20, (HEIGHT, WIDTH)).astype(np.float32)
    return StereoFrame(
        stamp_ns=number * 100_000_000,
        left=random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8),
        right=random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8),
        labels=random.integers(0, 13, (HEIGHT, WIDTH), dtype=np.uint8),
        disparity=values,
        sensor_disparity=DisparityMap(values, 30.0, 0.22, 0.0, 63.0, 0.0625),
        rig=RIG,
        obstacles=(),
    )


def make_drive(frames: int) -> list[StereoFrame]:
    return [make_frame(number) for number in range(frames)]


class Listener:
    """Subscribes and keeps (arrival time, message) by topic."""

    def __init__(self, node, executor) -> None:
        self.node, self._executor = node, executor
        self.heard: dict[str, list] = {}

    def subscribe(self, kind, topic, raw=False, qos=None) -> None:
        heard = self.heard[topic] = []
        self.node.create_subscription(
            kind,
            topic,
            lambda message: heard.append((time.monotonic(), message)),
            qos or QoSProfile(depth=50),
            raw=raw,
        )

    def messages(self, topic) -> list:
        return [message for _, message in self.heard[topic]]

    def spin_until(self, done: Callable[[], bool], deadline_s: float = DEADLINE_S) -> bool:
        end = time.monotonic() + deadline_s
        while not done():
            if time.monotonic() > end:
                return False
            self._executor.spin_once(timeout_sec=0.02)
        return True


@contextmanager
def listening():
    """A listener in a context of its own."""
    context = rclpy.Context()
    rclpy.init(context=context)
    executor = SingleThreadedExecutor(context=context)
    node = rclpy.create_node(f"listener_{os.getpid()}", context=context)
    executor.add_node(node)
    try:
        yield Listener(node, executor)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
