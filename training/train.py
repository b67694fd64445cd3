"""Closed-set training: ``python -m training.train RECIPE.yaml [section.key=value ...]``.

Every random choice is a function of the recipe's seed and the step's number alone, so a run that
was killed and resumed equals one that was not, bit for bit on the same CPU with the same threads.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from open_set_seg import __version__
from open_set_seg.backends import choose_device
from open_set_seg.checkpoint import CheckpointMetadata, save_checkpoint
from open_set_seg.label_spaces import LABEL_SPACES
from open_set_seg.models import LadderDenseNet, build_model, count_parameters, load_imagenet
from open_set_seg.simulation import TRAINING_SEEDS, VALIDATION_SEEDS
from training.datasets.simulation import SimulationDataset, View, prepare_scenes
from training.datasets.transforms import augment
from training.losses import class_weights_from_counts, upsampled_cross_entropy
from training.recipes import (
    OptimisationRecipe,
    Recipe,
    RecipeError,
    load_recipe,
    recipe_to_mapping,
)
from training.run_state import RunFolder, code_revision
from training.validation import THRESHOLD_RULE, Validation, fit_score_map, validate


def train(
    recipe: Recipe,
    output: str | Path,
    resume: bool = False,
    progress: bool = True,
    device: str = "auto",
    tensorboard: bool = False,
) -> Path:
    """Run a recipe to its end; the path of the checkpoint, ``<output>/model.safetensors``.

    Raises:
        RecipeError: the output folder holds another run, or the network lacks what the score needs.
        WeightsError: ImageNet weights that do not fit.
    """
    run = RunFolder(output, recipe, resume, tensorboard)
    training, validation = prepare_data(recipe, progress)
    model, optimiser = build(recipe, choose_device(device))
    step = run.load(model, optimiser)
    space = LABEL_SPACES[recipe.label_space]
    counts = training.count_classes(space.num_classes)
    weights = class_weights_from_counts(counts, recipe.optimisation.class_weight_power)
    class_weights = torch.from_numpy(weights).to(next(model.parameters()).device)
    bar = tqdm(
        batches(training, recipe, step),
        desc=f"training {count_parameters(model):,} parameters",
        initial=step,
        total=recipe.optimisation.steps,
        disable=not progress,
    )
    started = time.monotonic()
    for images, labels in bar:
        loss = take_step(model, optimiser, images, labels, class_weights, recipe, step)
        step += 1
        bar.set_postfix(loss=f"{loss:.3f}")
        if not math.isfinite(loss):
            raise RuntimeError(f"the loss became {loss} at step {step}")
        if step % 20 == 0:
            rate = learning_rate(step - 1, recipe.optimisation)
            seconds = round(time.monotonic() - started, 1)
            run.log(step, {"loss": loss, "learning_rate": rate, "seconds": seconds})
        if step % recipe.optimisation.save_every == 0:
            run.save(model, optimiser, step)
        if step % recipe.optimisation.validate_every == 0 and step < recipe.optimisation.steps:
            run.log(step, summarise(validate_now(model, recipe, validation)))
    run.save(model, optimiser, step)
    return finish(model, recipe, validation, run)


def prepare_data(recipe: Recipe, progress: bool) -> tuple[SimulationDataset, SimulationDataset]:
    """Training scenes without and validation scenes with unknown objects, rendered or cached."""
    data = recipe.data

    def prepare(seeds: Sequence[int], unknown_objects: bool) -> SimulationDataset:
        view = View(data.width, data.height, data.supersampling, unknown_objects)
        return prepare_scenes(data.cache, seeds, view, data.workers, progress)

    training = prepare(TRAINING_SEEDS[: data.training_scenes], False)
    return training, prepare(VALIDATION_SEEDS[: data.validation_scenes], True)


def build(recipe: Recipe, device: torch.device) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The seeded network and its optimiser; normalisations and biases do not decay."""
    torch.manual_seed(recipe.seed)
    space = LABEL_SPACES[recipe.label_space]
    network = recipe.network
    model = build_model(network.architecture, space.num_classes, network.width)
    if "outlier_logits" in recipe.score.scoring.entry.needs and model.logits_ood is None:
        raise RecipeError(f"score.name: {recipe.score.name} needs an outlier head, found none")
    if network.imagenet_weights is not None:
        load_imagenet(model, network.imagenet_weights)
    if isinstance(model, LadderDenseNet):
        model.gradient_checkpointing = network.gradient_checkpointing
    model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    decaying = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decaying, "weight_decay": recipe.optimisation.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return model, torch.optim.AdamW(groups, lr=recipe.optimisation.learning_rate)


