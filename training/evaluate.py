"""Evaluate a checkpoint on simulated frames: ``python -m training.evaluate CHECKPOINT``."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import dataclasses
import json
import math
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from open_set_seg import __version__
from open_set_seg.metrics import BandMetrics, ObjectMetrics
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.simulation import TEST_SEEDS
from training.evaluation.simulated import CONDITIONS, MIN_VISIBLE_PX, Evaluation, evaluate
from training.run_state import code_revision


def report(
    segmenter: OpenSetSegmenter, evaluation: Evaluation, seeds: Sequence[int], size: str
) -> dict[str, Any]:
    """Everything as JSON values; NaN becomes null."""
    metadata = segmenter.metadata
    confusion = evaluation.confusion
    content = {
        "checkpoint": {
            "weights_sha256": metadata.weights_sha256,
            "architecture": metadata.architecture,
            "width": metadata.width,
            "score": metadata.score,
            "temperature": metadata.temperature,
            "threshold": metadata.threshold,
        },
        "frames": {
            "count": len(seeds),
            "first_seed": seeds[0],
            "size": size,
            "families": "development",
            "not_examined": evaluation.not_examined,
        },
        "closed_set": {
            "mIoU": confusion.mean_iou(),
            "pixel_accuracy": confusion.pixel_accuracy(),
            "class_IoU": dict(
                zip(segmenter.label_space.classes, confusion.class_iou().tolist(), strict=True)
            ),
        },
        "pixels": {"protocol": "fishyscapes", **evaluation.pixels},
        "objects": {
            "min_visible_px": MIN_VISIBLE_PX,
            **{name: dataclasses.asdict(found) for name, found in evaluation.objects.items()},
        },
        "environment": {
            "device": segmenter.device_description,
            "package": __version__,
            "commit": code_revision(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
    }
    plain: dict[str, Any] = _plain(content)
    return plain


def tables(content: dict[str, Any], evaluation: Evaluation) -> str:
    """The report as text for a terminal."""
    closed = content["closed_set"]
    lines = [
        f"{content['frames']['count']} frames of {content['frames']['size']}, "
        f"{content['environment']['device']}",
        f"closed mIoU {_percent(closed['mIoU'])}   "
        f"pixel accuracy {_percent(closed['pixel_accuracy'])}",
        "  ".join(f"{name} {_percent(iou)}" for name, iou in closed["class_IoU"].items()),
        "",
        "unknown pixels      AP  FPR95  AUROC  best F1",
    ]
    for region, numbers in evaluation.pixels.items():
        columns = [_percent(numbers[key]) for key in ("AP", "FPR95", "AUROC", "best_F1")]
        lines.append(
            f"{region:<14} {columns[0]:>7} {columns[1]:>6} {columns[2]:>6} {columns[3]:>8}"
        )
    for name in CONDITIONS:
        lines += ["", f"obstacles, {name}", *_object_table(evaluation.objects[name])]
    return "\n".join(lines)


def _object_table(metrics: ObjectMetrics) -> list[str]:
    header = (
        "band (m)  objects  recall  false/frame  rel. error  bias (m)  spread (m)  "
        "bias/sigma  spread/sigma"
    )
    rows = [_band_row(band) for band in (*metrics.bands, metrics.overall)]
    last = (
        f"all false obstacles per frame {metrics.false_per_frame:.2f}, of unknown distance "
        f"{metrics.false_of_unknown_distance_per_frame:.2f}"
    )
    return [header, *rows, last]


def _band_row(band: BandMetrics) -> str:
    near, far = band.band
    return (
        f"{near:3.0f}-{far:<3.0f}   {band.objects:>7}  {_percent(band.recall):>6}  "
        f"{band.false_per_frame:>11.3f}  {_percent(band.median_relative_error, 2):>10}  "
        f"{band.bias:>8.3f}  {band.spread:>10.3f}  {band.bias_in_sigmas:>10.2f}  "
        f"{band.spread_in_sigmas:>12.2f}"
    )


def _percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, or 2 with one line on what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=TEST_SEEDS[0])
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2, help="rendering processes")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    options = parser.parse_args(arguments)
    seeds = range(options.first_seed, options.first_seed + options.frames)
    started = time.monotonic()
    try:
        if not seeds or seeds[0] not in TEST_SEEDS or seeds[-1] not in TEST_SEEDS:
            raise ValueError(f"test seeds are {TEST_SEEDS[0]} to {TEST_SEEDS[-1]}, not {seeds}")
        segmenter = OpenSetSegmenter.from_checkpoint(options.checkpoint, options.device)
        result = evaluate(segmenter, seeds, options.width, options.height, options.workers)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    content = report(segmenter, result, seeds, f"{options.width}x{options.height}")
    content["seconds"] = round(time.monotonic() - started, 1)
    print(tables(content, result))
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
