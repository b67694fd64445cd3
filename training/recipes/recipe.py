"""What one run of ``python -m training.train`` does, whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from open_set_seg.label_spaces import LABEL_SPACES
from training.recipes.negatives import FlowRecipe, NegativesRecipe, SourceOptimisationRecipe
from training.recipes.reading import read_section, read_yaml, require, to_mapping
from training.recipes.sections import (
    AugmentationRecipe,
    DataRecipe,
    NetworkRecipe,
    OptimisationRecipe,
    ScoreRecipe,
    SetRecipe,
)


@dataclass(frozen=True)
class Recipe:
    """Training of a segmentation network: on known classes, or on mixed-content images.

    Attributes:
        negatives: what is pasted; None for training on known classes alone.
    """

    name: str
    task: Literal["segmentation"] = "segmentation"
    seed: int = 0
    label_space: str = "streethazards_12"
    network: NetworkRecipe = field(default_factory=NetworkRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    augmentation: AugmentationRecipe = field(default_factory=AugmentationRecipe)
    optimisation: OptimisationRecipe = field(default_factory=OptimisationRecipe)
    negatives: NegativesRecipe | None = None
    score: ScoreRecipe = field(default_factory=ScoreRecipe)

    def __post_init__(self) -> None:
        _check_start(self)


def _check_start(recipe: Recipe | FlowTrainingRecipe) -> None:
    require(bool(recipe.name), "name", "a name")
    require(0 <= recipe.seed < 2**32, "seed", "a number from 0 to 2^32 - 1")
    require(recipe.label_space in LABEL_SPACES, "label_space", sorted(LABEL_SPACES))


@dataclass(frozen=True)
class CropsRecipe:
    """Random crops that a flow learns the density of.

    Attributes:
        size: side, a multiple of 8 pixels.
        short_side: crops are cut as if images were first resized so that their shorter side is so
            long; None: from images as they are.
        mirror: probability.
        validation_crops: held-out crops whose bits per dimension are measured.
    """

    size: int = 64
    short_side: int | None = None
    mirror: float = 0.5
    validation_crops: int = 64

    def __post_init__(self) -> None:
        require(self.size >= 8 and self.size % 8 == 0, "size", "a multiple of 8")
        short = self.short_side
        require(short is None or short >= self.size, "short_side", f"at least size, {self.size}")
        require(0 <= self.mirror <= 1, "mirror", "a probability")
        require(self.validation_crops >= 1, "validation_crops", "at least 1")


@dataclass(frozen=True)
class FlowOptimisationRecipe(SourceOptimisationRecipe):
    """Maximum likelihood of a flow.

    Attributes:
        final_learning_rate: the end of a cosine; None for a constant rate.
        steps, epochs, batch: as for networks; an epoch takes one crop of every image.
    """

    learning_rate: float = 1e-3
    final_learning_rate: float | None = None
    steps: int = 2000
    epochs: int | None = None
    batch: int = 24
    validate_every: int = 1000
    save_every: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "batch", "validate_every", "save_every"):
            require(getattr(self, name) >= 1, name, "at least 1")
        require(self.epochs is None or self.epochs >= 1, "epochs", "at least 1")
        last = self.final_learning_rate
        falls = last is None or 0 <= last <= self.learning_rate
        require(falls, "final_learning_rate", "a number from 0 to learning_rate")


@dataclass(frozen=True)
class FlowTrainingRecipe:
    """Training of a normalizing flow on crops, by likelihood alone."""

    name: str
    task: Literal["flow"] = "flow"
    seed: int = 0
    label_space: str = "streethazards_12"
    flow: FlowRecipe = field(default_factory=FlowRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    crops: CropsRecipe = field(default_factory=CropsRecipe)
    optimisation: FlowOptimisationRecipe = field(default_factory=FlowOptimisationRecipe)

    def __post_init__(self) -> None:
        _check_start(self)


AnyRecipe = Recipe | FlowTrainingRecipe

TASKS: dict[str, type[Recipe] | type[FlowTrainingRecipe]] = {
    "segmentation": Recipe,
    "flow": FlowTrainingRecipe,
}


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> AnyRecipe:
    """The recipe of a YAML file with ``section.key=value`` replacements.

    Raises:
        RecipeError: unreadable file, unknown key, wrong type, or a value out of range.
    """
    return recipe_from_mapping(read_yaml(path, overrides))


def with_data_root(recipe: AnyRecipe, root: str | Path) -> AnyRecipe:
    """The recipe with its data sets in another place.

    Args:
        recipe: that reads data sets from the disk.
        root: in place of every ``root`` of ``data.sets``, ``data.validation`` and
            ``data.anomalies``: a folder that holds them, or the own folder of the only one.

    Raises:
        RecipeError: the recipe trains on the simulation.
    """
    data = recipe.data
    require(bool(data.sets), "data.sets", "some, to be found in another folder")

    def move(sets: tuple[SetRecipe, ...]) -> tuple[SetRecipe, ...]:
        return tuple(dataclasses.replace(one, root=str(root)) for one in sets)

    moved = dataclasses.replace(
        data,
        sets=move(data.sets),
        validation=move(data.validation),
        anomalies=move(data.anomalies),
    )
    return dataclasses.replace(recipe, data=moved)


def recipe_from_mapping(content: Mapping[str, Any]) -> AnyRecipe:
    """The recipe of nested mappings, as YAML or a checkpoint gives them.

    Raises:
        RecipeError: unknown key, wrong type, or a value out of range.
    """
    task = content.get("task", "segmentation")
    require(isinstance(task, str) and task in TASKS, "task", sorted(TASKS))
    return read_section(TASKS[task], content)


def recipe_to_mapping(recipe: AnyRecipe) -> dict[str, Any]:
    """Nested mappings and lists of plain values, for YAML and JSON."""
    return to_mapping(recipe)
