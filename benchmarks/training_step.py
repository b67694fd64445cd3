"""What a joint step costs beside a closed-set step, by the size of the patches.

    python -m benchmarks.training_step

Steps of one recipe with and without its negatives, at equal batch, in turns in one process; then
every variant alone in a process of its own for its peak memory. Writes
benchmarks/results/training_step.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from benchmarks.machine import ROOT, save_result
from training.data import TrainingData, ValidationData
from training.loop import Losses
from training.ranks import Ranks
from training.recipes import Recipe, load_recipe
from training.segmentation import build_objective, build_optimisers

CLOSED_SET = "closed_set"
SIZES = (16, 32, 64, 128)


class RandomFrames:
    """Noise in place of scenes: time does not depend on what is seen."""

    def __init__(self, recipe: Recipe) -> None:
        crop = recipe.augmentation
        random = np.random.default_rng(0)
        shape = (recipe.optimisation.batch, crop.crop_height, crop.crop_width)
        self.images = torch.from_numpy(random.integers(0, 256, (*shape, 3), dtype=np.uint8))
        self.labels = torch.from_numpy(random.integers(0, 12, shape, dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int) -> Any:
        """Image and labels."""
        return self.images[index].numpy(), self.labels[index].numpy()

    def count_classes(self, num_classes: int) -> Any:
        """Equal shares."""
        return np.ones(num_classes, np.int64)


def main() -> None:
    """Measure and write the result, or one variant's memory for the process that asks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=Path("config/training/study_nflowjs.yaml"))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="sides of the patches")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--name", default="training_step", help="of the result file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = load_recipe(options.recipe)
    assert isinstance(recipe, Recipe)
    if options.memory_of:
        step = make_step(recipe, options.memory_of, options.device)
        for number in range(3):
            step(number)
        print(json.dumps(peak_mib(options.device)))
        return
    variants = [CLOSED_SET, *map(str, options.sizes)]
    steps = {variant: make_step(recipe, variant, options.device) for variant in variants}
    seconds = take_turns(steps, options.rounds, options.device)
    closed = np.array(seconds[CLOSED_SET])
    result = {
        "what": "training_step",
        "recipe": options.recipe.name,
        "threads": options.threads,
        "device": options.device,
        "rounds": options.rounds,
        "crop": [recipe.augmentation.crop_width, recipe.augmentation.crop_height],
        "batch": recipe.optimisation.batch,
        "variants": {
            variant: {
                "median_ms": round(1e3 * float(np.median(values)), 1),
                "ratio": round(float(np.median(np.array(values) / closed)), 3),
                "peak_MiB": round(memory_of(variant), 0),
            }
            for variant, values in seconds.items()
        },
    }
    save_result(ROOT / "benchmarks" / "results" / f"{options.name}.json", result)


def make_step(recipe: Recipe, variant: str, device: str) -> Callable[[int], Losses]:
    """One step of all optimisers: without negatives, or with patches of ``variant`` pixels."""
    assert recipe.negatives is not None
    negatives = None
    if variant != CLOSED_SET:
        side = int(variant)
        patches = dataclasses.replace(recipe.negatives.patches, sizes=(side, side))
        flow = dataclasses.replace(recipe.negatives.flow, checkpoint=None)
        negatives = dataclasses.replace(recipe.negatives, patches=patches, flow=flow)
    network = dataclasses.replace(recipe.network, checkpoint=None)
    recipe = dataclasses.replace(recipe, network=network, negatives=negatives)
    frames = RandomFrames(recipe)
    data = TrainingData(frames, ValidationData())
    objective = build_objective(recipe, data, torch.device(device), Ranks())
    optimisers = build_optimisers(objective, recipe.optimisation.steps)
    objective.train()

    def step(number: int) -> Losses:
        losses: Losses = objective(frames.images, frames.labels, number)
        losses.total.backward()  # type: ignore[no-untyped-call]
        for optimiser in optimisers.values():
            optimiser.step(number)
        return losses

    return step


def take_turns(
    steps: dict[str, Callable[[int], Losses]], rounds: int, device: str
) -> dict[str, list[float]]:
    """Seconds of every step, round by round, the first two rounds left out."""
    seconds: dict[str, list[float]] = {variant: [] for variant in steps}
    for number in range(rounds + 2):
        for variant, step in steps.items():
            started = time.perf_counter()
            step(number)
            if device != "cpu":
                torch.cuda.synchronize()
            if number >= 2:
                seconds[variant].append(time.perf_counter() - started)
    return seconds


def peak_mib(device: str) -> float:
    """Peak memory: resident on the CPU, allocated on a GPU."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def memory_of(variant: str) -> float:
    """Peak memory of a variant, in a process of its own with the same options."""
    command = [sys.executable, "-m", "benchmarks.training_step", *sys.argv[1:]]
    done = subprocess.run(
        [*command, "--memory-of", variant], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
