"""``open-set-seg detect``."""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    from open_set_seg.observer import Observation, ObserverConfig

HELP = "find obstacles in images or in a recording"
DESCRIPTION = (
    "Finds obstacles in an image, in a folder of images, or in a rosbag2 recording, and writes "
    "pictures, obstacles.csv, and frames.csv, which says of every frame what was seen of the road. "
    "Distances need a second source: the right image of a rectified pair, a disparity or depth "
    "map, or the recording's own topics. Obstacles of a recording are followed from frame to frame."
)
COLUMNS = (
    "frame", "stamp", "id", "state", "kind", "distance", "sigma", "x", "y", "z", "width", "height",
    "valid_share", "mean_score", "peak_score", "nearest_class", "left", "top", "box_width",
    "box_height",
)  # fmt: skip
FRAME_COLUMNS = (
    "frame", "stamp", "examined", "obstacles", "missing", "corridor_share", "range_share",
    "clear_until", "detectable_10cm", "detectable_20cm", "detectable_30cm", "camera", "drift",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("source", type=Path, help="image, folder of images, or rosbag2 folder")
    parser.add_argument("--output", type=Path, default=Path("detections"), metavar="DIR")
    parser.add_argument("--model", type=Path, metavar="FILE", help="another model (docs/models.md)")
    add_network_arguments(parser, "; needs --threshold (unbounded ones: fitted before)")
    parser.add_argument(
        "--threshold", type=float,
        help="anomaly above which a pixel is unknown; default: the calibration's, else the model's",
    )  # fmt: skip
    parser.add_argument(
        "--calibration", default="auto", metavar="FILE",
        help="of `open-set-seg calibrate`; auto: beside the model, if it is there; off: none",
    )  # fmt: skip
    parser.add_argument(
        "--no-tracking", action="store_true", help="number the obstacles of each frame anew"
    )
    parser.add_argument(
        "--no-ground", action="store_true", help="list what is off the road as well"
    )
    add_range_arguments(parser, "distances for images")
    add_topic_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Process everything in order and write the results."""
    from tqdm import tqdm

    from open_set_seg.checkpoint import DEMO_CHECKPOINT
    from open_set_seg.detector import ObstacleDetector
    from open_set_seg.drawing import draw_heatmap, draw_overlay, save_picture
    from open_set_seg.observer import Observer

    frames = _frames(options)
    observer = Observer.from_checkpoint(
        options.model or DEMO_CHECKPOINT,
        _config(options),
        options.device,
        options.precision,
        options.backend,
        options.score,
        None if options.calibration == "off" else options.calibration,
    )
    assert isinstance(observer.detector, ObstacleDetector)
    space = observer.detector.label_space
    options.output.mkdir(parents=True, exist_ok=True)
    said: set[str] = set()
    with (
        _table(options.output / "obstacles.csv", COLUMNS) as obstacles,
        _table(options.output / "frames.csv", FRAME_COLUMNS) as seen,
    ):
        for name, frame in tqdm(frames, desc="detecting", unit="frame"):
            observation = observer.observe(frame)
            result = observation.result
            overlay = draw_overlay(frame.image, result, space)
            save_picture(options.output / f"{name}_overlay.png", overlay)
            heatmap = draw_heatmap(result.prediction.anomaly)
            save_picture(options.output / f"{name}_anomaly.png", heatmap)
            place = {"frame": name, "stamp": frame.stamp_ns * 1e-9}
            for obstacle in result.obstacles:
                row = _row(obstacle, space.name_of(obstacle.nearest_classes[0][0]))
                obstacles.writerow({**place, **row})
            seen.writerow({**place, **_frame_row(observation)})
            for code, text in _remarks(observation):
                if code not in said:
                    tqdm.write(f"{name}: {text} (said once)")
                said.add(code)
    print(observer.operating_point.promise)
    print(f"results: {options.output}/")
    return 0


def _config(options: argparse.Namespace) -> ObserverConfig:
    """As the options say; pictures are no stream of frames."""
    from open_set_seg.detector import DetectorConfig
    from open_set_seg.ground import GroundConfig
    from open_set_seg.monitoring import DriftConfig
    from open_set_seg.observer import ObserverConfig
    from open_set_seg.tracking import TrackingConfig

    detector = DetectorConfig(
        threshold=options.threshold,
        ground=GroundConfig(mode="off" if options.no_ground else "hull"),
    )
    if not _is_recording(options.source):
        return ObserverConfig(detector, tracking=None, drift=DriftConfig(interval_s=0.0))
    return ObserverConfig(detector, tracking=None if options.no_tracking else TrackingConfig())


@contextmanager
def _table(path: Path, columns: Sequence[str]) -> Iterator[csv.DictWriter[str]]:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        yield table


def _remarks(observation: Observation) -> Iterator[tuple[str, str]]:
    """What the user must hear of, each with its code."""
    for problem in observation.result.problems:
        yield problem.code, problem.message
    for fault in observation.camera_health.faults:
        yield f"camera.{fault}", f"the camera's picture is {fault}"
    drift = observation.drift
    if drift is not None and drift.state != "ok":
        yield "drift", drift.message


def _frames(options: argparse.Namespace) -> Iterator[tuple[str, Frame]]:
    source: Path = options.source
    if not source.exists():
        raise ValueError(f"{source} does not exist")
    if _is_recording(source):
        from open_set_seg.bags import read_frames

        recorded = read_frames(source, read_topics(options), TOLERANCE_S)
        return ((f"{number:06d}", frame) for number, frame in enumerate(recorded))
    from open_set_seg.cli.files import read_file_frames

    return read_file_frames(source, *read_range_source(options))


def _is_recording(source: Path) -> bool:
    return (source / "metadata.yaml").is_file() or source.suffix in (".mcap", ".db3", ".bag")


def _frame_row(observation: Observation) -> dict[str, object]:
    seen, drift = observation.visibility, observation.drift
    numbers = {
        "corridor_share": seen.corridor_share,
        "range_share": seen.range_share,
        "clear_until": seen.clear_until_m,
        **{
            f"detectable_{100 * size:.0f}cm": distance
            for size, distance in seen.detectable_distance_m.items()
        },
    }
    return {
        "examined": int(observation.result.examined),
        "obstacles": len(observation.result.obstacles),
        "missing": len(observation.missing),
        **{key: "" if math.isnan(value) else f"{value:.4g}" for key, value in numbers.items()},
        "camera": " ".join(observation.camera_health.faults) or "ok",
        "drift": "" if drift is None else drift.state,
    }


def _row(obstacle: Obstacle, nearest_class: str) -> dict[str, object]:
    x, y, z = obstacle.position
    left, top, box_width, box_height = obstacle.box
    metres = {
        "distance": obstacle.distance, "sigma": obstacle.distance_sigma, "x": x, "y": y, "z": z,
        "width": obstacle.width, "height": obstacle.height,
    }  # fmt: skip
    return {
        "id": obstacle.id,
        "state": getattr(obstacle, "state", ""),
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
