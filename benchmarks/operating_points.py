"""What a threshold buys and costs: objects found and false obstacles a frame, by distance.

    python -m benchmarks.operating_points FIRST.safetensors SECOND.safetensors

Simulated validation scenes with unknown objects of the development families, the matcher's
disparity, the whole detector at every threshold. Writes benchmarks/results/operating_points.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.machine import ROOT, save_result
from open_set_seg.detector import DetectorConfig, ObstacleDetector
from open_set_seg.frame import Prediction
from open_set_seg.metrics import MatchRule, ObjectCounts
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.simulation import VALIDATION_SEEDS, StereoFrame, render_still
from training.evaluation.obstacles import MIN_VISIBLE_PX, KnownPrediction, true_objects

THRESHOLDS = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--name", default="operating_points", help="of the result file")
    options = parser.parse_args()
    segmenters = [OpenSetSegmenter.from_checkpoint(model) for model in options.models]
    counts = [
        {threshold: ObjectCounts(MatchRule(min_visible_px=MIN_VISIBLE_PX)) for threshold in points}
        for points in ((*THRESHOLDS, own_threshold(one)) for one in segmenters)
    ]
    for seed in tqdm(VALIDATION_SEEDS[: options.scenes], unit="scene"):
        scene = render_still(seed, options.width, options.height)
        for segmenter, found in zip(segmenters, counts, strict=True):
            judge(seed, scene, segmenter, found)
    result = {
        "what": "operating_points",
        "scenes": options.scenes,
        "size": [options.width, options.height],
        "models": [
            {
                "file": model.name,
                "weights_sha256": segmenter.metadata.weights_sha256,
                "threshold": own_threshold(segmenter),
                "points": [describe(threshold, one) for threshold, one in sorted(found.items())],
            }
            for model, segmenter, found in zip(options.models, segmenters, counts, strict=True)
        ],
    }
    save_result(ROOT / "benchmarks" / "results" / f"{options.name}.json", result)


def own_threshold(segmenter: OpenSetSegmenter) -> float:
    """Of the checkpoint."""
    return segmenter.choose_threshold(None)


def judge(
    seed: int, scene: StereoFrame, segmenter: OpenSetSegmenter, counts: dict[float, ObjectCounts]
) -> None:
    """Count a scene's objects at every threshold; the network runs once."""
    frame = scene.frame()
    seen = segmenter.segment(frame.image)
    space = segmenter.label_space
    for threshold, one in counts.items():
        labels = np.where(seen.anomaly > threshold, np.uint8(space.unknown_id), seen.nearest)
        prediction = Prediction(labels, seen.anomaly, seen.nearest, threshold)
        detector = ObstacleDetector(KnownPrediction(prediction, space), DetectorConfig())
        found = detector.process(frame).obstacles
        one.add(f"{seed:09d}", found, true_objects(scene))


def describe(threshold: float, counts: ObjectCounts) -> dict[str, Any]:
    """Recall and false obstacles, overall and by band."""
    metrics = counts.metrics()
    return {
        "threshold": threshold,
        "recall": metrics.overall.recall,
        "false_per_frame": metrics.false_per_frame,
        "bands": [
            {
                "band": list(one.band),
                "objects": one.objects,
                "recall": one.recall,
                "false_per_frame": one.false_per_frame,
            }
            for one in metrics.bands
        ],
    }


if __name__ == "__main__":
    main()
