"""How many camera messages are lost on the way, with and without the shipped DDS profile.

    python -m benchmarks.transport --duration 60

A simulator process publishes noise at 1024x2048, 10 Hz; this process listens as the detector does
(best effort) and counts the stamps that are missing. Writes benchmarks/results/transport.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from stereo_msgs.msg import DisparityImage

from benchmarks.machine import ROOT, save_result
from open_set_seg.bags import header_stamp, topics
from open_set_seg.frame import Camera, DisparityMap
from open_set_seg.ros.isolation import isolated_environment, isolated_node
from open_set_seg.ros.processes import Executable
from open_set_seg.simulation import StereoFrame, StereoRig, save_drive

PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
TOPICS = {topics.IMAGE: Image, topics.DISPARITY: DisparityImage}
STARTING_S = 60.0
QUEUE_DEPTH = 5  # the detector's


class Counter:
    """Counts messages, and how late after their stamp they arrive."""

    def __init__(self, node: Any, topic: str, kind: Any) -> None:
        self.stamps: list[int] = []
        self.delays_ms: list[float] = []
        qos = QoSProfile(depth=QUEUE_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        node.create_subscription(kind, topic, self._on_message, qos, raw=True)

    def result(self, sent: range, period_ns: float) -> dict[str, Any]:
        """Messages of the frames ``sent`` (by number since the first stamp) that did not arrive."""
        first = self.stamps[0] if self.stamps else 0
        numbers = {round((stamp - first) / period_ns) for stamp in self.stamps}
        lost = len(sent) - len(numbers & set(sent))
        p50, p95 = np.percentile(self.delays_ms or [np.nan], (50, 95)).tolist()
        return {"sent": len(sent), "lost": lost, "delay_ms": {"p50": p50, "p95": p95}}

    def _on_message(self, cdr: bytes) -> None:
        stamp = header_stamp(cdr)
        self.stamps.append(stamp)
        self.delays_ms.append(time.time() * 1e3 - stamp * 1e-6)


def main() -> None:
    """Measure all four combinations and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--duration", type=float, default=30.0, help="seconds for each")
    parser.add_argument("--name", default="transport", help="of the result file")
    options = parser.parse_args()
    os.environ.pop(PROFILE, None)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        save_drive([_noise(options, seed) for seed in range(3)], Path(folder) / "drive")
        for with_profile in (True, False):
            for reliable in (True, False):
                measured = _measure(options, Path(folder), with_profile, reliable)
                results.append({"profile": with_profile, "reliable": reliable, **measured})
                print(results[-1])
    save_result(
        ROOT / "benchmarks" / "results" / f"{options.name}.json",
        {"what": "transport", **vars(options), "results": results},
    )


def _noise(options: argparse.Namespace, seed: int) -> StereoFrame:
    random = np.random.default_rng(seed)
    shape = (options.height, options.width)
    camera = Camera(*shape[::-1], 2000.0, 2000.0, shape[1] / 2, shape[0] / 2)
    values = random.uniform(1, 100, shape).astype(np.float32)
    return StereoFrame(
        stamp_ns=seed,
        left=random.integers(0, 256, (*shape, 3), dtype=np.uint8),
        right=None,
        labels=np.zeros(shape, np.uint8),
        disparity=values,
        sensor_disparity=DisparityMap(values, 2000.0, 0.2),
        rig=StereoRig(camera, 0.2),
        obstacles=(),
    )


def _measure(
    options: argparse.Namespace, folder: Path, with_profile: bool, reliable: bool
) -> dict[str, Any]:
    environment = isolated_environment(domain_id=1 + os.getpid() % 100)
    if not with_profile:
        del environment[PROFILE]
    camera = Executable(
        "open_set_seg.ros.simulator",
        {
            "drive": folder / "drive",
            "rate_hz": options.rate,
            "reliable": reliable,
            "loop": True,
            "right": False,
        },
        environment,
        folder / "simulator.log",
    )
    period_ns = 1e9 / options.rate
    with isolated_node("counter", environment) as (node, spin):
        counters = {topic: Counter(node, topic, kind) for topic, kind in TOPICS.items()}
        with camera:
            _spin_until_first(spin, camera, counters)
            end = time.monotonic() + options.duration
            while time.monotonic() < end:
                spin()
                camera.check()
    # The last frames may still have been under way when it ended.
    sent = range(int(options.duration * options.rate) - 2)
    return {topic: counter.result(sent, period_ns) for topic, counter in counters.items()}


def _spin_until_first(spin: Any, camera: Executable, counters: dict[str, Counter]) -> None:
    deadline = time.monotonic() + STARTING_S
    while not any(counter.stamps for counter in counters.values()):
        spin()
        camera.check()
        if time.monotonic() > deadline:
            raise SystemExit(f"no message arrived within {STARTING_S:g} s")


if __name__ == "__main__":
    main()
