"""How faithfully a recording is played: lateness, loss, and the rate that is held.

    python -m benchmarks.playback
    python -m benchmarks.playback --seconds 60 --name playback

A drive of the simulation becomes recordings of both images, calibration and disparity at 10 Hz,
with and without compression. A player process plays each at the recorded pace and as fast as it
can; this process listens, once reliably and once best effort, as the detector does. A recording is
taken out of the page cache before it is played.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from stereo_msgs.msg import DisparityImage

from benchmarks.machine import ROOT, save_result
from open_set_seg.bags import BagWriter, building, topics
from open_set_seg.bags.replay import ReplayReport, ReplaySettings, ReplayStatus
from open_set_seg.ros import replay
from open_set_seg.ros.isolation import isolated_environment, isolated_node
from open_set_seg.simulation import VALIDATION_SEEDS, DriveConfig, StereoFrame, render_drive

RATE_HZ = 10.0
START_NS = 10**18
PLAYED = {
    topics.IMAGE: Image,
    topics.CAMERA_INFO: CameraInfo,
    topics.RIGHT_IMAGE: Image,
    topics.DISPARITY: DisparityImage,
}
# name of a case: compression, rate (100: as fast as it can), and whether a thread reads ahead
CASES: dict[str, tuple[str, float, bool]] = {
    "recorded_pace": ("none", 1.0, True),
    "recorded_pace_no_thread": ("none", 1.0, False),
    "recorded_pace_compressed": ("chunk", 1.0, True),
    "recorded_pace_compressed_no_thread": ("chunk", 1.0, False),
    "as_fast_as_possible": ("none", 100.0, True),
    "as_fast_as_possible_no_thread": ("none", 100.0, False),
}
STARTING_S = 60.0
LISTENING_S = 2.0  # after the player has ended


def main() -> None:
    """Measure and write the result."""
    options = _parse()
    if options.play:
        print(json.dumps(_play(options.play, options.rate, options.thread)))
        return
    with tempfile.TemporaryDirectory() as folder:
        bags = _record(options, Path(folder))
        cases = {name: _measure(bags[case[0]], case) for name, case in CASES.items()}
    result = {
        "what": "playback",
        "size": [options.width, options.height],
        "seconds": options.seconds,
        "recorded_hz": RATE_HZ,
        "topics": list(PLAYED),
        "cases": cases,
    }
    save_result(ROOT / "benchmarks" / "results" / f"{options.name}.json", result)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--frames", type=int, default=8, help="rendered; they repeat")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the recording")
    parser.add_argument("--name", default="playback", help="of the result file")
    parser.add_argument("--play", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--thread", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _record(options: argparse.Namespace, folder: Path) -> dict[str, Path]:
    print(f"rendering {options.frames} frames")
    config = DriveConfig(
        seed=VALIDATION_SEEDS[0], frames=options.frames, rate_hz=2.0,
        width=options.width, height=options.height, right=True,
    )  # fmt: skip
    drive = render_drive(config)
    bags = {}
    for compression in sorted({case[0] for case in CASES.values()}):
        bags[compression] = folder / compression
        with BagWriter(bags[compression], compression=compression) as writer:  # type: ignore[arg-type]
            for number in range(round(options.seconds * RATE_HZ)):
                _write(writer, drive[number % len(drive)], number)
    return bags


def _write(writer: BagWriter, frame: StereoFrame, number: int) -> None:
    now, frame_id = START_NS + round(number * 1e9 / RATE_HZ), "camera"
    assert frame.right is not None
    writer.write(topics.IMAGE, now, building.image(frame.left, now, frame_id))
    writer.write(topics.RIGHT_IMAGE, now, building.image(frame.right, now, frame_id))
    writer.write(topics.CAMERA_INFO, now, building.camera_info(frame.rig.camera, now, frame_id))
    measured = building.disparity_image(frame.sensor_disparity, now, frame_id)
    writer.write(topics.DISPARITY, now + 30_000_000, measured)


class Silent:
    """Hears of a replay and says nothing."""

    def begin(self, keys: bool) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""

    def show(self, status: ReplayStatus) -> None:
        """Nothing."""

    def finish(self, report: ReplayReport) -> None:
        """Nothing."""


class Unhurried:
    """Stands for ``ReadAhead`` without a thread."""

    def __init__(self, items: Iterator[Any], *_: Any) -> None:
        self._items = items

    def __enter__(self) -> Iterator[Any]:
        return self._items

    def __exit__(self, *_: object) -> None:
        pass


def _play(bag: Path, rate: float, thread: bool) -> dict[str, Any]:
    """What the child process does: play, and say how it went."""
    rclpy.init()
    settings = ReplaySettings(str(bag), rate=rate, wait_for_subscribers_s=STARTING_S)
    with nullcontext() if thread else mock.patch.object(replay, "ReadAhead", Unhurried):
        report = replay.Replay(rclpy.create_node("player"), settings, Silent()).play()
    rclpy.try_shutdown()
    late = report.lateness
    return {
        "published": dict(report.published),
        "held": report.held,
        "late_ms": {
            "p50": late.quantile(0.5) * 1e3,
            "p95": late.quantile(0.95) * 1e3,
            "max": late.largest_s * 1e3,
        },
        "messages_per_second": report.messages_per_second,
        "rate_held": report.rate_held,
    }


def _measure(bag: Path, case: tuple[str, float, bool]) -> dict[str, Any]:
    for path in bag.iterdir():
        _forget(path)
    environment = isolated_environment(domain_id=1 + os.getpid() % 100)
    command = [sys.executable, "-m", "benchmarks.playback", "--play", str(bag)]
    command += ["--rate", str(case[1]), *(["--thread"] if case[2] else [])]
    with isolated_node("listener", environment) as (node, spin):
        heard: dict[str, Counter[str]] = {"reliable": Counter(), "best_effort": Counter()}
        for topic, kind in PLAYED.items():
            for name, policy in (
                ("reliable", ReliabilityPolicy.RELIABLE),
                ("best_effort", ReliabilityPolicy.BEST_EFFORT),
            ):
                _listen(node, kind, topic, policy, heard[name])
        with _child(command, environment) as player:
            while player.poll() is None:
                spin()
            end = time.monotonic() + LISTENING_S
            while time.monotonic() < end:
                spin()
            report: dict[str, Any] = json.loads(player.communicate()[0].splitlines()[-1])
    published = sum(report["published"].values())
    report["lost_by_listener"] = {k: published - sum(v.values()) for k, v in heard.items()}
    return report


def _listen(
    node: Any, kind: Any, topic: str, policy: ReliabilityPolicy, heard: Counter[str]
) -> None:
    def count(_: bytes) -> None:
        heard[topic] += 1

    qos = QoSProfile(depth=10, reliability=policy)
    node.create_subscription(kind, topic, count, qos, raw=True)


@contextmanager
def _child(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}, cwd=ROOT
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def _forget(path: Path) -> None:
    """Take a file out of the page cache, so that it is read from the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
