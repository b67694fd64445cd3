"""How soon the drift monitor and the camera health find corrupted pictures, and false alarms.

    python -m benchmarks.drift

Simulated pictures of 512x256 without unknown objects go through the demo checkpoint's segmenter:
stills of independent scenes as the domain of calibration, the same scenes with a ladder of
corruptions as another one, and drives to see what neighbouring frames do to the bound. Delays are
in judged frames. Writes benchmarks/results/drift.json.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import numpy as np

from benchmarks.machine import ROOT, save_result
from open_set_seg.checkpoint import DEMO_CHECKPOINT
from open_set_seg.frame import ImageRGB
from open_set_seg.monitoring import (
    CameraHealth,
    DriftConfig,
    DriftMonitor,
    DriftReference,
    ScoreSummary,
    summarise,
)
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.simulation import VALIDATION_SEEDS, DriveConfig, render_drive, render_still

WIDTH, HEIGHT = 512, 256
SEVERITIES = (1, 2, 3, 4, 5)
# Seconds between the judged frames of a drive: all drives have as many of them.
INTERVALS = (0.5, 2.0, 5.0)
Corruption = Callable[[ImageRGB, int, np.random.Generator], ImageRGB]


def add_noise(image: ImageRGB, severity: int, rng: np.random.Generator) -> ImageRGB:
    """Normal noise, standard deviation 5 to 40 grey levels."""
    sigma = (5.0, 10.0, 15.0, 25.0, 40.0)[severity - 1]
    return _to_levels(image + sigma * rng.standard_normal(image.shape))


def darken(image: ImageRGB, severity: int, rng: np.random.Generator) -> ImageRGB:
    """All levels times 0.8 to 0.15."""
    return _to_levels(image * (0.8, 0.6, 0.45, 0.3, 0.15)[severity - 1])


def add_fog(image: ImageRGB, severity: int, rng: np.random.Generator) -> ImageRGB:
    """Mixed with a light grey, 15 to 85 %, which takes contrast and leaves sharpness."""
    share = (0.15, 0.3, 0.5, 0.7, 0.85)[severity - 1]
    return _to_levels((1 - share) * image.astype(np.float32) + share * 190.0)


def move(image: ImageRGB, severity: int, rng: np.random.Generator) -> ImageRGB:
    """Motion blur along the rows, 3 to 21 pixels."""
    length = (3, 5, 9, 15, 21)[severity - 1]
    return np.asarray(cv2.blur(image, (length, 1)), np.uint8)


def tint(image: ImageRGB, severity: int, rng: np.random.Generator) -> ImageRGB:
    """Red up, blue down by 10 to 60 %."""
    change = (0.1, 0.2, 0.3, 0.45, 0.6)[severity - 1]
    return _to_levels(image * np.array([1 + change, 1.0, 1 - change]))


CORRUPTIONS: dict[str, Corruption] = {
    "noise": add_noise,
    "darkness": darken,
    "fog": add_fog,
    "motion blur": move,
    "colour cast": tint,
}


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calibration", type=int, default=80, help="frames")
    parser.add_argument("--clean", type=int, default=50, help="further frames of the same domain")
    parser.add_argument("--corrupted", type=int, default=20, help="frames of every rung")
    parser.add_argument("--drives", type=int, default=3)
    parser.add_argument("--drive-frames", type=int, default=40)
    parser.add_argument("--streams", type=int, default=20, help="random orders of every rung")
    parser.add_argument("--clean-streams", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    options = parser.parse_args()
    segmenter = OpenSetSegmenter.from_checkpoint(DEMO_CHECKPOINT, device="cpu", backend="pytorch")
    threshold = segmenter.choose_threshold(None)
    stills = render_stills(options.calibration + options.clean, options.workers)
    drives = {
        interval: render_drives(options.drives, options.drive_frames, interval, options.workers)
        for interval in INTERVALS
    }
    look = partial(look_at, segmenter)
    known = look(stills)
    result = {
        "what": "drift",
        **vars(options),
        "size": [WIDTH, HEIGHT],
        "threshold": threshold,
        "config": vars(DriftConfig()),
        "clean": find_false_alarms(known, threshold, options.calibration, options.clean_streams),
        "drives": follow_drives(known[: options.calibration], threshold, drives, look),
        "ladder": {},
        "camera_health": {},
    }
    used = stills[-options.corrupted :]
    for name, corrupt in CORRUPTIONS.items():
        rungs, health = {}, {}
        for severity in SEVERITIES:
            rng = np.random.default_rng(severity)
            changed = [corrupt(image, severity, rng) for image in used]
            spoiled = look(changed)
            rungs[severity] = find_delays(known, spoiled, threshold, options)
            health[severity] = examine(drives[INTERVALS[0]][0], corrupt, severity)
        result["ladder"][name], result["camera_health"][name] = rungs, health
    save_result(ROOT / "benchmarks" / "results" / "drift.json", result)


def render_stills(count: int, workers: int) -> list[ImageRGB]:
    """Independent scenes of known classes."""
    seeds = [VALIDATION_SEEDS[20_000 + number] for number in range(count)]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(_render, seeds, chunksize=8))


def render_drives(count: int, frames: int, interval: float, workers: int) -> list[list[ImageRGB]]:
    """Drives through scenes of known classes, each through a street of its own."""
    configs = [
        DriveConfig(
            seed=VALIDATION_SEEDS[30_000 + number],
            frames=frames,
            rate_hz=1.0 / interval,
            width=WIDTH,
            height=HEIGHT,
            unknown_objects=False,
        )
        for number in range(count)
    ]
    return [[frame.left for frame in render_drive(each, workers)] for each in configs]


def look_at(segmenter: OpenSetSegmenter, images: Sequence[ImageRGB]) -> list[ScoreSummary]:
    """The summaries of pictures."""
    return [summarise(segmenter.segment(image)) for image in images]


def find_false_alarms(
    known: Sequence[ScoreSummary], threshold: float, calibration: int, streams: int
) -> dict[str, Any]:
    """Random divisions of frames of one domain into a calibration and a stream."""
    raised = {"warn": 0, "alarm": 0}
    for number in range(streams):
        order = np.random.default_rng(number).permutation(len(known))
        frames = [known[index] for index in order]
        monitor = make_monitor(frames[:calibration], threshold, number)
        states = {monitor.judge(each).state for each in frames[calibration:]}
        for state in raised:
            raised[state] += state in states
    return {"streams": streams, "frames": len(known) - calibration, **raised}


def follow_drives(
    calibration: Sequence[ScoreSummary],
    threshold: float,
    drives: Mapping[float, Sequence[Sequence[ImageRGB]]],
    look: Callable[[Sequence[ImageRGB]], list[ScoreSummary]],
) -> dict[str, dict[str, int]]:
    """Clean drives, each through one street, against stills of many other streets."""
    found: dict[str, dict[str, int]] = {}
    for interval, of_interval in drives.items():
        raised = {"warn": 0, "alarm": 0}
        for drive in of_interval:
            monitor = make_monitor(calibration, threshold, 0)
            states = {monitor.judge(each).state for each in look(drive)}
            for state in raised:
                raised[state] += state in states
        judged = len(of_interval[0])
        found[f"{interval:g} s"] = {"drives": len(of_interval), "frames": judged, **raised}
    return found


def find_delays(
    known: Sequence[ScoreSummary],
    spoiled: Sequence[ScoreSummary],
    threshold: float,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Judged frames from the first corrupted one to the warning and to the alarm.

    Every stream begins with clean frames that are neither calibration nor, corrupted, in the rung.
    """
    delays: dict[str, list[int]] = {"warn": [], "alarm": []}
    named: dict[str, int] = {}
    clean = known[options.calibration : len(known) - len(spoiled)]
    for number in range(options.streams):
        rng = np.random.default_rng(number)
        monitor = make_monitor(known[: options.calibration], threshold, number)
        for index in rng.permutation(len(clean)):
            monitor.judge(clean[index])
        reports = [monitor.judge(spoiled[index]) for index in rng.permutation(len(spoiled))]
        states = [report.state for report in reports]
        for state, of_state in delays.items():
            levels = {state, "alarm"}
            of_state += [n + 1 for n, each in enumerate(states) if each in levels][:1]
        for each in reports[-1].drifted[:1]:
            name = f"{each.name} {each.direction}"
            named[name] = named.get(name, 0) + 1
    return {
        **{
            state: {
                "found": len(of_state),
                "median_delay": float(np.median(of_state)) if of_state else None,
                "longest_delay": max(of_state, default=None),
            }
            for state, of_state in delays.items()
        },
        "strongest": named,
    }


def make_monitor(calibration: Sequence[ScoreSummary], threshold: float, seed: int) -> DriftMonitor:
    """A monitor whose every frame is judged."""
    reference = DriftReference.of_summaries(calibration, threshold)
    return DriftMonitor(reference, DriftConfig(interval_s=0.0, seed=seed))


def examine(drive: Sequence[ImageRGB], corrupt: Corruption, severity: int) -> list[str]:
    """Faults of the camera's health at the end of a drive whose last ten frames are corrupted."""
    health = CameraHealth()
    rng = np.random.default_rng(severity)
    faults: tuple[str, ...] = ()
    for number, image in enumerate(drive):
        spoiled = number >= len(drive) - 10
        picture = corrupt(image, severity, rng) if spoiled else image
        faults = health.update(picture, round(number * 1e9 * INTERVALS[0])).faults
    return list(faults)


def _render(seed: int) -> ImageRGB:
    return render_still(seed, WIDTH, HEIGHT, unknown_objects=False).left


def _to_levels(values: Any) -> ImageRGB:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


if __name__ == "__main__":
    main()
