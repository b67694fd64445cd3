"""The whole frame: image in; labels, anomaly, ranges, obstacles and the picture of them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from open_set_seg.benchmark.engines import BASELINE, Engine
from open_set_seg.benchmark.heads import score_channel, textbook_head
from open_set_seg.benchmark.turns import Progress, median_ratio, spread, take_turns
from open_set_seg.checkpoint import CheckpointMetadata
from open_set_seg.detector import ObstacleDetector, Segmenter
from open_set_seg.drawing import draw_heatmap, draw_overlay
from open_set_seg.frame import Frame, FrameResult, ImageRGB, Prediction
from open_set_seg.head import compute_channels
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.scores import ScoreInputs
from open_set_seg.scoring import Scoring
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.simulation import VALIDATION_SEEDS, render_still

# Of a network that was never trained: leaves some of the image above the threshold.
UNTRAINED_QUANTILE = 0.99
STAGES = ("segmentation", "range", "ground", "obstacles")


class TextbookSegmenter:
    """The baseline of a frame: a network as it is, the textbook's head, and labels in NumPy.

    Args:
        engine: runs the network.
        metadata: label space and threshold.
    """

    def __init__(self, engine: Engine, metadata: CheckpointMetadata) -> None:
        self._backend = engine.backend
        self._metadata = metadata

    @property
    def label_space(self) -> LabelSpace:
        """The known classes."""
        return self._metadata.label_space

    def segment(self, rgb: ImageRGB, threshold: float | None = None) -> Prediction:
        """See ``open_set_seg.detector.Segmenter``."""
        threshold = self._metadata.threshold if threshold is None else threshold
        with torch.inference_mode():
            nearest, anomaly = textbook_head(self._backend(rgb).logits, rgb.shape[:2])
        classes = nearest[0].cpu().numpy().astype(np.uint8)
        values = anomaly[0].cpu().numpy()
        labels = np.where(values > threshold, np.uint8(self.label_space.unknown_id), classes)
        return Prediction(labels, values, classes, threshold)


def make_frame(size: tuple[int, int]) -> Frame:
    """A rendered scene with the disparity of a matcher, always the same one for a size (H, W)."""
    return render_still(VALIDATION_SEEDS[0], width=size[1], height=size[0]).frame()


def make_detectors(
    engines: Sequence[Engine], frame: Frame, trained: bool
) -> dict[str, ObstacleDetector]:
    """A detector of every engine, all with one threshold."""
    metadata = engines[0].model.metadata
    if not trained:
        anomaly = TextbookSegmenter(engines[0], metadata).segment(frame.image).anomaly
        threshold = float(np.quantile(anomaly, UNTRAINED_QUANTILE))
        metadata = replace(metadata, threshold=threshold)
    return {one.spec.name: ObstacleDetector(_segmenter(one, metadata)) for one in engines}


def measure_frames(
    engines: Sequence[Engine],
    detectors: Mapping[str, ObstacleDetector],
    frame: Frame,
    rounds: int,
    device: torch.device,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Rows of a result: the frame of every engine, stage by stage, in one interleaved run.

    ``ms`` is the frame without pictures. ``rest`` is what the segmenter does beside network and
    head: labels out, copies. The image's conversion is timed where it is a step of its own.
    """
    recorded: dict[str, list[FrameResult]] = {name: [] for name in detectors}

    def process(name: str) -> None:
        recorded[name].append(detectors[name].process(frame))

    variants: dict[str, Callable[[], Any]] = {}
    for engine in engines:
        name = engine.spec.name
        variants[f"{name}: frame"] = partial(process, name)
        variants.update(_stages(engine, detectors[name], frame))
    times, cpu = take_turns(variants, rounds, device, progress)
    return [
        _describe(engine.spec.name, times, [one.timings for one in recorded[engine.spec.name][1:]])
        | {
            "cpu_ms": spread(cpu[f"{engine.spec.name}: frame"]),
            "obstacles": len(recorded[engine.spec.name][-1].obstacles),
        }
        for engine in engines
    ]


def _segmenter(engine: Engine, metadata: CheckpointMetadata) -> Segmenter:
    if engine.spec.name == BASELINE:
        return TextbookSegmenter(engine, metadata)
    return OpenSetSegmenter(
        engine.backend, metadata, str(engine.backend.device), statistics=engine.model.statistics
    )


def _stages(
    engine: Engine, detector: ObstacleDetector, frame: Frame
) -> dict[str, Callable[[], Any]]:
    """Parts of a frame that its own clock does not tell apart."""
    name, rgb = engine.spec.name, frame.image
    size = rgb.shape[0], rgb.shape[1]
    result = detector.process(frame)
    with torch.inference_mode():
        output = engine.backend(rgb)
    # The backend's tensors are written again by its next call.
    inputs = ScoreInputs(output.logits.clone())
    channel = score_channel(Scoring.parse(engine.model.metadata.score))

    def head() -> Any:
        with torch.inference_mode():
            if name == BASELINE:
                return textbook_head(inputs.logits, size)
            return compute_channels(inputs, size, [channel])

    stages: dict[str, Callable[[], Any]] = {
        f"{name}: network": lambda: engine.backend(rgb),
        f"{name}: head": head,
        f"{name}: overlay": lambda: draw_overlay(rgb, result, detector.label_space),
        f"{name}: heatmap": lambda: draw_heatmap(result.prediction.anomaly),
    }
    if (pytorch := engine.pytorch) is not None:
        stages[f"{name}: image in"] = lambda: pytorch.image_tensor(rgb)
    return stages


def _describe(
    name: str, times: Mapping[str, list[float]], timings: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    whole = times[f"{name}: frame"]
    stages = {key: [one[key] * 1e3 for one in timings] for key in STAGES}
    parts = ("image in", "network", "head", "overlay", "heatmap")
    own = {part: times[f"{name}: {part}"] for part in parts if f"{name}: {part}" in times}
    rest = np.subtract(stages["segmentation"], np.add(own["network"], own["head"]))
    own["rest"] = rest.tolist()
    row: dict[str, Any] = {
        "engine": name,
        "ms": spread(whole),
        "stages_ms": {key: spread(values) for key, values in (own | stages).items()},
    }
    if (baseline := times.get(f"{BASELINE}: frame")) is not None:
        row["times_faster_than_baseline"] = median_ratio(baseline, whole)
    return row
