"""How fast the node is: rate, age of its results, drops, memory.

    python -m benchmarks.node --rate 10 --duration 60
    python -m benchmarks.node --rate 30 --duration 600 --model full_width.safetensors

A simulator process loops a short drive into a detector process over DDS; this process listens to
the obstacle list (``--pictures``: to all pictures as well) and writes benchmarks/results/*.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.listening import STARTING_S, DetectorListener, resident_mib, spin_until
from benchmarks.machine import ROOT, save_result
from open_set_seg.checkpoint import DEMO_CHECKPOINT
from open_set_seg.ros.isolation import isolated_environment, isolated_node
from open_set_seg.ros.processes import Executable
from open_set_seg.simulation import VALIDATION_SEEDS, DriveConfig, render_drive, save_drive

# The first results pay for what is loaded and compiled when it is first used.
WARM_UP_RESULTS = 10


def main() -> None:
    """Measure and write the result."""
    options = _parse()
    with tempfile.TemporaryDirectory() as folder:
        drive = options.drive or _render(options, Path(folder) / "drive")
        result = measure_node(options, drive, Path(folder))
    name = options.name or f"node_{options.model.stem}_{options.rate:g}hz"
    save_result(ROOT / "benchmarks" / "results" / f"{name}.json", result)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=DEMO_CHECKPOINT)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rate", type=float, default=10.0, help="images a second")
    parser.add_argument("--duration", type=float, default=60.0, help="seconds")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--frames", type=int, default=10, help="of the drive that is looped")
    parser.add_argument("--drive", type=Path, help="a saved drive instead of rendering one")
    parser.add_argument("--disparity-delay", type=float, default=30.0, help="milliseconds")
    parser.add_argument("--pictures", action="store_true", help="listen to pictures too")
    parser.add_argument("--name", help="of the result file")
    return parser.parse_args()


def _render(options: argparse.Namespace, folder: Path) -> Path:
    config = DriveConfig(
        seed=VALIDATION_SEEDS[0],
        frames=options.frames,
        rate_hz=2.0,
        width=options.width,
        height=options.height,
    )
    print(f"rendering {options.frames} frames")
    save_drive(render_drive(config), folder)
    return folder


def measure_node(options: argparse.Namespace, drive: Path, logs: Path) -> dict[str, Any]:
    """Run the node with a drive; the options are the command's, and logs go into a folder."""
    environment = isolated_environment(domain_id=1 + os.getpid() % 100)
    detector = Executable(
        "open_set_seg.ros.node",
        {"model": options.model, "device": options.device},
        environment,
        logs / "detector.log",
    )
    simulator = Executable(
        "open_set_seg.ros.simulator",
        {
            "drive": drive,
            "rate_hz": options.rate,
            "disparity_delay_ms": options.disparity_delay,
            "loop": True,
            "right": False,
            "wait_for_subscribers_s": STARTING_S,
        },
        environment,
        logs / "simulator.log",
    )
    with isolated_node("listener", environment) as (node, spin):
        listener = DetectorListener(node, options.pictures)
        with detector, simulator:

            def step() -> None:
                spin()
                detector.check()
                simulator.check()

            spin_until(step, lambda: len(listener.ages_ms) >= WARM_UP_RESULTS)
            first, images, before = len(listener.ages_ms), listener.images, listener.diagnostics
            memory = _watch(step, options.duration, detector.pid)
            seen, images = len(listener.ages_ms), listener.images - images
            after = listener.diagnostics
    return _result(
        options,
        np.array(listener.ages_ms[first:seen]),
        np.array(listener.published_s[first:seen]),
        images,
        memory,
        before,
        after,
    )


def _watch(step: Callable[[], None], duration_s: float, pid: int) -> list[float]:
    """Spin for a time; returns the resident memory of a process in MiB once a second."""
    memory = [resident_mib(pid)]
    begin = time.monotonic()
    while (elapsed := time.monotonic() - begin) < duration_s:
        step()
        if elapsed >= len(memory):
            memory.append(resident_mib(pid))
    return memory


def _result(
    options: argparse.Namespace,
    ages_ms: Any,
    published_s: Any,
    images: int,
    memory: list[float],
    before: dict[str, str],
    after: dict[str, str],
) -> dict[str, Any]:
    stages = {key: float(value) for key, value in after.items() if "_ms." in key}
    detector, wait = stages.get("detector_ms.p50", 0.0), stages.get("wait_ms.p50", 0.0)
    minutes = [memory[second : second + 60] for second in range(0, len(memory), 60)]
    p50, p95 = (float(np.percentile(ages_ms, share)) for share in (50, 95))
    return {
        "what": "node",
        "model": options.model.name,
        "device": after.get("device", ""),
        "size": [options.width, options.height],
        "input_rate_hz": options.rate,
        "duration_s": options.duration,
        "pictures": options.pictures,
        "results": len(ages_ms),
        "rate_hz": (len(published_s) - 1) / float(published_s[-1] - published_s[0]),
        "stamp_to_publish_ms": {"p50": p50, "p95": p95, "max": float(ages_ms.max())},
        # What remains of the median age without detector and wait for the disparity: transport,
        # decoding, publishing, and waiting for the detector to be free.
        "overhead_ms": p50 - detector - wait,
        "images_heard": images,
        "dropped": int(after.get("dropped", 0)) - int(before.get("dropped", 0)),
        "memory_mib": {
            "begin": memory[0],
            "end": memory[-1],
            "max": max(memory),
            "median_by_minute": [float(np.median(part)) for part in minutes],
        },
        "stages_ms": stages,
    }


if __name__ == "__main__":
    main()
