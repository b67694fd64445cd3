"""What a joint step costs beside a closed-set step, by the size of the patches.

    python -m benchmarks.training_step

Steps of one recipe with and without its negatives, at equal batch, in turns in one process, by the
clock and by the processor's time, which other processes change little; and every variant alone in
a process of its own for its peak memory. Networks and flows are fresh, images are noise: time does
not depend on what is seen. Writes benchmarks/results/training_step.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from benchmarks.machine import ROOT, save_result
from open_set_seg.benchmark.memory import peak_mib
from open_set_seg.benchmark.turns import Turns, median_ratio, spread, take_turns
from open_set_seg.label_spaces import LABEL_SPACES
from training.command_line import count
from training.data import TrainingData, ValidationData
from training.loop import Losses
from training.ranks import Ranks
from training.recipes import Recipe, load_recipe
from training.segmentation import build_objective, build_optimisers

CLOSED_SET, AS_WRITTEN = "closed_set", "recipe"
SIZES = (16, 32, 64, 128)
RECIPE = ROOT / "config" / "training" / "study_nflowjs.yaml"
RESULT = ROOT / "benchmarks" / "results" / "training_step.json"
STEPS = 3  # for the memory: optimisers have their state after the first


class RandomFrames:
    """Noise in place of scenes, the same in every step."""

    def __init__(self, recipe: Recipe) -> None:
        crop = recipe.augmentation
        random = np.random.default_rng(0)
        classes = LABEL_SPACES[recipe.label_space].num_classes
        shape = (recipe.optimisation.batch, crop.crop_height, crop.crop_width)
        self.images = torch.from_numpy(random.integers(0, 256, (*shape, 3), dtype=np.uint8))
        self.labels = torch.from_numpy(random.integers(0, classes, shape, dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int) -> Any:
        """Image and labels."""
        return self.images[index].numpy(), self.labels[index].numpy()

    def count_classes(self, num_classes: int) -> Any:
        """Equal shares."""
        return np.ones(num_classes, np.int64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("overrides", nargs="*", help="section.key=value of the recipe")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="with negatives")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="sides of the patches")
    parser.add_argument("--rounds", type=count(1), default=15)
    parser.add_argument("--threads", type=count(1), default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--output", type=Path, default=RESULT, help="file of the result")
    options = parser.parse_intermixed_args(arguments)
    recipe = load_recipe(options.recipe, options.overrides)
    if not isinstance(recipe, Recipe) or recipe.negatives is None:
        parser.error(f"expected a recipe with negatives, found {options.recipe} without any")
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    variants = {CLOSED_SET: closed_set(recipe)}
    variants |= {str(side): with_patches(recipe, (side, side)) for side in options.sizes}
    variants[AS_WRITTEN] = with_patches(recipe, recipe.negatives.patches.sizes)
    # First, while this process is small.
    memory = {key: measure_memory(one, device, options.threads) for key, one in variants.items()}
    steps = {key: make_step(one, device) for key, one in variants.items()}
    turns = take_turns(steps, options.rounds, device)
    crop = recipe.augmentation
    result = {
        "what": "training_step",
        "recipe": options.recipe.name,
        "overrides": options.overrides,
        "threads": options.threads,
        "device": "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
        "rounds": options.rounds,
        "crop": [crop.crop_width, crop.crop_height],
        "batch": recipe.optimisation.batch,
        "variants": {key: {**compare(turns, key), **memory[key]} for key in variants},
    }
    save_result(options.output, result)


def compare(turns: Turns, variant: str) -> dict[str, Any]:
    """Milliseconds of a variant, and its ratio to the closed-set step.

    ``ratio`` is the median over rounds; ``total_ratio`` is that of all rounds together, which
    counts where sizes of patches change from step to step.
    """
    wall, cpu = turns.wall, turns.cpu
    return {
        "ms": spread(wall[variant]),
        "ratio": median_ratio(wall[variant], wall[CLOSED_SET]),
        "total_ratio": round(sum(wall[variant]) / sum(wall[CLOSED_SET]), 4),
        "cpu_ms": spread(cpu[variant]),
        "cpu_ratio": median_ratio(cpu[variant], cpu[CLOSED_SET]),
        "cpu_total_ratio": round(sum(cpu[variant]) / sum(cpu[CLOSED_SET]), 4),
    }


def closed_set(recipe: Recipe) -> Recipe:
    """The recipe without negatives, from nothing that lies on the disk."""
    network = dataclasses.replace(recipe.network, checkpoint=None, imagenet_weights=None)
    return dataclasses.replace(recipe, network=network, negatives=None)


def with_patches(recipe: Recipe, sizes: tuple[int, int]) -> Recipe:
    """The recipe with patches of ``sizes``, from nothing that lies on the disk."""
    assert recipe.negatives is not None
    patches = dataclasses.replace(recipe.negatives.patches, sizes=sizes)
    flow = dataclasses.replace(recipe.negatives.flow, checkpoint=None)
    negatives = dataclasses.replace(recipe.negatives, patches=patches, flow=flow)
    return dataclasses.replace(closed_set(recipe), negatives=negatives)


def make_step(recipe: Recipe, device: torch.device) -> Callable[[], None]:
    """One step of all optimisers; each call is the next one."""
    frames = RandomFrames(recipe)
    data = TrainingData(frames, ValidationData())
    objective = build_objective(recipe, data, device, Ranks())
    optimisers = build_optimisers(objective, recipe.optimisation.steps)
    objective.train()
    numbers = itertools.count()

    def step() -> None:
        number = next(numbers)
        losses: Losses = objective(frames.images, frames.labels, number)
        losses.total.backward()  # type: ignore[no-untyped-call]
        for optimiser in optimisers.values():
            optimiser.step(number)

    return step


def measure_memory(recipe: Recipe, device: torch.device, threads: int) -> dict[str, float]:
    """Peak memory of a process of its own that takes some steps: resident, and on the device."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run_alone, recipe, device, threads).result()


def run_alone(recipe: Recipe, device: torch.device, threads: int) -> dict[str, float]:
    """What ``measure_memory`` does in its process; before, the process had ``before_MiB``."""
    torch.set_num_threads(threads)
    before = peak_mib()
    step = make_step(recipe, device)
    for _ in range(STEPS):
        step()
    found = {"resident_MiB": peak_mib(), "before_MiB": before}
    if device.type == "cuda":
        found["device_MiB"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return found


if __name__ == "__main__":
    main()
