"""What a network is worth on validation data, and the threshold that suits it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from open_set_seg.ground import GroundConfig, find_ground
from open_set_seg.head import ScoreChannel, compute_channels
from open_set_seg.label_spaces import LABEL_SPACES, UNLABELLED, LabelSpace
from open_set_seg.metrics import ConfusionMatrix, pixel_metrics
from open_set_seg.scores import LogisticMap, ScoreInputs
from training.data import ValidationData
from training.recipes import Recipe, ScoreRecipe

PIXEL_NUMBERS = ("AP", "FPR95", "AUROC", "best_F1", "best_F1_threshold")
HULL_RULE = (
    "best pixel F1 on validation scenes with unknown objects of the development families, inside "
    "the convex hull of the predicted ground"
)
SETS_RULE = "best pixel F1 on the validation frames with outliers"
NO_RULE = "none: the recipe names no frames with outliers"
MAP_FRAMES = 8  # that the map of an unbounded score is fitted to

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Validation:
    """Results on validation data.

    Attributes:
        confusion: over known classes; pixels of unknown objects are not counted. None where
            nothing with known classes was looked at.
        pixels: figures of the score by name, ``PIXEL_NUMBERS``; empty where nothing with outliers
            was looked at.
        region: part of their names that says where: ``hull`` of the ground, or ``outlier``.
        threshold_rule: how ``threshold`` is chosen.
        score_map: that the score was published through.
    """

    confusion: ConfusionMatrix | None
    pixels: dict[str, float] = field(default_factory=dict)
    region: str = "outlier"
    threshold_rule: str = NO_RULE
    score_map: LogisticMap | None = None

    @property
    def threshold(self) -> float:
        """Of best F1; 0.5 where there is none."""
        found = self.pixels.get("best_F1_threshold", math.nan)
        return found if math.isfinite(found) else 0.5

    def figures(self) -> dict[str, float]:
        """The numbers that are logged and stored, fractions; NaN is left out."""
        numbers = {} if self.confusion is None else {"mIoU": self.confusion.mean_iou()}
        numbers |= {f"{self.region}_{name}": value for name, value in self.pixels.items()}
        return {f"validation_{k}": round(v, 6) for k, v in numbers.items() if math.isfinite(v)}

    def class_iou(self, space: LabelSpace) -> dict[str, float]:
        """IoU by class, fractions."""
        if self.confusion is None:
            return {}
        values = self.confusion.class_iou().round(4).tolist()
        return dict(zip(space.classes, values, strict=True))


class Validator:
    """Validates networks of one recipe on the same data each time."""

    def __init__(self, recipe: Recipe, data: ValidationData) -> None:
        self._score = recipe.score
        self._space = LABEL_SPACES[recipe.label_space]
        self._data = data
        self._frames = recipe.data.validation_frames

    def figures(self, model: nn.Module) -> dict[str, float]:
        """Of the network as it is now."""
        return self.validate(model).figures()

    def validate(self, model: nn.Module) -> Validation:
        """Closed-set quality, and pixel metrics of the recipe's score; the mode is restored."""
        was_training = model.training
        model.eval()
        found = self._on_scenes(model) if self._data.scenes is not None else self._on_sets(model)
        model.train(was_training)
        return found

    def _on_scenes(self, model: nn.Module) -> Validation:
        scenes = self._data.scenes
        assert scenes is not None
        confusion = ConfusionMatrix(self._space.num_classes)
        images = (scenes.load(index)[0] for index in range(min(len(scenes), MAP_FRAMES)))
        score_map = fit_score_map(model, images, self._score)

        def judged() -> Iterator[tuple[Floats, Bytes]]:
            for index in range(len(scenes)):
                image, labels = scenes.load(index)
                nearest, anomaly = predict(model, image, self._score, self._space, score_map)
                confusion.add(np.asarray(labels), nearest)
                yield anomaly, outlier_labels(np.asarray(labels), nearest, self._space)

        pixels = pixel_metrics_or_nan(judged())
        return Validation(confusion, pixels, "hull", HULL_RULE, score_map)

    def _on_sets(self, model: nn.Module) -> Validation:
        closed, anomalies = self._data.closed, self._data.anomalies
        picked = [(each, index) for each in anomalies for index in self._some(len(each.ids))]
        images = [each.load(index).image for each, index in picked[:MAP_FRAMES]]
        if not images and closed is not None:
            images = [closed.load(index)[0] for index in self._some(len(closed))[:MAP_FRAMES]]
        score_map = fit_score_map(model, images, self._score)
        confusion = None
        if closed is not None:
            confusion = ConfusionMatrix(self._space.num_classes)
            for index in self._some(len(closed)):
                image, labels = closed.load(index)
                nearest, _ = predict(model, image, self._score, self._space, score_map)
                confusion.add(labels, nearest)
        if not picked:
            return Validation(confusion, score_map=score_map)

        def judged() -> Iterator[tuple[Floats, Bytes]]:
            for each, index in picked:
                frame = each.load(index)
                _, anomaly = predict(model, frame.image, self._score, self._space, score_map)
                if frame.outliers is not None:
                    yield anomaly, frame.outliers

        pixels = pixel_metrics_or_nan(judged())
        return Validation(confusion, pixels, "outlier", SETS_RULE, score_map)

    def _some(self, count: int) -> Sequence[int]:
        """At most ``validation_frames`` of ``count``, evenly spread."""
        wanted = min(count, self._frames)
        return [index * count // wanted for index in range(wanted)]


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
