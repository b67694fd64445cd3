"""ROS 2 executable `simulator`: publishes a rendered drive as a stereo camera driver would.

Rendering costs about a second an image, so the drive is rendered (or loaded) first, its messages
are built in memory, and only stamps change while it is published. The disparity follows its
image after a delay, as a matcher's does.
"""

from __future__ import annotations

import heapq
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal

import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from open_set_seg.ros.drive_messages import FrameMessages, build_messages, set_stamp
from open_set_seg.ros.parameters import Parameter
from open_set_seg.ros.playback import Pacer, declare_settings, run_executable
from open_set_seg.simulation import DriveConfig, StereoFrame, load_drive, render_drive

QUEUE_DEPTH = 5
# A disparity asks for its image's stamp this many frames later at most.
FRAMES_REMEMBERED = 1000


_row = partial(Parameter, live=False)
PARAMETERS = (
    _row("drive", "", "Folder of a saved drive; empty: render one ahead."),
    _row("seed", 1, "Seed of the drive that is rendered.", 0, 2**31 - 1),
    _row("frames", 40, "Frames of the drive that is rendered.", 1, 100_000),
    _row("width", 1024, "Width of the rendered images, px.", 16, 8192),
    _row("height", 512, "Height of the rendered images, px.", 16, 8192),
    _row("render_workers", 2, "Processes that render side by side.", 1, 256),
    _row("rate_hz", 10.0, "Frames a second.", 0.1, 1000.0),
    _row(
        "disparity_delay_ms", 30.0, "How much later than its image a disparity goes out, ms.",
        0.0, 10_000.0,
    ),
    _row("encoding", "rgb8", "Encoding of the colour images.", choices=("rgb8", "bgr8")),
    _row("right", True, "Publish the right image and its calibration too."),
    _row("truth", False, "Publish the true class ids on truth/labels."),
    _row("reliable", True, "Reliable publishers, as camera drivers have; false: best effort."),
    _row("loop", False, "Start again after the last frame."),
    _row(
        "loop_stamps", "continue", "Stamps after a loop: go on, or jump back to the first ones.",
        choices=("continue", "restart"),
    ),
    _row(
        "wait_for_subscribers", 1,
        "Do not start before image and disparity have this many subscribers.", 0, 100,
    ),
    _row("wait_for_subscribers_s", 30.0, "Start anyway after waiting this long, s.", 0.0, 3600.0),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Values of ``PARAMETERS``, which says what each means."""

    drive: str
    seed: int
    frames: int
    width: int
    height: int
    render_workers: int
    rate_hz: float
    disparity_delay_ms: float
    encoding: str
    right: bool
    truth: bool
    reliable: bool
    loop: bool
    loop_stamps: str
    wait_for_subscribers: int
    wait_for_subscribers_s: float


@dataclass(frozen=True)
class Event:
    """Something to publish.

    Attributes:
        due_s: seconds after the start.
        number: running number of the frame, over all rounds of a loop.
    """

    due_s: float
    number: int
    kind: Literal["image", "disparity"]


def schedule(frames: int, rate_hz: float, delay_s: float, loop: bool) -> Iterator[Event]:
    """What is published when: every image, and its disparity ``delay_s`` later, in time order."""

    def numbers() -> Iterator[int]:
        return count() if loop else iter(range(frames))

    images = (Event(n / rate_hz, n, "image") for n in numbers())
    disparities = (Event(n / rate_hz + delay_s, n, "disparity") for n in numbers())
    return heapq.merge(images, disparities, key=lambda event: event.due_s)


class Stamps:
    """Stamps of the frames: the clock's time at which each was published.

    Args:
        now_ns: reads the clock.
        round_length: if not 0, frames of later rounds take the stamps of the first round, as a
            looped recording's do.
    """

    def __init__(self, now_ns: Callable[[], int], round_length: int = 0) -> None:
        self._now_ns = now_ns
        self._round_length = round_length
        self._known: dict[int, int] = {}

    def of(self, number: int) -> int:
        """Stamp of a frame by its running number, nanoseconds; the same each time asked."""
        key = number % self._round_length if self._round_length else number
        if key not in self._known:
            self._known[key] = self._now_ns()
            if not self._round_length:
                self._known.pop(key - FRAMES_REMEMBERED, None)
        return self._known[key]


class Simulator:
    """Publishes a drive through a node.

    Raises:
        ParameterError: a given parameter of a wrong type or out of its range.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.settings = declare_settings(node, PARAMETERS, Settings)
        self._pacer = Pacer(node)

    def load(self) -> list[FrameMessages]:
        """Load or render the drive and build its messages."""
        settings = self.settings
        frames = load_drive(Path(settings.drive)) if settings.drive else self._render()
        return build_messages(frames, settings.encoding, settings.right, settings.truth)

    def play(self, drive: Sequence[FrameMessages]) -> int:
        """Publish the drive at its rate; returns the number of images published."""
        settings = self.settings
        publishers = {
            topic: self._create_publisher(topic, message)
            for topic, message in (*drive[0].at_once.items(), ("disparity", drive[0].disparity))
        }
        self._pacer.wait_for_subscribers(
            [publishers["image"], publishers["disparity"]],
            settings.wait_for_subscribers,
            settings.wait_for_subscribers_s,
        )
        stamps = Stamps(
            lambda: int(self._node.get_clock().now().nanoseconds),
            round_length=len(drive) if settings.loop_stamps == "restart" else 0,
        )
        delay_s = settings.disparity_delay_ms / 1000
        start = time.monotonic()
        published = 0
        for event in schedule(len(drive), settings.rate_hz, delay_s, settings.loop):
            self._pacer.wait_until(start + event.due_s)
            frame = drive[event.number % len(drive)]
            first = event.kind == "image"
            messages = frame.at_once if first else {"disparity": frame.disparity}
            for topic, message in messages.items():
                set_stamp(message, stamps.of(event.number))
                publishers[topic].publish(message)
            published += first
        self._pacer.deliver(publishers.values())
        return published

    def _render(self) -> list[StereoFrame]:
        settings = self.settings
        config = DriveConfig(
            seed=settings.seed,
            frames=settings.frames,
            rate_hz=settings.rate_hz,
            width=settings.width,
            height=settings.height,
            right=settings.right,
        )

        def report(done: int, total: int) -> None:
            print(f"rendering {done}/{total}", flush=True)

        return render_drive(config, workers=settings.render_workers, progress=report)

    def _create_publisher(self, topic: str, message: Any) -> Publisher:
        reliable = self.settings.reliable
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        return self._node.create_publisher(
            type(message),
            topic,
            QoSProfile(depth=QUEUE_DEPTH, reliability=reliability),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator; 0 after the last frame or SIGINT or SIGTERM, 2 for wrong parameters."""

    def play() -> None:
        node = rclpy.create_node("simulator")
        simulator = Simulator(node)
        drive = simulator.load()
        node.get_logger().info(f"publishing {len(drive)} frames")
        node.get_logger().info(f"published {simulator.play(drive)} frames")

    return run_executable("simulator", play, arguments)


if __name__ == "__main__":
    sys.exit(main())
