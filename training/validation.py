"""What a network is worth on validation scenes, and the threshold that suits it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from open_set_seg.ground import GroundConfig, find_ground
from open_set_seg.head import ScoreChannel, compute_channels
from open_set_seg.label_spaces import UNLABELLED, LabelSpace
from open_set_seg.metrics import ConfusionMatrix, pixel_metrics
from open_set_seg.scores import LogisticMap, ScoreInputs
from training.datasets.simulation import SimulationDataset
from training.recipes import ScoreRecipe

THRESHOLD_RULE = (
    "best pixel F1 on validation scenes with unknown objects of the development families, inside "
    "the convex hull of the predicted ground"
)

PIXEL_NUMBERS = ("AP", "FPR95", "AUROC", "best_F1", "best_F1_threshold")

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Validation:
    """Results on validation scenes.

    Attributes:
        confusion: over known classes; pixels of unknown objects are not counted.
        pixels: AP, FPR95, AUROC, best_F1 and best_F1_threshold inside the ground hull.
    """

    confusion: ConfusionMatrix
    pixels: dict[str, float]


@torch.inference_mode()
def fit_score_map(
    model: nn.Module, scenes: SimulationDataset, score: ScoreRecipe, count: int = 8
) -> LogisticMap | None:
    """The map that publishes an unbounded score: median and half the inner-80 % range of scenes.

    None for a bounded score, which needs no map.
    """
    scoring = score.scoring
    if scoring.bounded:
        return None
    channel = ScoreChannel(scoring.score, scoring.temperature)
    values = []
    for index in range(min(count, len(scenes))):
        image, _ = scenes.load(index)
        values.append(channel(_outputs(model, image)).flatten())
    low, middle, high = torch.quantile(torch.cat(values), torch.tensor([0.1, 0.5, 0.9])).tolist()
    return LogisticMap(location=middle, scale=max(1e-6, (high - low) / 2.0))


def validate(
    model: nn.Module,
    scenes: SimulationDataset,
    space: LabelSpace,
    score: ScoreRecipe,
    score_map: LogisticMap | None = None,
) -> Validation:
    """Closed-set quality, and pixel metrics of the score in the hull of the ground."""
    was_training = model.training
    model.eval()
    confusion = ConfusionMatrix(space.num_classes)

    def judged() -> Iterator[tuple[Floats, Bytes]]:
        for index in range(len(scenes)):
            image, labels = scenes.load(index)
            nearest, anomaly = predict(model, image, score, space, score_map)
            confusion.add(np.asarray(labels), nearest)
            yield anomaly, outlier_labels(np.asarray(labels), nearest, space)

    pixels = pixel_metrics_or_nan(judged())
    model.train(was_training)
    return Validation(confusion, pixels)


def pixel_metrics_or_nan(frames: Iterable[tuple[Floats, Bytes]]) -> dict[str, float]:
    """``pixel_metrics``, or NaN throughout where no outlier or no inlier was seen.

    All frames are consumed in any case.
    """
    has_outlier = has_inlier = False

    def watched() -> Iterator[tuple[Floats, Bytes]]:
        nonlocal has_outlier, has_inlier
        for scores, labels in frames:
            has_outlier |= bool((labels == 1).any())
            has_inlier |= bool((labels == 0).any())
            yield scores, labels

    try:
        return pixel_metrics(watched())
    except ValueError:
        if has_outlier and has_inlier:
            raise
        return dict.fromkeys(PIXEL_NUMBERS, math.nan)


@torch.inference_mode()
def predict(
    model: nn.Module,
    image: Bytes,
    score: ScoreRecipe,
    space: LabelSpace,
    score_map: LogisticMap | None,
) -> tuple[Bytes, Floats]:
    """Nearest class and published anomaly of an (H, W, 3) image."""
    scoring, (height, width) = score.scoring, image.shape[:2]
    published = None if scoring.steps else score_map
    channel = ScoreChannel(scoring.score, scoring.temperature, published, scoring.coarse)
    classes, (values,) = compute_channels(_outputs(model, image), (height, width), [channel])
    nearest: Bytes = classes[0].cpu().numpy()
    anomaly: Floats = values[0].cpu().numpy()
    for step in scoring.steps:
        anomaly = step(anomaly, nearest, space, scoring.lowest)
    if scoring.steps and score_map is not None:
        anomaly = score_map(torch.from_numpy(anomaly)).numpy()
    return nearest, anomaly


def outlier_labels(labels: Bytes, nearest: Bytes, space: LabelSpace) -> Bytes:
    """0 known, 1 unknown, 255 unlabelled or outside the hull of the predicted ground."""
    outliers: Bytes = (labels == space.unknown_id).astype(np.uint8)
    outliers[labels == UNLABELLED] = 255
    ground = find_ground(nearest, space, GroundConfig())
    outliers[~ground if ground is not None else slice(None)] = 255
    return outliers


def _outputs(model: nn.Module, image: Bytes) -> ScoreInputs:
    device = next(model.parameters()).device
    tensor = torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1).unsqueeze(0)
    return ScoreInputs(*model(tensor.float()))
