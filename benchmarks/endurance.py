"""Does the node stand an hour of a looped recording at twice what it can do?

    python -m benchmarks.endurance --duration 3600

A player process loops a short recording of a simulated drive, with its time on /clock, into a
detector with its incident recorder; this process listens. The recording's rate is chosen from what
the detector needed for a frame, so every loop is too fast for it, and every loop is a jump back in
time. Writes benchmarks/results/endurance.json: ages of results, results of every loop, memory by
minute, and what the recorder left on disk.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.listening import STARTING_S, DetectorListener, resident_mib, spin_until
from benchmarks.machine import ROOT, save_result
from open_set_seg.bags import BagError, BagWriter, count_messages, topics
from open_set_seg.checkpoint import DEMO_CHECKPOINT
from open_set_seg.demo.in_process import input_messages
from open_set_seg.ros.isolation import isolated_environment, isolated_node
from open_set_seg.ros.processes import Executable
from open_set_seg.simulation import VALIDATION_SEEDS, DriveConfig, render_drive

RECORDED_HZ = 5.0
WARM_UP_RESULTS = 20
SETTLING_S = 5.0
MEBIBYTE = 2**20
RECORDER = {
    "recorder.before_s": 1.0,
    "recorder.after_s": 1.0,
    "recorder.min_gap_s": 2.0,
    "recorder.max_bag_mb": 20.0,
    "recorder.max_total_mb": 100.0,
    "recorder.max_bags": 8,
}


@dataclass
class Minutes:
    """What was seen, once a minute.

    Attributes:
        memory_mib: resident memory of the detector's process.
        recorder_mib, bags: what lay in the recorder's folder.
        results, images: counts up to then.
        bound_ms: what an age should stay under, by what the node says of its last frames: a frame
            waits for its disparity, then for at most one frame in progress, then for its own turn:
            wait + 2 detector times, of their 95 % quantiles.
    """

    memory_mib: list[float] = field(default_factory=list)
    recorder_mib: list[float] = field(default_factory=list)
    bags: list[int] = field(default_factory=list)
    results: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    bound_ms: list[float] = field(default_factory=list)

    def note(self, pid: int, recorder: Path, listener: DetectorListener) -> None:
        """Look at everything."""
        self.memory_mib.append(round(resident_mib(pid), 1))
        self.recorder_mib.append(round(folder_bytes(recorder) / MEBIBYTE, 2))
        self.bags.append(sum(1 for entry in recorder.glob("*") if entry.is_dir()))
        self.results.append(len(listener.published_s))
        self.images.append(listener.images)
        told = listener.diagnostics
        wait, frame = float(told["wait_ms.p95"]), float(told["detector_ms.p95"])
        self.bound_ms.append(wait + 2 * frame)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=DEMO_CHECKPOINT)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--duration", type=float, default=3600.0, help="seconds")
    parser.add_argument(
        "--overload",
        type=float,
        default=2.0,
        help="at least so many times what it can do: of its pace at the start",
    )
    parser.add_argument("--frames", type=int, default=40, help="of the recording")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--name", default="endurance", help="of the result file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bag = record_drive(options, Path(folder) / "drive")
        result = measure(options, bag, Path(folder))
    save_result(ROOT / "benchmarks" / "results" / f"{options.name}.json", result)


def record_drive(options: argparse.Namespace, bag: Path) -> Path:
    """A recording of a simulated drive past unknown objects."""
    config = DriveConfig(
        seed=VALIDATION_SEEDS[0],
        frames=options.frames,
        rate_hz=RECORDED_HZ,
        width=options.width,
        height=options.height,
    )
    print(f"rendering {options.frames} frames")
    with BagWriter(bag) as writer:
        for moment in render_drive(config):
            for topic, message in input_messages(moment).items():
                if topic != topics.RIGHT_IMAGE:
                    writer.write(topic, moment.stamp_ns, message)
    return bag


def measure(options: argparse.Namespace, bag: Path, folder: Path) -> dict[str, Any]:
    """Play and watch."""
    environment = isolated_environment(domain_id=1 + os.getpid() % 100)
    recorder = folder / "incidents"
    detector = Executable(
        "open_set_seg.ros.node",
        {
            "model": options.model,
            "device": options.device,
            "expected_size": f"{options.width}x{options.height}",
            "use_sim_time": True,
            "recorder.folder": recorder,
            **RECORDER,
        },
        environment,
        folder / "detector.log",
    )
    with isolated_node("listener", environment) as (node, spin), detector:
        listener = DetectorListener(node, pictures=False)

        def play(rate: float) -> Executable:
            return Executable(
                "open_set_seg.ros.player",
                {
                    "bag": bag,
                    "rate": rate,
                    "loop": True,
                    "clock_hz": 100.0,
                    "wait_for_subscribers_s": STARTING_S,
                },
                environment,
                folder / "player.log",
            )

        with play(1.0) as player:

            def step() -> None:
                spin()
                detector.check()
                player.check()

            spin_until(step, lambda: len(listener.ages_ms) >= WARM_UP_RESULTS)
            frame_s = float(listener.diagnostics["detector_ms.p50"]) / 1000
        rate = options.overload / frame_s / RECORDED_HZ
        minutes = Minutes()
        with play(rate) as player:
            # What came from the first playing must not count: it ended a while ago.
            settled = time.monotonic() + SETTLING_S
            spin_until(step, lambda: time.monotonic() > settled)
            heard = len(listener.published_s)
            spin_until(step, lambda: len(listener.published_s) > heard)
            first, images = len(listener.published_s), listener.images
            before = listener.diagnostics
            begin = time.monotonic()
            while (elapsed := time.monotonic() - begin) < options.duration:
                step()
                if elapsed >= 60 * len(minutes.results):
                    minutes.note(detector.pid, recorder, listener)
            minutes.note(detector.pid, recorder, listener)
            after = listener.diagnostics
    return {
        "what": "endurance",
        "model": options.model.name,
        "size": [options.width, options.height],
        "device": after.get("device", ""),
        "duration_s": options.duration,
        "frame_ms_alone": 1000 * frame_s,
        "player_rate": rate,
        "images_hz": RECORDED_HZ * rate,
        "overload": (listener.images - images) / (len(listener.published_s) - first),
        "dropped": int(after.get("dropped", 0)) - int(before.get("dropped", 0)),
        "failed": int(after.get("failed", 0)),
        **describe_ages(listener, minutes),
        **describe_loops(
            listener.published_s[first:],
            options.frames / RECORDED_HZ / rate,
            max(minutes.bound_ms) / 1000,
        ),
        "memory_mib": describe_memory(minutes.memory_mib),
        "recorder": {"limits": RECORDER, **describe_recorder(recorder, minutes)},
        "minutes": vars(minutes),
        "diagnostics": after,
    }


def describe_ages(listener: DetectorListener, minutes: Minutes) -> dict[str, Any]:
    """Ages since the image was published, and how many stayed under the bound of their minute."""
    ages = np.array(listener.ages_since_image_ms)
    by_minute = [
        ages[begin:end] for begin, end in zip(minutes.results, minutes.results[1:], strict=False)
    ]
    within = sum(
        int((part <= bound).sum())
        for part, bound in zip(by_minute, minutes.bound_ms[1:], strict=True)
    )
    ages = np.concatenate(by_minute)
    ages = ages[np.isfinite(ages)]
    return {
        "age_ms": {
            **{f"p{share}": float(np.percentile(ages, share)) for share in (50, 95, 99)},
            "max": float(ages.max()),
            "largest_bound": max(minutes.bound_ms),
            "share_within_bound": within / len(ages),
        }
    }


def describe_loops(published_s: Sequence[float], loop_s: float, bound_s: float) -> dict[str, Any]:
    """Whether results went on after every jump.

    A dead loop is a silence longer than a loop and the age that a result may have.
    """
    silences = np.diff(np.array(published_s))
    return {
        "loops": {
            "played": int((published_s[-1] - published_s[0]) / loop_s),
            "seconds": loop_s,
            "longest_silence_s": float(silences.max()),
            "dead": int((silences > loop_s + bound_s).sum()),
        },
        "results": len(published_s),
        "results_hz": len(published_s) / (published_s[-1] - published_s[0]),
    }


def describe_memory(by_minute: Sequence[float]) -> dict[str, float]:
    """Resident memory, and its growth from the second fifth to the last, MiB an hour."""
    fifths = np.array_split(np.array(by_minute), 5)
    if len(by_minute) < 5:
        return {"begin": by_minute[0], "end": by_minute[-1], "max": max(by_minute)}
    hours = 0.6 * len(by_minute) / 60
    growth = float(np.median(fifths[-1]) - np.median(fifths[1])) / hours
    return {
        "begin": by_minute[0],
        "end": by_minute[-1],
        "max": max(by_minute),
        "growth_mib_per_hour": growth,
    }


def describe_recorder(folder: Path, minutes: Minutes) -> dict[str, Any]:
    """The largest it ever was, and whether what is there can be read."""
    readable, broken = 0, []
    for bag in sorted(entry for entry in folder.glob("*") if entry.is_dir()):
        try:
            readable += count_messages(bag, topics.IMAGE) > 0
        except BagError as error:
            broken.append(str(error))
    return {
        "largest_mib": max(minutes.recorder_mib),
        "most_bags": max(minutes.bags),
        "readable": readable,
        "broken": broken,
    }


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; files that go away meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


if __name__ == "__main__":
    main()