def learning_rate(step: int, recipe: OptimisationRecipe) -> float:
    """Linear warm-up, then a half cosine that reaches ``final_learning_rate`` at the last step."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    span = max(1, recipe.steps - 1 - recipe.warmup_steps)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - recipe.warmup_steps) / span)))
    return recipe.final_learning_rate + cosine * (recipe.learning_rate - recipe.final_learning_rate)


def batches(
    dataset: SimulationDataset, recipe: Recipe, first_step: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (B, 3, H, W) float and (B, H, W) uint8 from ``first_step`` on, one made ahead."""

    def make(step: int) -> tuple[Tensor, Tensor]:
        samples = [sample(dataset, recipe, step, slot) for slot in range(recipe.optimisation.batch)]
        images = torch.from_numpy(np.stack([image for image, _ in samples])).permute(0, 3, 1, 2)
        return images.float(), torch.from_numpy(np.stack([labels for _, labels in samples]))

    with ThreadPoolExecutor(1) as pool:
        steps = range(first_step, recipe.optimisation.steps)
        following = pool.submit(make, first_step) if steps else None
        for step in steps:
            assert following is not None
            current = following
            following = pool.submit(make, step + 1)
            yield current.result()


def sample(
    dataset: SimulationDataset, recipe: Recipe, step: int, slot: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The augmented sample of a slot of a step: every epoch visits all scenes in its own order."""
    position = step * recipe.optimisation.batch + slot
    epoch, place = divmod(position, len(dataset))
    order = np.random.default_rng([recipe.seed, 1, epoch]).permutation(len(dataset))
    image, labels = dataset.load(int(order[place]))
    random = np.random.default_rng([recipe.seed, 2, position])
    return augment(image, labels, recipe.augmentation, random)


def take_step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    recipe: Recipe,
    step: int,
) -> float:
    """One step of the optimiser; the loss before it."""
    model.train()
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(step, recipe.optimisation)
    optimiser.zero_grad(set_to_none=True)
    device = class_weights.device
    images, labels = images.to(device), labels.to(device)
    half = recipe.optimisation.precision == "bf16"
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        logits = model(images).logits
    loss = upsampled_cross_entropy(logits, labels, class_weights)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss.detach())


def validate_now(model: nn.Module, recipe: Recipe, scenes: SimulationDataset) -> Validation:
    """Validate with the recipe's score."""
    model.eval()
    score_map = fit_score_map(model, scenes, recipe.score)
    space = LABEL_SPACES[recipe.label_space]
    return validate(model, scenes, space, recipe.score, score_map)


def summarise(validation: Validation) -> dict[str, float]:
    """The numbers of a validation that are logged and stored, fractions; NaN is left out."""
    numbers = {"validation_mIoU": validation.confusion.mean_iou()}
    numbers |= {f"validation_hull_{name}": value for name, value in validation.pixels.items()}
    return {name: round(value, 6) for name, value in numbers.items() if math.isfinite(value)}


def finish(model: nn.Module, recipe: Recipe, scenes: SimulationDataset, run: RunFolder) -> Path:
    """Validate, choose the threshold and write the checkpoint."""
    model.eval()
    score_map = fit_score_map(model, scenes, recipe.score)
    space = LABEL_SPACES[recipe.label_space]
    validation = validate(model, scenes, space, recipe.score, score_map)
    metrics = summarise(validation)
    threshold = metrics.get("validation_hull_best_F1_threshold", 0.5)
    metadata = CheckpointMetadata(
        architecture=recipe.network.architecture,
        label_space=space,
        package_version=__version__,
        width=recipe.network.width,
        score=recipe.score.name,
        temperature=recipe.score.temperature,
        score_map=score_map,
        # Unknown is above the threshold, F1 was measured at and above it.
        threshold=max(0.0, float(np.nextafter(np.float32(threshold), np.float32(0.0)))),
        threshold_rule=THRESHOLD_RULE,
        recipe=recipe_to_mapping(recipe),
        seed=recipe.seed,
        code_revision=code_revision(),
        metrics=metrics,
    )
    iou = dict(zip(space.classes, validation.confusion.class_iou().round(4).tolist(), strict=True))
    run.log(recipe.optimisation.steps, {**metrics, "class_iou": iou})
    path = run.path / "model.safetensors"
    save_checkpoint(path, model, metadata, half=True)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, or 2 with one line on what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("recipe", type=Path, help="YAML file in config/training")
    parser.add_argument("overrides", nargs="*", help="section.key=value")
    parser.add_argument("--output", type=Path, help="folder of the run (runs/<name>)")
    parser.add_argument("--resume", action="store_true", help="continue the run in that folder")
    parser.add_argument("--threads", type=int, help="threads of the network's arithmetic")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--tensorboard", action="store_true", help="log for TensorBoard as well")
    options = parser.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        recipe = load_recipe(options.recipe, options.overrides)
        output = options.output or Path("runs") / recipe.name
        path = train(
            recipe,
            output,
            options.resume,
            device=options.device,
            tensorboard=options.tensorboard,
        )
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
