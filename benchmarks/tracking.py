"""What ids and states over time are worth on simulated drives.

    python -m benchmarks.tracking

Every drive goes through the detector once; what it reports is then judged frame by frame, by the
rule of ``metrics.object_matching``, in three ways: every obstacle (no tracking), the confirmed ones
that the frame shows, and the confirmed ones including those that are held although the frame does
not show them. Writes benchmarks/results/tracking.json: medians over the drives.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from benchmarks.machine import ROOT, save_result
from open_set_seg.checkpoint import DEMO_CHECKPOINT
from open_set_seg.detector import ObstacleDetector
from open_set_seg.frame import Obstacle
from open_set_seg.metrics import TrueObject, match_objects
from open_set_seg.simulation import VALIDATION_SEEDS, DriveConfig, StereoFrame, render_drive
from open_set_seg.tracking import ObstacleTracker

FIRST_DRIVE = 70_000  # of the validation range: nothing was trained or tuned on these
FARTHEST = 50.0  # metres: objects beyond are not asked for, as in the metrics' bands
WAYS = ("no tracking", "confirmed", "confirmed and held")


@dataclass
class Sighting:
    """A true object in a frame: its distance, and the id of what reports it (None: nothing)."""

    distance: float
    reporter: int | None


@dataclass
class Record:
    """What one way of reporting said during a drive.

    Attributes:
        objects: by true object, its sightings in the order of frames.
        false: reports of nothing, summed over frames.
        verdicts: by id, whether any report under it was true.
    """

    objects: dict[int, list[Sighting]] = field(default_factory=dict)
    false: int = 0
    verdicts: dict[int, bool] = field(default_factory=dict)

    def add(self, moment: StereoFrame, reports: dict[int, tuple[bool, set[int]]]) -> None:
        """Take in a frame: by id, whether the report is true and which objects it finds."""
        for number, (true, _) in reports.items():
            self.false += not true
            self.verdicts[number] = self.verdicts.get(number, False) or true
        for truth in moment.obstacles:
            if truth.visible_distance >= FARTHEST:
                continue
            reporters = [number for number, (_, found) in reports.items() if truth.id in found]
            sighting = Sighting(truth.visible_distance, reporters[0] if reporters else None)
            self.objects.setdefault(truth.id, []).append(sighting)


def main() -> None:
    """Measure and write the result."""
    options = _parse()
    detector = ObstacleDetector.from_checkpoint(options.model)
    drives: list[dict[str, dict[str, float | None]]] = []
    update_ms: list[float] = []
    begin = time.monotonic()
    for number in range(options.drives):
        config = DriveConfig(
            seed=VALIDATION_SEEDS[FIRST_DRIVE + number],
            frames=options.frames,
            rate_hz=options.rate,
            speed=options.speed,
            width=options.width,
            height=options.height,
        )
        moments = render_drive(config, workers=options.workers)
        records, times = _drive(detector, moments)
        update_ms += times
        minutes = options.frames / options.rate / 60
        drives.append({way: drive_figures(records, way, minutes) for way in WAYS})
        print(f"drive {number + 1} of {options.drives}: {time.monotonic() - begin:.0f} s")
    medians = {way: _medians([drive[way] for drive in drives]) for way in WAYS}
    path = ROOT / "benchmarks" / "results" / f"{options.name}.json"
    save_result(
        path,
        {
            "what": "tracking",
            "model": options.model.name,
            "drives": options.drives,
            "frames": options.frames,
            "rate_hz": options.rate,
            "speed": options.speed,
            "size": [options.width, options.height],
            "first_seed": VALIDATION_SEEDS[FIRST_DRIVE],
            "config": asdict(ObstacleTracker().config),
            "update_ms": {"p50": float(np.median(update_ms)), "max": max(update_ms)},
            "medians": medians,
            "by_drive": drives,
        },
    )
    print(_table(medians))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=DEMO_CHECKPOINT)
    parser.add_argument("--drives", type=int, default=6)
    parser.add_argument("--frames", type=int, default=60, help="of each drive")
    parser.add_argument("--rate", type=float, default=10.0, help="frames a second")
    parser.add_argument("--speed", type=float, default=8.0, help="of the car, m/s")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    parser.add_argument("--name", default="tracking", help="of the result file")
    return parser.parse_args()


def _drive(
    detector: ObstacleDetector, moments: Sequence[StereoFrame]
) -> tuple[dict[str, Record], list[float]]:
    """What each way reported, and the milliseconds of processor time of each update."""
    records = {way: Record() for way in WAYS}
    tracker, update_ms = ObstacleTracker(), []
    last: dict[int, tuple[bool, set[int]]] = {}
    for moment in moments:
        result = detector.process(moment.frame())
        begin = time.process_time()
        tracked = tracker.update(result)
        update_ms.append((time.process_time() - begin) * 1000)
        records["no tracking"].add(moment, _judge(result.obstacles, moment))
        confirmed = [one for one in tracked if one.state == "confirmed"]
        shown = _judge(confirmed, moment)
        records["confirmed"].add(moment, shown)
        last.update(shown)
        # What is held is judged by what it was when it was seen last.
        held = {one.id: last[one.id] for one in tracker.missing}
        records["confirmed and held"].add(moment, {**shown, **held})
    return records, update_ms


def _judge(obstacles: Sequence[Obstacle], moment: StereoFrame) -> dict[int, tuple[bool, set[int]]]:
    height, width = moment.labels.shape
    truth = [TrueObject(t.full_mask(width, height), t.visible_distance) for t in moment.obstacles]
    matching = match_objects(obstacles, truth)
    found: dict[int, set[int]] = {one.id: set() for one in obstacles}
    for true_object, finder in zip(moment.obstacles, matching.finders, strict=True):
        if finder is not None:
            found[obstacles[finder].id].add(true_object.id)
    return {
        one.id: (true, found[one.id]) for one, true in zip(obstacles, matching.true, strict=True)
    }


def drive_figures(records: dict[str, Record], way: str, minutes: float) -> dict[str, float | None]:
    """Figures of a drive; None where there was nothing to measure."""
    record, plain = records[way], records["no tracking"]
    seen = list(record.objects.values())
    first = {number: _first_distance(one) for number, one in record.objects.items()}
    known = [distance for distance in first.values() if distance is not None]
    later = [
        before - distance
        for number, distance in first.items()
        if distance is not None and (before := _first_distance(plain.objects[number])) is not None
    ]
    sightings = [one for objects in seen for one in objects]
    reported = [one.reporter is not None for one in sightings]
    never = sum(not true for true in record.verdicts.values())
    return {
        "objects": len(seen),
        "objects_reported": len(known),
        "recall_by_frame": float(np.mean(reported)) if reported else None,
        "flicker_per_minute": sum(map(_returns, seen)) / minutes,
        "false_per_minute": record.false / minutes,
        "false_alarms_per_minute": None if way == WAYS[0] else never / minutes,
        "detection_distance_m": float(np.median(known)) if known else None,
        "distance_lost_m": float(np.median(later)) if later else None,
        "id_switches_per_minute": sum(map(_switches, seen)) / minutes,
    }


def _first_distance(sightings: Sequence[Sighting]) -> float | None:
    return next((one.distance for one in sightings if one.reporter is not None), None)


def _returns(sightings: Sequence[Sighting]) -> int:
    """How often the object vanished from the reports and came back."""
    reported = [one.reporter is not None for one in sightings]
    begins = sum(now and not before for before, now in itertools.pairwise([False, *reported]))
    return max(begins - 1, 0)


def _switches(sightings: Sequence[Sighting]) -> int:
    """How often the object was reported under another id than before."""
    ids = [one.reporter for one in sightings if one.reporter is not None]
    return sum(before != now for before, now in itertools.pairwise(ids))


def _medians(drives: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    medians: dict[str, float | None] = {}
    for name in drives[0]:
        values = [value for drive in drives if (value := drive[name]) is not None]
        medians[name] = float(np.median(values)) if values else None
    return medians


def _table(medians: dict[str, dict[str, Any]]) -> str:
    lines = ["| medians over drives | " + " | ".join(WAYS) + " |", "| --- " * 4 + "|"]
    for name in medians[WAYS[0]]:
        cells = ["-" if (v := medians[way][name]) is None else f"{v:.3g}" for way in WAYS]
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
