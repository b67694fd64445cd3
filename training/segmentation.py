"""Training of segmentation networks: data, network, negatives, validation, checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from open_set_seg import __version__
from open_set_seg.checkpoint import CheckpointMetadata, load_checkpoint, save_checkpoint
from open_set_seg.label_spaces import LABEL_SPACES
from open_set_seg.models import LadderDenseNet, build_model, count_parameters, load_imagenet
from training.data import TrainingData, TrainingImages, batch_slots, prepare_data, sample
from training.examination import Examiner
from training.flow import ImageFlow
from training.flow_training import START_CROPS, START_USE, open_flow, write_flow
from training.loop import Batch, Loop, Schedule, made_ahead
from training.losses import class_weights_from_counts
from training.negatives import NegativeSource, build_source
from training.negatives.flow_patches import FlowPatches
from training.optimisers import ScheduledOptimiser, network_optimiser, source_optimiser
from training.randomness import make_generator
from training.ranks import Ranks
from training.recipes import NegativesRecipe, Recipe, RecipeError, recipe_to_mapping
from training.run_state import RunFolder, code_revision
from training.steps import SegmentationObjective
from training.validation import Validation

START_SIDE = 32  # largest squares that a fresh flow's ActNorm is initialised with, pixels


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
    examiner = Examiner(objective, data.validation, run)
    schedule = Schedule(steps, recipe.optimisation.validate_every, recipe.optimisation.save_every)
    optimisers = build_optimisers(objective, steps)
    loop = Loop(
        objective, optimisers, run, schedule, ranks, lambda step: examiner.look(step).figures()
    )
    title = f"training {count_parameters(objective.network):,} parameters"
    loop.run(batches(recipe, data, ranks, steps), title, progress)
    path = run.path / "model.safetensors"

    def finish() -> None:
        if ranks.rank == 0:
            validation = examiner.look(steps)
            space = LABEL_SPACES[recipe.label_space]
            run.log(steps, {**validation.figures(), "class_iou": validation.class_iou(space)})
            write_results(objective, validation, path)

    ranks.after_first(finish)
    return path


def build_objective(
    recipe: Recipe, data: TrainingData, device: torch.device, ranks: Ranks
) -> SegmentationObjective:
    """The seeded network and source of negatives, with the classes' weights."""
    torch.manual_seed(recipe.seed)
    network = build_network(recipe)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    source = None if recipe.negatives is None else build_negatives(recipe, recipe.negatives, data)
    weights = torch.from_numpy(weigh_classes(recipe, data))
    return SegmentationObjective(network, source, recipe, weights, ranks).to(device)


def weigh_classes(recipe: Recipe, data: TrainingData) -> NDArray[np.float32]:
    """Weights (K,) of the cross-entropy, from the pixels of the training set."""
    classes = LABEL_SPACES[recipe.label_space].num_classes
    power = recipe.optimisation.class_weight_power
    if power == 0:
        return np.ones(classes, np.float32)  # large sets take minutes to count
    return class_weights_from_counts(data.training.count_classes(classes), power)


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


def build_negatives(
    recipe: Recipe, negatives: NegativesRecipe, data: TrainingData
) -> NegativeSource:
    """The source of negatives; ``image_patches`` without ``images`` are of the training images.

    Raises:
        RecipeError: options that it does not have.
    """
    options = dict(negatives.options)
    if negatives.source == "flow":
        flow = open_flow(negatives.flow)
        if negatives.flow.checkpoint is None:
            initialise_flow(flow, recipe, negatives.patches.sizes, data)
        options["flow"] = flow
    if negatives.source == "image_patches":
        options.setdefault("images", TrainingImages(data.training))
    try:
        return build_source(negatives.source, **options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"negatives.options: {error}") from error


def initialise_flow(
    flow: ImageFlow, recipe: Recipe, sizes: tuple[int, int], data: TrainingData
) -> None:
    """Set a fresh flow's ActNorm by random squares of training samples.

    The first step would do it too, but with other crops in every process, and after the samples of
    that step were drawn.
    """
    crop = recipe.augmentation
    side = min(max(sizes[0], min(sizes[1], START_SIDE)), crop.crop_height, crop.crop_width)
    side -= side % flow.multiple
    random = np.random.default_rng([recipe.seed, START_USE])
    squares = []
    for index in range(START_CROPS):
        image, _ = sample(data.training, recipe, *divmod(index, recipe.optimisation.batch))
        top, left = (int(random.integers(length - side + 1)) for length in image.shape[:2])
        square = np.ascontiguousarray(image[top : top + side, left : left + side])
        squares.append(torch.from_numpy(square).permute(2, 0, 1))
    generators = [make_generator(recipe.seed, START_USE, index) for index in range(START_CROPS)]
    flow.initialise(torch.stack(squares), generators)


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


def batches(
    recipe: Recipe, data: TrainingData, ranks: Ranks, steps: int
) -> Callable[[int], Iterator[Batch]]:
    """Batches of (b, H, W, 3) uint8 images and (b, H, W) uint8 labels from a step on."""

    def make(step: int, slot: int) -> tuple[Tensor, Tensor]:
        image, labels = sample(data.training, recipe, step, slot)
        return torch.from_numpy(image), torch.from_numpy(labels)

    return made_ahead(make, batch_slots(recipe, ranks), steps, recipe.data.threads)


def write_results(objective: SegmentationObjective, validation: Validation, path: Path) -> None:
    """Write the checkpoint with the threshold of a validation, and the flow beside it."""
    recipe = objective.recipe
    metadata = CheckpointMetadata(
        architecture=recipe.network.architecture,
        label_space=LABEL_SPACES[recipe.label_space],
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
        metrics=validation.figures(),
    )
    save_checkpoint(path, objective.network, metadata, half=True)
    source = objective.source
    if isinstance(source, FlowPatches) and recipe.negatives is not None:
        write_flow(path.with_name("flow.safetensors"), source.flow, recipe.negatives.flow, recipe)
