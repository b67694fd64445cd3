"""What a network is worth on validation data, and the threshold that suits it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import nn

from open_set_seg.ground import GroundConfig, find_ground
from open_set_seg.label_spaces import LABEL_SPACES, UNLABELLED, LabelSpace
from open_set_seg.metrics import ConfusionMatrix, pixel_metrics
from open_set_seg.scores import LogisticMap
from training.data import ValidationData
from training.datasets.frames import Dataset
from training.datasets.simulation import SimulationDataset
from training.prediction import evaluated, fit_score_map, predict
from training.recipes import Recipe

PIXEL_NUMBERS = ("AP", "FPR95", "AUROC", "best_F1", "best_F1_threshold")
HULL_RULE = (
    "best pixel F1 on validation scenes with unknown objects of the development families, inside "
    "the convex hull of the predicted ground"
)
SETS_RULE = "best pixel F1 on the validation frames with outliers"
NO_RULE = "none: the recipe names no frames with outliers"
MAP_FRAMES = 8  # that the map of an unbounded score is fitted to
EXAMPLES = 4  # images that are shown, at most

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Validation:
    """Results on validation data.

    Attributes:
        confusion: over known classes; pixels of unknown objects are not counted. None where
            nothing with known classes was looked at.
        pixels: figures of the score by name, ``PIXEL_NUMBERS``, NaN where no outlier or no inlier
            was seen; empty where nothing with outliers was looked at.
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
        """The numbers that are logged and stored, fractions; NaN is left out.

        ``validation_mIoU``, and ``validation_hull_AP`` or ``validation_outlier_AP`` and so on.
        """
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
    """Validates networks of one recipe on the same data each time.

    Args:
        recipe: says the score, the label space and how many frames of a data set are looked at.
        data: simulated scenes, or data sets. The threshold and the pixel figures of scenes are of
            the hull of the predicted ground; those of data sets are of all frames with outliers
            together.
    """

    def __init__(self, recipe: Recipe, data: ValidationData) -> None:
        self._score = recipe.score
        self._space = LABEL_SPACES[recipe.label_space]
        self._data = data
        self._frames = recipe.data.validation_frames

    def validate(self, model: nn.Module) -> Validation:
        """Closed-set quality, and pixel metrics of the recipe's score; the mode is restored."""
        with evaluated(model):
            if self._data.scenes is not None:
                return self._on_scenes(model, self._data.scenes)
            return self._on_sets(model)

    def examples(self) -> list[Bytes]:
        """A few images (H, W, 3), those with outliers first; the same ones each time."""
        scenes, closed, picked = self._data.scenes, self._data.closed, self._picked()
        if scenes is not None:
            return [np.array(scenes.load(i)[0]) for i in _spread(len(scenes), EXAMPLES)]
        outliers = EXAMPLES if closed is None else EXAMPLES // 2
        images = [
            each.load(index).image
            for each, index in (picked[i] for i in _spread(len(picked), outliers))
        ]
        if closed is not None:
            images += [closed.load(i)[0] for i in _spread(len(closed), EXAMPLES - len(images))]
        return images

    def _on_scenes(self, model: nn.Module, scenes: SimulationDataset) -> Validation:
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
        closed, picked = self._data.closed, self._picked()
        places = [] if closed is None else _spread(len(closed), self._frames)
        images = [each.load(index).image for each, index in picked[:MAP_FRAMES]]
        if not images and closed is not None:
            images = [closed.load(index)[0] for index in places[:MAP_FRAMES]]
        score_map = fit_score_map(model, images, self._score)
        confusion = None
        if closed is not None:
            confusion = ConfusionMatrix(self._space.num_classes)
            for index in places:
                image, labels = closed.load(index)
                nearest, _ = predict(model, image, self._score, self._space, score_map)
                confusion.add(labels, nearest)
        if not picked:
            return Validation(confusion, score_map=score_map)

        def judged() -> Iterator[tuple[Floats, Bytes]]:
            for each, index in picked:
                frame = each.load(index)
                if frame.outliers is not None:
                    anomaly = predict(model, frame.image, self._score, self._space, score_map)[1]
                    yield anomaly, frame.outliers

        pixels = pixel_metrics_or_nan(judged())
        return Validation(confusion, pixels, "outlier", SETS_RULE, score_map)

    def _picked(self) -> list[tuple[Dataset, int]]:
        """The frames with outliers that are looked at."""
        return [
            (each, index)
            for each in self._data.anomalies
            for index in _spread(len(each.ids), self._frames)
        ]


def _spread(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` indices, evenly spread."""
    wanted = min(count, most)
    return [index * count // wanted for index in range(wanted)]


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


def outlier_labels(labels: Bytes, nearest: Bytes, space: LabelSpace) -> Bytes:
    """0 known, 1 unknown, 255 unlabelled or outside the hull of the predicted ground."""
    outliers: Bytes = (labels == space.unknown_id).astype(np.uint8)
    outliers[labels == UNLABELLED] = 255
    ground = find_ground(nearest, space, GroundConfig())
    outliers[~ground if ground is not None else slice(None)] = 255
    return outliers
