"""The demo's numbers: one row an obstacle against the truth, and a summary of everything."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from open_set_seg.demo.recorded import RecordedFrame
from open_set_seg.frame import Obstacle
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.metrics import TrueObject, match_objects, object_metrics
from open_set_seg.simulation import StereoFrame, TrueObstacle

COLUMNS = (
    "frame", "stamp", "outcome", "id", "distance", "sigma", "true_distance", "family",
    "camouflaged", "x", "y", "z", "width", "height", "valid_share", "score", "nearest_class",
)  # fmt: skip


def save_obstacles(path: Path, frames: Sequence[RecordedFrame], label_space: LabelSpace) -> None:
    """Write ``obstacles.csv``.

    ``outcome`` is ``found`` (a detection and the object that it found), ``part`` (a further
    detection on an object), ``false`` (a detection of nothing) or ``missed`` (an object alone).
    Distances, positions and sizes are in metres, stamps in seconds; unknown values are empty.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for frame in frames:
            for row in _rows(frame, label_space):
                writer.writerow({"frame": frame.number, "stamp": frame.stamp_ns * 1e-9, **row})


def _rows(frame: RecordedFrame, label_space: LabelSpace) -> Iterator[dict[str, Any]]:
    truth = frame.truth.obstacles
    matching = match_objects(frame.obstacles, true_objects(frame.truth))
    found_by = {finder: truth[n] for n, finder in enumerate(matching.finders) if finder is not None}
    for index, obstacle in enumerate(frame.obstacles):
        detection = _detection_columns(obstacle, label_space)
        if index in found_by:
            yield {"outcome": "found", **detection, **_truth_columns(found_by[index])}
        else:
            yield {"outcome": "part" if matching.true[index] else "false", **detection}
    for true_obstacle, finder in zip(truth, matching.finders, strict=True):
        if finder is None:
            yield {"outcome": "missed", **_truth_columns(true_obstacle)}


def _detection_columns(obstacle: Obstacle, label_space: LabelSpace) -> dict[str, Any]:
    x, y, z = obstacle.position
    numbers = {
        "distance": obstacle.distance, "sigma": obstacle.distance_sigma, "x": x, "y": y, "z": z,
        "width": obstacle.width, "height": obstacle.height, "valid_share": obstacle.valid_share,
        "score": obstacle.mean_score,
    }  # fmt: skip
    return {
        "id": obstacle.id,
        # The shortest text that gives the same float32, which is what was published.
        **{k: "" if math.isnan(v) else str(np.float32(v)) for k, v in numbers.items()},
        "nearest_class": label_space.name_of(obstacle.nearest_classes[0][0]),
    }


def _truth_columns(truth: TrueObstacle) -> dict[str, Any]:
    return {
        "true_distance": f"{truth.visible_distance:.4f}",
        "family": truth.family,
        "camouflaged": int(truth.camouflaged),
    }


def true_objects(frame: StereoFrame) -> list[TrueObject]:
    """The unknown objects of a frame as the metrics want them."""
    height, width = frame.labels.shape
    return [
        TrueObject(entry.full_mask(width, height), entry.visible_distance)
        for entry in frame.obstacles
    ]


def summarise(frames: Sequence[RecordedFrame], images: int) -> dict[str, Any]:
    """What was measured on the frames that were processed.

    Args:
        frames: at least one.
        images: images that were sent.
    """
    latencies = np.array([frame.latency_s for frame in frames]) * 1000
    ends = sorted(frame.published_ns for frame in frames)
    span_s = (ends[-1] - ends[0]) * 1e-9
    metrics = object_metrics((frame.obstacles, true_objects(frame.truth)) for frame in frames)
    return {
        "frames": {
            "sent": images,
            "processed": len(frames),
            "dropped": images - len(frames),
            "not_examined": sum(not frame.examined for frame in frames),
        },
        "rate_hz": (len(frames) - 1) / span_s if span_s > 0 else None,
        "latency_ms": {
            "p50": float(np.percentile(latencies, 50)),
            "p95": float(np.percentile(latencies, 95)),
        },
        "obstacles": _finite(asdict(metrics)),
    }


def format_summary(summary: dict[str, Any]) -> str:
    """The summary as a few lines for a terminal."""
    frames, latency = summary["frames"], summary["latency_ms"]
    rate = f"{summary['rate_hz']:.1f} frames/s" if summary["rate_hz"] else "a single frame"
    lines = [
        f"{frames['processed']} of {frames['sent']} frames processed, {rate}, latency "
        f"{latency['p50']:.0f} ms (p50) {latency['p95']:.0f} ms (p95)",
        f"on {summary['device']}",
        "",
        " distance    objects   found   recall   false/frame   distance error",
    ]
    bands = [*summary["obstacles"]["bands"], summary["obstacles"]["overall"]]
    for band in (band for band in bands if band["objects"] or band["false_per_frame"]):
        near, far = band["band"]
        recall = "-" if band["recall"] is None else f"{band['recall']:.0%}"
        error = band["median_relative_error"]
        lines.append(
            f" {near:2.0f} - {far:2.0f} m {band['objects']:9d} {band['found']:7d} {recall:>8}"
            f" {band['false_per_frame']:13.2f} {'-' if error is None else f'{error:.1%}':>16}"
        )
    return "\n".join(lines)


def _finite(value: Any) -> Any:
    """The same structure with None for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
