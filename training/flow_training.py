"""Training of normalizing flows on crops by likelihood, before they meet a segmenter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from open_set_seg.label_spaces import LABEL_SPACES
from training.data import batch_slots, place, prepare_data
from training.datasets.crop_sets import CropSet, open_crop_set
from training.flow import FlowMetadata, ImageFlow, build_flow, load_flow, save_flow
from training.loop import Loop, Losses, Schedule, made_ahead
from training.optimisers import Rate, cosine, source_optimiser
from training.pictures import draw_samples, picture_sizes
from training.prediction import evaluated
from training.randomness import make_generator
from training.ranks import Ranks
from training.recipes import (
    AnyRecipe,
    FlowOptimisationRecipe,
    FlowRecipe,
    FlowTrainingRecipe,
    RecipeError,
    recipe_to_mapping,
)
from training.run_state import RunFolder

# Uses of the recipe's seed.
CROP_USE, NOISE_USE, HELD_OUT_USE, START_USE = 21, 22, 23, 24
HELD_OUT = 0.02  # share of the frames whose crops are never trained on
START_CROPS = 64  # that ActNorm is initialised with
PICTURED = 16  # smallest side of the samples in pictures; the largest is twice that of the crops


class FlowObjective(nn.Module):
    """Bits per dimension of crops under a flow.

    Args:
        flow: to train.
        recipe: of the run.
        ranks: the processes that share each batch.
    """

    def __init__(self, flow: ImageFlow, recipe: FlowTrainingRecipe, ranks: Ranks) -> None:
        super().__init__()
        self.flow = flow
        self._recipe = recipe
        self._slots = batch_slots(recipe, ranks)

    def forward(self, crops: Tensor, step: int) -> Losses:
        """Of crops (b, 3, h, w), whole numbers 0..255, of this process."""
        seed = self._recipe.seed
        generators = [make_generator(seed, NOISE_USE, step, slot) for slot in self._slots]
        device = next(self.flow.parameters()).device
        bits = self.flow.bits_per_dim(crops.to(device), generators).mean()
        return Losses(bits, {"bits_per_dim": bits.detach()})


def train_flow(
    recipe: FlowTrainingRecipe, run: RunFolder, device: torch.device, ranks: Ranks, progress: bool
) -> Path:
    """Run the recipe to its end; the path of the flow, ``flow.safetensors`` in the folder.

    Raises:
        DatasetError: data that are not where the recipe says.
    """
    crops = Crops(open_images(recipe, ranks, progress), recipe)
    torch.manual_seed(recipe.seed)
    flow = open_flow(recipe.flow).to(device)
    if recipe.flow.checkpoint is None:
        flow.initialise(*crops.some(START_USE, START_CROPS))
    held_out = crops.some(HELD_OUT_USE, recipe.crops.validation_crops)
    sizes = picture_sizes(min(PICTURED, recipe.crops.size), 2 * recipe.crops.size)

    def look(step: int) -> dict[str, float]:
        run.show(step, "samples", draw_samples(flow, sizes, recipe.seed))
        return measure_bits(flow, *held_out)

    run_recipe = recipe.optimisation
    steps = crops.count_steps()
    optimiser = source_optimiser(flow.parameters(), run_recipe, rate_of(run_recipe, steps))
    assert optimiser is not None
    schedule = Schedule(steps, run_recipe.validate_every, run_recipe.save_every)
    objective = FlowObjective(flow, recipe, ranks)
    loop = Loop(objective, {"flow": optimiser}, run, schedule, ranks, look)
    slots = batch_slots(recipe, ranks)
    parameters = sum(parameter.numel() for parameter in flow.parameters())
    batches = made_ahead(crops.load, slots, steps, recipe.data.threads)
    loop.run(batches, f"training {parameters:,} parameters", progress)
    path = run.path / "flow.safetensors"

    def finish() -> None:
        if ranks.rank == 0:
            metrics = look(steps)
            run.log(steps, metrics)
            write_flow(path, flow, recipe.flow, recipe, metrics)

    ranks.after_first(finish)
    return path


def open_images(recipe: FlowTrainingRecipe, ranks: Ranks, progress: bool) -> CropSet:
    """What crops are cut from: rendered scenes, or data sets, of which no crop shows an outlier.

    Raises:
        DatasetError: data that are not where the recipe says.
    """
    data, crops = recipe.data, recipe.crops
    how = (crops.mirror, crops.short_side)
    if data.sets:
        return open_crop_set(data.sets, crops.size, *how, skip_corrupt=data.skip_corrupt)
    scenes = prepare_data(recipe, ranks, progress).training
    return CropSet(scenes, crops.size, LABEL_SPACES[recipe.label_space].unknown_id, *how)


class Crops:
    """Random square crops of images; the last images are held out.

    Attributes:
        training: number of images whose crops are trained on.
    """

    def __init__(self, images: CropSet, recipe: FlowTrainingRecipe) -> None:
        self._images = images
        self._recipe = recipe
        self.training = max(1, len(images) - max(1, round(HELD_OUT * len(images))))

    def count_steps(self) -> int:
        """Of the optimiser, in the whole run."""
        run = self._recipe.optimisation
        return (
            run.steps if run.epochs is None else run.epochs * math.ceil(self.training / run.batch)
        )

    def load(self, step: int, slot: int) -> tuple[Tensor]:
        """The crop (3, s, s) uint8 of a slot of a step."""
        index = place(self._recipe, self.training, step, slot)
        position = step * self._recipe.optimisation.batch + slot
        return (self._cut(index, np.random.default_rng([self._recipe.seed, CROP_USE, position])),)

    def some(self, use: int, count: int) -> tuple[Tensor, list[torch.Generator]]:
        """``count`` crops of training images, or of held-out ones, with a generator each."""
        random = np.random.default_rng([self._recipe.seed, use])
        first = self.training if use == HELD_OUT_USE and self.training < len(self._images) else 0
        last = len(self._images) if first else self.training
        crops = [self._cut(int(random.integers(first, last)), random) for _ in range(count)]
        generators = [make_generator(self._recipe.seed, use, index) for index in range(count)]
        return torch.stack(crops), generators

    def _cut(self, index: int, random: np.random.Generator) -> Tensor:
        return torch.from_numpy(self._images.load(index, random)).permute(2, 0, 1).contiguous()


@torch.no_grad()
def measure_bits(
    flow: ImageFlow, crops: Tensor, generators: list[torch.Generator]
) -> dict[str, float]:
    """Mean bits per dimension of held-out crops; the same noise each time."""
    states = [generator.get_state() for generator in generators]
    device = next(flow.parameters()).device
    with evaluated(flow):
        bits = flow.bits_per_dim(crops.to(device), generators).mean()
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
    return {"validation_bits_per_dim": round(float(bits), 6)}


def rate_of(recipe: FlowOptimisationRecipe, steps: int) -> Rate:
    """The learning rate by step: warm-up, then constant, or a cosine where its end is given."""

    last = recipe.final_learning_rate

    def rate(step: int) -> float:
        if step < recipe.warmup_steps:
            return recipe.learning_rate * (step + 1) / recipe.warmup_steps
        if last is None:
            return recipe.learning_rate
        span = max(1, steps - 1 - recipe.warmup_steps)
        return cosine((step - recipe.warmup_steps) / span, recipe.learning_rate, last)

    return rate


def open_flow(recipe: FlowRecipe) -> ImageFlow:
    """A fresh flow, or the one that the recipe starts from, on the CPU.

    Weights of a fresh one come from torch's global generator.

    Raises:
        RecipeError: options that the flow does not have, or a checkpoint of another flow.
        FlowFileError: a checkpoint that cannot be read.
    """
    if recipe.checkpoint is None:
        try:
            flow = build_flow(recipe.name, **recipe.options)
        except (TypeError, ValueError) as error:
            raise RecipeError(f"flow.options: {error}") from error
    else:
        flow, metadata = load_flow(recipe.checkpoint)
        if metadata.name != recipe.name:
            raise RecipeError(
                f"flow.checkpoint: expected {recipe.name!r}, found {metadata.name!r} in "
                f"{recipe.checkpoint}"
            )
    flow.end, flow.checkpointing = recipe.end, recipe.checkpointing
    return flow


def write_flow(
    path: Path,
    flow: ImageFlow,
    kind: FlowRecipe,
    recipe: AnyRecipe,
    metrics: Mapping[str, float] | None = None,
) -> None:
    """Write the trained flow with the recipe of the run."""
    options = kind.options
    if kind.checkpoint is not None:
        _, started_from = load_flow(kind.checkpoint)
        options = started_from.options
    mapping = recipe_to_mapping(recipe)
    metadata = FlowMetadata(kind.name, options, recipe.seed, mapping, metrics or {})
    save_flow(path, flow, metadata)
