"""What everything beside the network costs on a CPU, stage by stage.

    python -m benchmarks.stages

Frames of a simulated drive go through the demo checkpoint once; then every stage of the detector
and of the node is timed on what the one before it gave, in turns. Writes
benchmarks/results/stages.json.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from std_msgs.msg import Header
from stereo_msgs.msg import DisparityImage

from benchmarks.machine import ROOT, save_result
from open_set_seg.checkpoint import DEMO_CHECKPOINT
from open_set_seg.detector import ObstacleDetector
from open_set_seg.drawing import draw_heatmap, draw_overlay
from open_set_seg.frame import Frame, FrameResult
from open_set_seg.ground import GroundConfig, find_ground
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.messages import decode_disparity
from open_set_seg.obstacles import ObstacleConfig, find_regions, measure_regions
from open_set_seg.ros.messages import (
    build_bgr,
    build_confidence,
    build_image,
    build_jpeg,
    build_markers,
    build_obstacle_list,
    build_obstacle_points,
    build_points,
    decode_image,
)
from open_set_seg.segmenter import label_pixels
from open_set_seg.simulation import VALIDATION_SEEDS, DriveConfig, StereoFrame, render_drive
from open_set_seg.stereo import RangeConfig, estimate_range

SIZES = ((1024, 512), (2048, 1024))
JPEG_QUALITY = 80
Stages = dict[str, Callable[[], Any]]


def main() -> None:
    """Measure all stages at all sizes and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=3, help="of the drive")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--name", default="stages", help="of the result file")
    options = parser.parse_args()
    detector = ObstacleDetector.from_checkpoint(DEMO_CHECKPOINT, device="cpu", backend="pytorch")
    results = {}
    for width, height in SIZES:
        config = DriveConfig(
            seed=VALIDATION_SEEDS[0],
            frames=options.frames,
            rate_hz=2.0,
            width=width,
            height=height,
            supersampling=1,
        )
        frames = [make_stages(detector, frame) for frame in render_drive(config)]
        results[f"{width}x{height}"] = take_turns(frames, options.rounds)
    result = {"what": "stages", **vars(options), "median_ms": results}
    save_result(ROOT / "benchmarks" / "results" / f"{options.name}.json", result)


def make_stages(detector: ObstacleDetector, rendered: StereoFrame) -> Stages:
    """Name -> what to time, for one frame."""
    frame, header = rendered.frame(), Header()
    picture = build_bgr(header, frame.image)
    ranges = make_disparity_message(header, frame)
    result, space = detector.process(frame), detector.label_space
    prediction, camera = result.prediction, frame.camera
    assert camera is not None
    assert frame.range_input is not None
    size = (camera.height, camera.width)
    return {
        "image message to RGB": partial(decode_image, picture),
        "disparity message to map": partial(decode_disparity, ranges),
        "labels": partial(
            label_pixels, prediction.nearest, prediction.anomaly, prediction.threshold, space
        ),
        "range": partial(estimate_range, frame.range_input, size, camera, RangeConfig()),
        "ground": partial(find_ground, prediction.nearest, space, GroundConfig()),
        **make_obstacle_stages(result, space),
        **make_message_stages(header, frame, result, space),
    }


def make_disparity_message(header: Any, frame: Frame) -> Any:
    """What a matcher would have sent."""
    disparity: Any = frame.range_input
    image = build_image(header, disparity.values, "32FC1")
    return DisparityImage(
        image=image,
        f=disparity.focal_length,
        t=disparity.baseline,
        min_disparity=disparity.min_disparity,
        max_disparity=disparity.max_disparity,
        delta_d=disparity.quantum,
    )


def make_obstacle_stages(result: FrameResult, space: LabelSpace) -> Stages:
    """Search and measurement."""
    prediction, range_map, camera = result.prediction, result.range_map, result.camera
    ground, config = result.ground, ObstacleConfig()
    assert ground is not None
    found = find_regions(prediction, range_map, ground, camera, space, config)
    return {
        "regions": partial(find_regions, prediction, range_map, ground, camera, space, config),
        "measurement": partial(
            measure_regions, found.regions, prediction, range_map, camera, config
        ),
    }


def make_message_stages(
    header: Any, frame: Frame, result: FrameResult, space: LabelSpace
) -> Stages:
    """Pictures and messages, each for one topic."""
    prediction, obstacles, unknown = result.prediction, result.obstacles, space.unknown_id
    assert result.range_map is not None
    assert result.camera is not None
    overlay, heatmap = draw_overlay(frame.image, result, space), draw_heatmap(prediction.anomaly)
    return {
        "overlay, drawn": partial(draw_overlay, frame.image, result, space),
        "overlay, message": partial(build_bgr, header, overlay),
        "overlay, JPEG message": partial(build_jpeg, header, overlay, JPEG_QUALITY),
        "heatmap, drawn": partial(draw_heatmap, prediction.anomaly),
        "heatmap, message": partial(build_bgr, header, heatmap),
        "segmentation, message": partial(build_image, header, prediction.labels, "mono8"),
        "anomaly, message": partial(build_image, header, prediction.anomaly, "32FC1"),
        "confidence, message": partial(build_confidence, header, prediction.anomaly),
        "obstacle list, message": partial(build_obstacle_list, header, obstacles, unknown),
        "obstacle markers, message": partial(build_markers, header, obstacles),
        "obstacle points, message": partial(build_obstacle_points, header, result, unknown),
        "all points, message": partial(build_points, header, result.range_map.depth, result.camera),
    }


def take_turns(frames: list[Stages], rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of every stage over frames and rounds; one more round warms up.

    ``processor`` is the time of all threads of this process: what others do at the same time
    disturbs it less than ``wall``.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in frames[0]}
    for turn in range(rounds + 1):
        for stages in frames:
            for name, run in stages.items():
                wall, processor = time.perf_counter(), time.process_time()
                run()
                spent = (time.perf_counter() - wall, time.process_time() - processor)
                if turn:
                    times[name].append(spent)
    medians = {name: np.median(np.array(values) * 1e3, axis=0) for name, values in times.items()}
    return {
        name: {"wall": round(float(wall), 3), "processor": round(float(processor), 3)}
        for name, (wall, processor) in medians.items()
    }


if __name__ == "__main__":
    main()
