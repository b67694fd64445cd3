"""What the recorder of incidents costs: frames in memory, frames on disk, the detector beside.

    python -m benchmarks.recorder

Frames of a rendered drive go through the observer of the demo checkpoint and into the recorder as
the node hands them over, 10 a second by their stamps, in three ways in turn: without a recorder,
with frames that are only remembered, and while all of them are written. One detector process.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import rclpy

from benchmarks.machine import ROOT, save_result
from open_set_seg.bags.incidents import RecorderConfig
from open_set_seg.bags.writing import Compression
from open_set_seg.checkpoint import DEMO_CHECKPOINT
from open_set_seg.frame import Frame
from open_set_seg.observer import Observer
from open_set_seg.ros.drive_messages import FrameMessages as DriveMessages
from open_set_seg.ros.drive_messages import build_messages, set_stamp
from open_set_seg.ros.incidents import FrameMessages, Incidents
from open_set_seg.ros.outputs import Publication
from open_set_seg.ros.settings import Settings
from open_set_seg.simulation import VALIDATION_SEEDS, DriveConfig, StereoFrame, render_drive

WIDTH, HEIGHT = 1024, 512
PERIOD_NS = 100_000_000
ROUNDS = ("off", "remembered", "none", "message", "chunk")


@dataclass
class Times:
    """Seconds of each frame of one kind of round; of handing it over also the thread's own time."""

    observe: list[float] = field(default_factory=list)
    add: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    disk_mb: list[float] = field(default_factory=list)
    finish: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=20, help="of each round")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind")
    options = parser.parse_args()
    drive = render_drive(
        DriveConfig(seed=VALIDATION_SEEDS[0], frames=5, rate_hz=2.0, width=WIDTH, height=HEIGHT)
    )
    messages = build_messages(drive, "rgb8", right=True, truth=False)
    observer = Observer.from_checkpoint(DEMO_CHECKPOINT)
    times = {kind: Times() for kind in ROUNDS}
    numbers = itertools.count(1)
    rclpy.init()
    node = rclpy.create_node("recorder_benchmark")
    _run(node, observer, "off", list(_frames(drive, messages, numbers, 5)), Times())
    for _, kind in itertools.product(range(options.rounds), ROUNDS):
        _run(node, observer, kind, _frames(drive, messages, numbers, options.frames), times[kind])
    node.destroy_node()
    rclpy.shutdown()
    result = {kind: _summarise(each, options.frames) for kind, each in times.items()}
    where = {"width": WIDTH, "height": HEIGHT, "frames": options.frames, "rounds": options.rounds}
    save_result(ROOT / "benchmarks" / "results" / "recorder.json", {**where, "kinds": result})


def _frames(
    drive: list[StereoFrame], messages: list[DriveMessages], numbers: Iterator[int], count: int
) -> Iterator[tuple[Frame, DriveMessages]]:
    for number in itertools.islice(numbers, count):
        rendered, sent = drive[number % len(drive)], messages[number % len(drive)]
        for message in (*sent.at_once.values(), sent.disparity):
            set_stamp(message, number * PERIOD_NS)
        frame = Frame(
            image=rendered.left,
            stamp_ns=number * PERIOD_NS,
            camera=rendered.rig.camera,
            range_input=rendered.sensor_disparity,
            right_baseline=rendered.rig.baseline,
        )
        yield frame, sent


def _run(node: Any, observer: Observer, kind: str, frames: Any, times: Times) -> None:
    folder = Path(tempfile.mkdtemp())
    incidents = Incidents(_Nameless(node), lambda *_: None)
    if kind != "off":
        compression: Compression = "none" if kind == "remembered" else kind  # type: ignore[assignment]
        config = RecorderConfig(folder, after_s=1e6, min_free_mb=0.0, compression=compression)
        # Obstacles of the drive begin nothing: what is recorded is asked for.
        incidents.open(replace(config, min_score=1.0, max_memory_mb=2048.0), dict)
    recorder: Any = incidents._recorder
    if kind not in ("off", "remembered"):
        recorder.request()
    for frame, sent in frames:
        begin = time.perf_counter()
        observation = observer.observe(frame)
        observed = time.perf_counter()
        item = Publication(
            header=sent.at_once["image"].header,
            frame=frame,
            observation=observation,
            camera_message=None,
            label_space=SimpleNamespace(unknown_id=12),  # type: ignore[arg-type]
            settings=Settings(),
        )
        inputs = {k: v for k, v in sent.at_once.items() if k != "right/image"}
        own, added = time.thread_time(), time.perf_counter()
        incidents.add(FrameMessages(item, {**inputs, "disparity": sent.disparity}))
        times.own.append(time.thread_time() - own)
        times.add.append(time.perf_counter() - added)
        times.observe.append(observed - begin)
    begin = time.perf_counter()
    if recorder is not None:
        recorder.close(timeout_s=120.0)
    times.finish.append(time.perf_counter() - begin)
    sizes = [path.stat().st_size for path in folder.rglob("*.mcap")]
    times.disk_mb.append(sum(sizes) / 1e6)
    shutil.rmtree(folder)


class _Nameless:
    """A node for one round: services of one name cannot be made twice."""

    def __init__(self, node: Any) -> None:
        self.get_fully_qualified_name = node.get_fully_qualified_name

    def create_service(self, *_: Any) -> None:
        """Nobody asks."""


def _summarise(times: Times, frames: int) -> dict[str, Any]:
    """Milliseconds a frame, and megabytes a frame on disk."""

    def percentiles(seconds: list[float]) -> dict[str, float]:
        values = np.percentile(np.array(seconds) * 1e3, [50, 95, 100])
        names = ("p50", "p95", "max")
        return {name: round(float(v), 3) for name, v in zip(names, values, strict=True)}

    return {
        "observe_ms": percentiles(times.observe),
        "add_ms": percentiles(times.add),
        "add_own_ms": percentiles(times.own),
        "finish_s": round(float(np.median(times.finish)), 3),
        "disk_mb_a_frame": round(float(np.median(times.disk_mb)) / frames, 3),
    }


if __name__ == "__main__":
    main()
