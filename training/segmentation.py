"""Training of segmentation networks: data, network, negatives, validation, checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from open_set_seg import __version__
from open_set_seg.checkpoint import CheckpointMetadata, load_checkpoint, save_checkpoint
from open_set_seg.label_spaces import LABEL_SPACES
from open_set_seg.models import LadderDenseNet, build_model, count_parameters, load_imagenet
from training.data import TrainingData, TrainingImages, prepare_data, sample
from training.flow_training import open_flow, write_flow
from training.loop import Loop, Schedule, made_ahead
from training.losses import class_weights_from_counts
from training.negatives import NegativeSource, build_source
from training.negatives.flow_patches import FlowPatches
from training.optimisers import ScheduledOptimiser, network_optimiser, source_optimiser
from training.ranks import Ranks
from training.recipes import (
    NegativesRecipe,
    Recipe,
    RecipeError,
    recipe_to_mapping,
)
from training.run_state import RunFolder, code_revision
from training.steps import SegmentationObjective
from training.validation import Validator


def train_segmentation(
    recipe: Recipe, run: RunFolder, device: torch.device, ranks: Ranks, progress: bool
) -> Path:
    """Run the recipe to its end; the path of the checkpoint, ``model.safetensors`` in the folder.

    Raises:
        RecipeError: the network lacks what the score needs, or a checkpoint that does not fit.
        WeightsError: ImageNet weights that do not fit.
        DatasetError: data that are not where the recipe says.
    """
    data = prepare_data(recipe, ranks, progress)
    objective = build_objective(recipe, data, device, ranks)
    steps = count_steps(recipe, data)
    validator = Validator(recipe, data.validation)
    network = objective.network
    loop = Loop(
        objective,
        build_optimisers(objective, steps),
        run,
        Schedule(steps, recipe.optimisation.validate_every, recipe.optimisation.save_every),
        ranks,
        lambda step: validator.figures(network),
    )
    title = f"training {count_parameters(network):,} parameters"
    loop.run(batches(recipe, data, ranks, steps), title, progress)
    path = run.path / "model.safetensors"
    if ranks.rank == 0:
        finish(objective, validator, run, steps, path)
    ranks.wait()
    return path


def build_objective(
    recipe: Recipe, data: TrainingData, device: torch.device, ranks: Ranks
) -> SegmentationObjective:
    """The seeded network and source of negatives, with the classes' weights."""
    torch.manual_seed(recipe.seed)
    network = build_network(recipe)
    source = None if recipe.negatives is None else build_negatives(recipe.negatives, data)
    counts = data.training.count_classes(LABEL_SPACES[recipe.label_space].num_classes)
    weights = class_weights_from_counts(counts, recipe.optimisation.class_weight_power)
    objective = SegmentationObjective(network, source, recipe, torch.from_numpy(weights), ranks)
    objective.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return objective.to(device)


def build_network(recipe: Recipe) -> nn.Module:
    """The network with the weights that it starts from."""
    network, space = recipe.network, LABEL_SPACES[recipe.label_space]
    model = build_model(network.architecture, space.num_classes, network.width)
    if "outlier_logits" in recipe.score.scoring.entry.needs and model.logits_ood is None:
        raise RecipeError(f"score.name: {recipe.score.name} needs an outlier head, found none")
    if network.imagenet_weights is not None:
        load_imagenet(model, network.imagenet_weights)
    if network.checkpoint is not None:
        found, metadata = load_checkpoint(network.checkpoint)
        kind = (metadata.architecture, metadata.width, metadata.label_space.name)
        wanted = (network.architecture, network.width, space.name)
        if kind != wanted:
            raise RecipeError(
                f"network.checkpoint: expected {wanted}, found {kind} in {network.checkpoint}"
            )
        model.load_state_dict(found.state_dict())
    if isinstance(model, LadderDenseNet):
        model.gradient_checkpointing = network.gradient_checkpointing
    return model


def build_negatives(recipe: NegativesRecipe, data: TrainingData) -> NegativeSource:
    """The source of negatives; ``image_patches`` without ``images`` are of the training images.

    Raises:
        RecipeError: options that it does not have.
    """
    options = dict(recipe.options)
    if recipe.source == "flow":
        options["flow"] = open_flow(recipe.flow)
    if recipe.source == "image_patches":
        options.setdefault("images", TrainingImages(data.training))
    try:
        return build_source(recipe.source, **options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"negatives.options: {error}") from error


def build_optimisers(objective: SegmentationObjective, steps: int) -> dict[str, ScheduledOptimiser]:
    """Of the network, and of the source of negatives where it learns."""
    recipe = objective.recipe
    optimisers = {"network": network_optimiser(objective.network, recipe.optimisation, steps)}
    if objective.source is not None and recipe.negatives is not None:
        parameters = objective.source.parameters()
        own = source_optimiser(parameters, recipe.negatives.optimisation)
        if own is not None:
            optimisers["negatives"] = own
    return optimisers


def count_steps(recipe: Recipe, data: TrainingData) -> int:
    """Of the optimiser, in the whole run."""
    run = recipe.optimisation
    if run.epochs is None:
        return run.steps
    return run.epochs * math.ceil(len(data.training) / run.batch)


def batches(recipe: Recipe, data: TrainingData, ranks: Ranks, steps: int) -> Any:
    """Batches of (b, H, W, 3) uint8 images and (b, H, W) uint8 labels, made ahead."""

    def make(step: int, slot: int) -> tuple[Tensor, Tensor]:
        image, labels = sample(data.training, recipe, step, slot)
        return torch.from_numpy(image), torch.from_numpy(labels)

    try:
        slots: Sequence[int] = ranks.share(recipe.optimisation.batch)
    except ValueError as error:
        raise RecipeError(f"optimisation.batch: {error}") from error
    return made_ahead(make, slots, steps, recipe.data.threads)


def finish(
    objective: SegmentationObjective,
    validator: Validator,
    run: RunFolder,
    steps: int,
    path: Path,
) -> None:
    """Validate, choose the threshold and write the checkpoint, and the flow beside it."""
    recipe, network = objective.recipe, objective.network
    space = LABEL_SPACES[recipe.label_space]
    validation = validator.validate(network)
    metrics = validation.figures()
    metadata = CheckpointMetadata(
        architecture=recipe.network.architecture,
        label_space=space,
        package_version=__version__,
        width=recipe.network.width,
        score=recipe.score.name,
        temperature=recipe.score.temperature,
        score_map=validation.score_map,
        # Unknown is above the threshold, F1 was measured at and above it.
        threshold=max(0.0, float(np.nextafter(np.float32(validation.threshold), np.float32(0.0)))),
        threshold_rule=validation.threshold_rule,
        recipe=recipe_to_mapping(recipe),
        seed=recipe.seed,
        code_revision=code_revision(),
        metrics=metrics,
    )
    run.log(steps, {**metrics, "class_iou": validation.class_iou(space)})
    save_checkpoint(path, network, metadata, half=True)
    source = objective.source
    if isinstance(source, FlowPatches) and recipe.negatives is not None:
        write_flow(path.with_name("flow.safetensors"), source.flow, recipe.negatives.flow, recipe)
