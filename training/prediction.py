"""What a network in training says of an image: nearest classes and the recipe's score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from open_set_seg.head import ScoreChannel, compute_channels
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.scores import LogisticMap, ScoreInputs
from training.recipes import ScoreRecipe

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@contextmanager
def evaluated(module: nn.Module) -> Iterator[None]:
    """Inside, the module is in evaluation mode; then every part of it is in its own mode again."""
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for each, mode in modes:
            each.training = mode


@torch.inference_mode()
def fit_score_map(
    model: nn.Module, images: Iterable[Bytes], score: ScoreRecipe
) -> LogisticMap | None:
    """The map that publishes an unbounded score: median and half the inner-80 % range of images.

    None for a bounded score, which needs no map.
    """
    scoring = score.scoring
    if scoring.bounded:
        return None
    channel = ScoreChannel(scoring.score, scoring.temperature)
    values = [channel(_outputs(model, image)).flatten() for image in images]
    if not values:
        return LogisticMap(location=0.0, scale=1.0)
    pooled = torch.cat(values).cpu().numpy()
    low, middle, high = np.quantile(pooled, [0.1, 0.5, 0.9]).tolist()
    return LogisticMap(location=middle, scale=max(1e-6, (high - low) / 2.0))


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


def _outputs(model: nn.Module, image: Bytes) -> ScoreInputs:
    device = next(model.parameters()).device
    tensor = torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1).unsqueeze(0)
    return ScoreInputs(*model(tensor.float()))
