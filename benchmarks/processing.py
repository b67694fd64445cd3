"""Throughput of offline processing: frames a second of ``bag process`` with one and two processes,
of a plain loop around the pipeline, and of the node at its own pace.

    python -m benchmarks.processing
    python -m benchmarks.processing --rounds 1 --frames 20 --node-seconds 10

All take turns in rounds, so that what else the machine does hits all of them; ratios are medians
over the rounds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.machine import ROOT, save_result
from benchmarks.node import measure_node
from open_set_seg.bags import BagWriter, open_frames
from open_set_seg.checkpoint import DEMO_CHECKPOINT
from open_set_seg.demo.in_process import input_messages
from open_set_seg.processing import (
    Network,
    ProcessConfig,
    ProcessedFrame,
    Run,
    describe_frame,
    plan_tasks,
)
from open_set_seg.processing.processes import run_here, run_in_jobs
from open_set_seg.processing.sinks import open_sinks
from open_set_seg.simulation import (
    VALIDATION_SEEDS,
    DriveConfig,
    StereoFrame,
    render_drive,
    save_drive,
)

RENDERED = 10
BAGS = 2
PERIOD_NS = 100_000_000


def main() -> None:
    """Measure and write the result."""
    options = _parse()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"rendering {RENDERED} frames of {options.width}x{options.height}")
        drive = _render(options)
        save_drive(drive, folder / "drive")
        bags = [_write_bag(folder / f"bag{n}", drive, options.frames) for n in range(BAGS)]
        rounds = [_measure_round(options, folder, bags, n) for n in range(options.rounds)]
        stages = _measure_stages(_config(options, None), bags[0], folder / "stages")
    names = rounds[0].keys()
    result = {
        "what": "bag process",
        "command": f"python -m benchmarks.processing --rounds {options.rounds} --frames "
        f"{options.frames} --node-seconds {options.node_seconds:g}",
        "model": options.model.name,
        "size": [options.width, options.height],
        "bags": BAGS,
        "frames_a_bag": options.frames,
        "threads": torch.get_num_threads(),
        "frames_per_second": {name: median(one[name] for one in rounds) for name in names},
        "ratio_to_plain_loop": {
            name: median(one[name] / one["plain_loop"] for one in rounds) for name in names
        },
        "ratio_to_node": {
            name: median(one[name] / one["node"] for one in rounds) for name in names
        },
        "stages_ms": stages,
        "rounds": rounds,
    }
    save_result(ROOT / "benchmarks" / "results" / f"{options.name}.json", result)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", type=Path, default=DEMO_CHECKPOINT)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--frames", type=int, default=100, help="of each of the two recordings")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--node-seconds", type=float, default=30.0)
    parser.add_argument("--name", default="processing", help="of the result file")
    return parser.parse_args()


def _render(options: argparse.Namespace) -> list[StereoFrame]:
    size = {"width": options.width, "height": options.height}
    config = DriveConfig(seed=VALIDATION_SEEDS[0], frames=RENDERED, rate_hz=10.0, **size)
    return list(render_drive(config))


def _write_bag(path: Path, drive: list[StereoFrame], frames: int) -> Path:
    with BagWriter(path) as bag:
        for n in range(frames):
            moment = replace(drive[n % len(drive)], stamp_ns=n * PERIOD_NS, right=None)
            for topic, message in input_messages(moment).items():
                bag.write(topic, moment.stamp_ns, message)
    return path


def _config(options: argparse.Namespace, threads: int | None) -> ProcessConfig:
    return ProcessConfig(model=options.model, device=options.device, threads=threads)


def _measure_round(
    options: argparse.Namespace, folder: Path, bags: list[Path], number: int
) -> dict[str, float]:
    """Frames a second of each way; the first load of the network is not counted in one process."""
    cores = torch.get_num_threads()
    here, two = _config(options, None), _config(options, max(1, cores // 2))
    network = Network.load(here)
    network.detector.segmenter.segment(next(_images(bags[0])))
    loop = _rate(lambda: sum(1 for bag in bags for _ in _observe_all(network, bag)))
    found = {"plain_loop": loop}
    warm = plan_tasks(bags[:1], folder / f"warm{number}", here.describe()).tasks
    sum(one.frames for one in run_here(warm, here, _ignore))
    for name, config, jobs in (("one_process", here, 1), ("two_processes", two, 2)):
        tasks = plan_tasks(bags, folder / f"{name}{number}", config.describe()).tasks
        if jobs == 1:
            found[name] = _rate(lambda t=tasks, c=config: _frames(run_here(t, c, _ignore)))
            continue
        progress = _FirstImage()
        begin = time.perf_counter()
        frames = _frames(run_in_jobs(tasks, config, progress, jobs))
        end = time.perf_counter()
        found[name] = frames / (end - progress.first)
        found[f"{name}_with_start"] = frames / (end - begin)
    node = argparse.Namespace(
        **vars(options) | {"rate": 100.0, "duration": options.node_seconds},
        disparity_delay=0.0,
        pictures=False,
    )
    logs = folder / f"logs{number}"
    logs.mkdir()
    found["node"] = float(measure_node(node, folder / "drive", logs)["rate_hz"])
    return found


class _FirstImage:
    """Progress that remembers when it was first told of an image."""

    def __init__(self) -> None:
        self.first = 0.0

    def __call__(self, images: int) -> None:
        if images and not self.first:
            self.first = time.perf_counter()


def _ignore(_: int) -> None:
    """Progress that nobody watches."""


def _frames(outcomes: Iterator[Any]) -> int:
    found = list(outcomes)
    errors = [outcome.error for outcome in found if outcome.error]
    if errors:
        raise SystemExit(errors[0])
    return sum(outcome.frames for outcome in found)


def _rate(work: Any) -> float:
    begin = time.perf_counter()
    frames = int(work())
    return frames / (time.perf_counter() - begin)


def _images(bag: Path) -> Iterator[Any]:
    with open_frames(bag, tolerance_s=0.01) as (_, items):
        for item in items:
            if item.frame is not None:
                yield item.frame.image


def _observe_all(network: Network, bag: Path) -> Iterator[Any]:
    observer = network.observer()
    with open_frames(bag, tolerance_s=0.01) as (_, items):
        for item in items:
            if item.frame is not None:
                yield observer.observe(item.frame)


def _measure_stages(config: ProcessConfig, bag: Path, folder: Path) -> dict[str, float]:
    """Median milliseconds of each stage of a frame, one after the other."""
    folder.mkdir()
    network = Network.load(config)
    observer, space = network.observer(), network.label_space
    seconds: dict[str, list[float]] = {}

    def timed(name: str, work: Any) -> Any:
        begin = time.perf_counter()
        result = work()
        seconds.setdefault(name, []).append(time.perf_counter() - begin)
        return result

    with open_frames(bag, config.topics, config.tolerance_s) as (stamps, items):
        sinks = open_sinks(Run(bag, folder, config, space, tuple(stamps)))
        while (item := timed("read_and_decode", lambda: next(items, None))) is not None:
            observation = timed("observe", lambda i=item: observer.observe(i.frame))
            record = timed("describe", lambda i=item, o=observation: describe_frame(i, o, space))
            frame = ProcessedFrame(item.frame, observation, record, space)
            timed("draw_overlay", lambda f=frame: f.overlay)
            for name, sink in sinks.items():
                timed(f"write_{name}", lambda s=sink, f=frame: s.add(f))
        for sink in sinks.values():
            sink.finish()
    return {name: 1e3 * median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
