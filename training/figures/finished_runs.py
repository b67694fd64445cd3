"""Finished training runs, as the figures read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from open_set_seg.checkpoint import load_checkpoint
from training.data import TrainingData
from training.flow import ImageFlow, load_flow
from training.ranks import Ranks
from training.recipes import NegativesRecipe, Recipe, RecipeError, load_recipe
from training.segmentation import batches
from training.study.measuring.scenes import StudyScenes

NETWORK_FILE, FLOW_FILE = "model.safetensors", "flow.safetensors"


@dataclass(frozen=True, eq=False)
class JointRun:
    """A network and a flow that were trained jointly.

    Attributes:
        recipe: of the run.
        negatives: its section of them.
        network, flow: at the end of it, in evaluation mode.
    """

    recipe: Recipe
    negatives: NegativesRecipe
    network: nn.Module
    flow: ImageFlow


@dataclass(frozen=True, eq=False)
class Inputs:
    """What all figures are made of.

    Attributes:
        closed_set, flow: where the joint training started.
        joint: finished joint trainings from there; the first one is shown everywhere.
        control: the closed-set network fine-tuned without negatives, if it is to be shown.
        scenes: with unknown objects of the development families.
        data: that the first joint run was trained on.
        batches: number of its first batches that losses are measured on.
    """

    closed_set: nn.Module
    flow: ImageFlow
    joint: tuple[JointRun, ...]
    control: nn.Module | None
    scenes: StudyScenes
    data: TrainingData
    batches: int


def read_joint_run(folder: Path) -> JointRun:
    """The run of a folder with a recipe, a network and a flow.

    Raises:
        RecipeError: a recipe that cannot be read, or one of another training.
        CheckpointError, FlowFileError: files that cannot be read.
    """
    recipe = load_recipe(folder / "recipe.yaml")
    negatives = recipe.negatives if isinstance(recipe, Recipe) else None
    if not isinstance(recipe, Recipe) or negatives is None or negatives.source != "flow":
        raise RecipeError(f"{folder}: expected a joint training of a network and a flow")
    return JointRun(recipe, negatives, read_network(folder), read_flow(folder, negatives))


def read_network(path: Path) -> nn.Module:
    """The network of a checkpoint, or of a run's folder.

    Raises:
        CheckpointError: a file that cannot be read.
    """
    network, _ = load_checkpoint(path / NETWORK_FILE if path.is_dir() else path)
    return network.eval()


def read_flow(path: Path, recipe: NegativesRecipe) -> ImageFlow:
    """The flow of a file, or of a run's folder, that ends as the recipe says.

    Raises:
        FlowFileError: a file that cannot be read.
    """
    flow, _ = load_flow(path / FLOW_FILE if path.is_dir() else path)
    flow.end = recipe.flow.end
    return flow


def first_batches(
    data: TrainingData, recipe: Recipe, count: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of a training's first steps: (b, 3, H, W) on 0..255, and labels (b, H, W)."""
    for images, labels in batches(recipe, data, Ranks(), count)(0):
        yield images.permute(0, 3, 1, 2).float(), labels
