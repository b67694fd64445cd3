"""``open-set-seg detect``."""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from open_set_seg.cli.frame_options import (
    TOLERANCE_S,
    add_network_arguments,
    add_range_arguments,
    add_topic_arguments,
    read_range_source,
    read_topics,
)

if TYPE_CHECKING:
    from open_set_seg.frame import Frame, Obstacle

HELP = "find obstacles in images or in a recording"
DESCRIPTION = (
    "Finds obstacles in an image, in a folder of images, or in a rosbag2 recording, and writes "
    "pictures and obstacles.csv. Distances need a second source: the right image of a rectified "
    "pair, a disparity or depth map, or the recording's own topics."
)
COLUMNS = (
    "frame", "stamp", "id", "kind", "distance", "sigma", "x", "y", "z", "width", "height",
    "valid_share", "mean_score", "peak_score", "nearest_class", "left", "top", "box_width",
    "box_height",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("source", type=Path, help="image, folder of images, or rosbag2 folder")
    parser.add_argument("--output", type=Path, default=Path("detections"), metavar="DIR")
    parser.add_argument("--model", type=Path, metavar="FILE", help="another model (docs/models.md)")
    add_network_arguments(parser, "; needs --threshold (unbounded ones: fitted before)")
    parser.add_argument("--threshold", type=float, help="anomaly above which a pixel is unknown")
    parser.add_argument(
        "--no-ground", action="store_true", help="list what is off the road as well"
    )
    add_range_arguments(parser, "distances for images")
    add_topic_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Process everything in order and write the results."""
    from tqdm import tqdm

    from open_set_seg.checkpoint import DEMO_CHECKPOINT
    from open_set_seg.detector import DetectorConfig, ObstacleDetector
    from open_set_seg.drawing import draw_heatmap, draw_overlay, save_picture
    from open_set_seg.ground import GroundConfig

    frames = _frames(options)
    config = DetectorConfig(
        threshold=options.threshold,
        ground=GroundConfig(mode="off" if options.no_ground else "hull"),
    )
    detector = ObstacleDetector.from_checkpoint(
        options.model or DEMO_CHECKPOINT,
        config,
        options.device,
        options.precision,
        options.backend,
        options.score,
    )
    options.output.mkdir(parents=True, exist_ok=True)
    said: set[str] = set()
    with (options.output / "obstacles.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for name, frame in tqdm(frames, desc="detecting", unit="frame"):
            result = detector.process(frame)
            space = detector.label_space
            overlay = draw_overlay(frame.image, result, space)
            save_picture(options.output / f"{name}_overlay.png", overlay)
            heatmap = draw_heatmap(result.prediction.anomaly)
            save_picture(options.output / f"{name}_anomaly.png", heatmap)
            for obstacle in result.obstacles:
                row = _row(obstacle, space.name_of(obstacle.nearest_classes[0][0]))
                table.writerow({"frame": name, "stamp": frame.stamp_ns * 1e-9, **row})
            for problem in result.problems:
                if problem.code not in said:
                    tqdm.write(f"{name}: {problem.message} (said once)")
                said.add(problem.code)
    print(f"results: {options.output}/")
    return 0


def _frames(options: argparse.Namespace) -> Iterator[tuple[str, Frame]]:
    source: Path = options.source
    if not source.exists():
        raise ValueError(f"{source} does not exist")
    if (source / "metadata.yaml").is_file() or source.suffix in (".mcap", ".db3", ".bag"):
        from open_set_seg.bags import read_frames

        recorded = read_frames(source, read_topics(options), TOLERANCE_S)
        return ((f"{number:06d}", frame) for number, frame in enumerate(recorded))
    from open_set_seg.cli.files import read_file_frames

    return read_file_frames(source, *read_range_source(options))


def _row(obstacle: Obstacle, nearest_class: str) -> dict[str, object]:
    x, y, z = obstacle.position
    left, top, box_width, box_height = obstacle.box
    metres = {
        "distance": obstacle.distance, "sigma": obstacle.distance_sigma, "x": x, "y": y, "z": z,
        "width": obstacle.width, "height": obstacle.height,
    }  # fmt: skip
    return {
        "id": obstacle.id,
        "kind": obstacle.kind,
        **{key: "" if math.isnan(value) else f"{value:.4f}" for key, value in metres.items()},
        "valid_share": f"{obstacle.valid_share:.4f}",
        "mean_score": f"{obstacle.mean_score:.4f}",
        "peak_score": f"{obstacle.peak_score:.4f}",
        "nearest_class": nearest_class,
        "left": left,
        "top": top,
        "box_width": box_width,
        "box_height": box_height,
    }
