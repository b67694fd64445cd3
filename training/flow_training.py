"""Training of normalizing flows on crops by likelihood, before they meet a segmenter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.data import TrainingFrames, place, prepare_data
from training.flow import FlowMetadata, ImageFlow, build_flow, load_flow, save_flow
from training.loop import Loop, Losses, Schedule, made_ahead
from training.optimisers import Rate, cosine, source_optimiser
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
        self._slots = ranks.share(recipe.optimisation.batch)

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
    frames = prepare_data(recipe, ranks, progress).training
    torch.manual_seed(recipe.seed)
    flow = open_flow(recipe.flow).to(device)
    crops = Crops(frames, recipe)
    if recipe.flow.checkpoint is None:
        flow.initialise(*crops.some(START_USE, START_CROPS))
    held_out = crops.some(HELD_OUT_USE, recipe.crops.validation_crops)
    run_recipe = recipe.optimisation
    steps = run_recipe.steps
    if run_recipe.epochs is not None:
        steps = run_recipe.epochs * math.ceil(crops.training / run_recipe.batch)
    optimiser = source_optimiser(flow.parameters(), run_recipe, rate_of(run_recipe, steps))
    assert optimiser is not None
    loop = Loop(
        FlowObjective(flow, recipe, ranks),
        {"flow": optimiser},
        run,
        Schedule(steps, run_recipe.validate_every, run_recipe.save_every),
        ranks,
        lambda step: measure_bits(flow, *held_out),
    )
    parameters = sum(parameter.numel() for parameter in flow.parameters())
    slots = ranks.share(run_recipe.batch)
    batches = made_ahead(crops.load, slots, steps, recipe.data.threads)
    loop.run(batches, f"training {parameters:,} parameters", progress)
    path = run.path / "flow.safetensors"
    if ranks.rank == 0:
        metrics = measure_bits(flow, *held_out)
        run.log(steps, metrics)
        write_flow(path, flow, recipe.flow, recipe, metrics)
    ranks.wait()
    return path


class Crops:
    """Random square crops of frames; the last frames are held out.

    Attributes:
        training: number of frames whose crops are trained on.
    """

    def __init__(self, frames: TrainingFrames, recipe: FlowTrainingRecipe) -> None:
        self._frames = frames
        self._recipe = recipe
        self.training = max(1, len(frames) - max(1, round(HELD_OUT * len(frames))))

    def load(self, step: int, slot: int) -> tuple[Tensor]:
        """The crop (3, s, s) uint8 of a slot of a step."""
        index = place(self._recipe, self.training, step, slot)
        position = step * self._recipe.optimisation.batch + slot
        return (self._cut(index, np.random.default_rng([self._recipe.seed, CROP_USE, position])),)

    def some(self, use: int, count: int) -> tuple[Tensor, list[torch.Generator]]:
        """``count`` crops of training frames, or of held-out ones, with a generator each."""
        random = np.random.default_rng([self._recipe.seed, use])
        first = self.training if use == HELD_OUT_USE and self.training < len(self._frames) else 0
        last = len(self._frames) if first else self.training
        crops = [self._cut(int(random.integers(first, last)), random) for _ in range(count)]
        generators = [make_generator(self._recipe.seed, use, index) for index in range(count)]
        return torch.stack(crops), generators

    def _cut(self, index: int, random: np.random.Generator) -> Tensor:
        image, _ = self._frames.load(index)
        size, (height, width) = self._recipe.crops.size, image.shape[:2]
        if min(height, width) < size:
            raise RecipeError(f"crops.size: expected at most the {width} x {height} of an image")
        top, left = (int(random.integers(side - size + 1)) for side in (height, width))
        crop = np.array(image[top : top + size, left : left + size])
        if random.random() < self._recipe.crops.mirror:
            crop = crop[:, ::-1].copy()
        return torch.from_numpy(crop).permute(2, 0, 1).contiguous()


@torch.no_grad()
def measure_bits(
    flow: ImageFlow, crops: Tensor, generators: list[torch.Generator]
) -> dict[str, float]:
    """Mean bits per dimension of held-out crops; the same noise each time."""
    states = [generator.get_state() for generator in generators]
    was_training = flow.training
    flow.eval()
    device = next(flow.parameters()).device
    bits = flow.bits_per_dim(crops.to(device), generators).mean()
    flow.train(was_training)
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
    return {"validation_bits_per_dim": round(float(bits), 6)}


def rate_of(recipe: FlowOptimisationRecipe, steps: int) -> Rate:
    """The learning rate by step: warm-up, then constant, or a cosine where its end is given."""

    def rate(step: int) -> float:
        warm = min(1.0, (step + 1) / max(1, recipe.warmup_steps))
        last = recipe.final_learning_rate
        if last is None or warm < 1.0:
            return recipe.learning_rate * warm
        span = max(1, steps - 1 - recipe.warmup_steps)
        return cosine((step - recipe.warmup_steps) / span, recipe.learning_rate, last)

    return rate


def open_flow(recipe: FlowRecipe) -> ImageFlow:
    """A fresh flow, or the one that the recipe starts from, on the CPU.

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
