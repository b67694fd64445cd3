"""What a recipe is trained and validated on, and the random sample of each place in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from open_set_seg.label_spaces import LABEL_SPACES
from open_set_seg.simulation import TRAINING_SEEDS, VALIDATION_SEEDS
from training.datasets.frames import Dataset
from training.datasets.simulation import SimulationDataset, View, prepare_scenes
from training.datasets.training_sets import TrainingSet, open_sources, open_training_set
from training.datasets.transforms import augment
from training.ranks import Ranks
from training.recipes import AnyRecipe, DataRecipe, Recipe, RecipeError, SimulationRecipe

Bytes = NDArray[np.uint8]

# Uses of the recipe's seed.
ORDER_USE, SAMPLE_USE = 1, 2


class TrainingFrames(Protocol):
    """Labelled images by index; loading one does not depend on others."""

    def __len__(self) -> int: ...

    def load(self, index: int) -> tuple[Bytes, Bytes]:
        """Image (H, W, 3) and labels (H, W), 255 = unlabelled."""

    def count_classes(self, num_classes: int) -> NDArray[np.int64]:
        """Pixels of every class (K,), or of an even sample of the frames."""


class TrainingImages:
    """The images of training frames without their labels."""

    def __init__(self, frames: TrainingFrames) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def load(self, index: int) -> Bytes:
        """(H, W, 3)."""
        return self._frames.load(index)[0]


@dataclass(frozen=True)
class ValidationData:
    """What a network is validated on.

    Attributes:
        scenes: simulated, with unknown objects of the development families; None without them.
        closed: for the closed-set mIoU; None for none.
        anomalies: with outliers; empty for none.
    """

    scenes: SimulationDataset | None = None
    closed: TrainingSet | None = None
    anomalies: tuple[Dataset, ...] = ()


@dataclass(frozen=True)
class TrainingData:
    """What a recipe asks for."""

    training: TrainingFrames
    validation: ValidationData


def prepare_data(recipe: AnyRecipe, ranks: Ranks, progress: bool) -> TrainingData:
    """The data of a recipe: scenes are rendered unless they are cached, data sets are opened.

    Raises:
        DatasetError: a data set is not where the recipe says; the message shows the expected
            layout and how to get it.
    """
    scenes = recipe.data.scenes
    if scenes is None:
        return _open_sets(recipe)
    # The first process renders.
    return ranks.after_first(lambda: _prepare_simulation(scenes, progress and ranks.rank == 0))


def batch_slots(recipe: AnyRecipe, ranks: Ranks) -> range:
    """Places in each batch that this process fills.

    Raises:
        RecipeError: the batch cannot be divided equally among the processes.
    """
    try:
        return ranks.share(recipe.optimisation.batch)
    except ValueError as error:
        raise RecipeError(f"optimisation.batch: {error}") from error


def sample(frames: TrainingFrames, recipe: Recipe, step: int, slot: int) -> tuple[Bytes, Bytes]:
    """The augmented image and labels of a slot of a step."""
    image, labels = frames.load(place(recipe, len(frames), step, slot))
    position = step * recipe.optimisation.batch + slot
    random = np.random.default_rng([recipe.seed, SAMPLE_USE, position])
    return augment(image, labels, recipe.augmentation, random)


def place(recipe: AnyRecipe, count: int, step: int, slot: int) -> int:
    """Which of ``count`` frames a slot of a step takes: every epoch visits all in its own order."""
    epoch, index = divmod(step * recipe.optimisation.batch + slot, count)
    order = np.random.default_rng([recipe.seed, ORDER_USE, epoch]).permutation(count)
    return int(order[index])


def _prepare_simulation(recipe: SimulationRecipe, progress: bool) -> TrainingData:
    def prepare(seeds: Sequence[int], unknown_objects: bool) -> SimulationDataset:
        view = View(recipe.width, recipe.height, recipe.supersampling, unknown_objects)
        return prepare_scenes(recipe.cache, seeds, view, recipe.workers, progress)

    training = prepare(TRAINING_SEEDS[: recipe.training_scenes], False)
    validation = prepare(VALIDATION_SEEDS[: recipe.validation_scenes], True)
    return TrainingData(training, ValidationData(scenes=validation))


def _open_sets(recipe: AnyRecipe) -> TrainingData:
    data: DataRecipe = recipe.data
    space = LABEL_SPACES[recipe.label_space]
    training = open_training_set(data.sets, space, data.skip_corrupt)
    closed = None
    if data.validation:
        closed = TrainingSet(open_sources(data.validation, "val"), space, data.skip_corrupt)
    anomalies = tuple(open_sources(data.anomalies, "val"))
    return TrainingData(training, ValidationData(closed=closed, anomalies=anomalies))
