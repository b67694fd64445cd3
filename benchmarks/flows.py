"""Bits per dimension of the flows on the same simulated crops, after the same work.

    python -m benchmarks.flows

Every flow is trained in a process of its own, on one thread, by config/training/study_flow.yaml
with a constant learning rate: the same crops in the same order, the same held-out crops and the
same dequantisation noise. It is measured after an equal number of steps, and again after an equal
time of the processor. Writes benchmarks/results/flows.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.flow_numbers import summarise, table
from benchmarks.machine import ROOT, save_result
from open_set_seg.benchmark.memory import peak_mib
from training.flow import ImageFlow, load_flow
from training.flow_training import (
    HELD_OUT_USE,
    START_CROPS,
    START_USE,
    Crops,
    FlowObjective,
    open_flow,
    open_images,
)
from training.optimisers import source_optimiser
from training.prediction import evaluated
from training.ranks import Ranks
from training.recipes import FlowTrainingRecipe, load_recipe

RECIPE = ROOT / "config" / "training" / "study_flow.yaml"

# Name and options in a recipe.
COMPARED: dict[str, tuple[str, Mapping[str, Any]]] = {
    "glow_small": ("glow_small", {}),
    "realnvp_small": ("realnvp", {"hidden": 8, "blocks": 1}),
    "realnvp": ("realnvp", {}),
    "denseflow_25_6": ("denseflow_25_6", {}),
}
AT_ONCE = 4  # crops, where bits are measured


@dataclass(frozen=True)
class Budget:
    """How long each flow is trained, and what it is measured on.

    Attributes:
        steps: after which all flows are compared.
        seconds: of the processor, after which they are compared again; a flow that needs more for
            ``steps`` stops there.
        batch: crops a step.
        warmup: steps in which the learning rate rises.
        sizes: sides of the held-out crops.
        crops: number of them, of every size.
    """

    steps: int
    seconds: float
    batch: int
    warmup: int
    sizes: tuple[int, ...]
    crops: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the flows one after the other, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--flows", nargs="+", choices=COMPARED, default=list(COMPARED))
    parser.add_argument("--steps", type=int, default=40, help="all flows take so many")
    parser.add_argument("--seconds", type=float, default=180, help="then they go on so long")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--warmup", type=int, default=10, help="steps")
    parser.add_argument("--sizes", type=int, nargs="+", default=(16, 32, 64), help="held-out crops")
    parser.add_argument("--crops", type=int, default=24, help="held-out, of every size")
    parser.add_argument("--trained", type=Path, nargs="*", default=(), help="files of other flows")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/flows.json")
    parser.add_argument("--table", action="store_true", help="only print what is in that file")
    options = parser.parse_args(arguments)
    if options.table:
        print(table(json.loads(options.output.read_text(encoding="utf-8"))))
        return
    budget = Budget(
        options.steps, options.seconds, options.batch, options.warmup, tuple(options.sizes),
        options.crops,
    )  # fmt: skip
    recipe = load_recipe(options.recipe)
    if not isinstance(recipe, FlowTrainingRecipe):
        parser.error(f"expected a recipe with task: flow, found {recipe.task} in {options.recipe}")
    result: dict[str, Any] = {
        "what": "flows",
        "recipe": options.recipe.name,
        "crop": recipe.crops.size,
        "threads": 1,
        "budget": dataclasses.asdict(budget),
        "flows": {},
        "trained": [],
    }
    for path in options.trained:
        result["trained"].append(_apart(measure_trained, recipe, path, budget))
    for key in options.flows:
        result["flows"][key] = _apart(measure_flow, recipe, key, budget)
        save_result(options.output, summarise(result))


def measure_flow(recipe: FlowTrainingRecipe, key: str, budget: Budget) -> dict[str, Any]:
    """Train one of ``COMPARED``; its cost, and bits per dimension after steps and after seconds."""
    torch.set_num_threads(1)
    recipe = adapt(recipe, key, budget)
    crops = Crops(open_images(recipe, Ranks(), progress=True), recipe)
    torch.manual_seed(recipe.seed)
    flow = open_flow(recipe.flow)
    flow.initialise(*crops.some(START_USE, START_CROPS))
    objective = FlowObjective(flow, recipe, Ranks())
    optimiser = source_optimiser(flow.parameters(), recipe.optimisation)
    assert optimiser is not None
    bits = {}
    step, spent = 0, 0.0
    while step < budget.steps or spent < budget.seconds:
        started = time.process_time()
        batch = torch.stack([crops.load(step, slot)[0] for slot in range(budget.batch)])
        objective(batch, step).total.backward()
        optimiser.step(step)
        spent += time.process_time() - started
        step += 1
        if step == budget.steps:
            peak = peak_mib()
            bits["after_steps"] = measure_sizes(flow, recipe, budget)
    finished = step == budget.steps
    bits["after_seconds"] = bits["after_steps"] if finished else measure_sizes(flow, recipe, budget)
    return {
        "options": dict(recipe.flow.options),
        "parameters": sum(parameter.numel() for parameter in flow.parameters()),
        "seconds_a_step": round(spent / step, 3),
        "peak_MiB": peak,
        "steps": step,
        "seconds": round(spent, 1),
        "bits_per_dim": bits,
    }


def measure_trained(recipe: FlowTrainingRecipe, path: Path, budget: Budget) -> dict[str, Any]:
    """Bits per dimension of a flow that a run left behind, and how it was trained."""
    torch.set_num_threads(1)
    flow, metadata = load_flow(path)
    run = metadata.recipe["optimisation"]
    return {
        "name": metadata.name,
        "options": dict(metadata.options),
        "seed": metadata.seed,
        "steps": run["steps"],
        "batch": run["batch"],
        "crop": metadata.recipe["crops"]["size"],
        "bits_per_dim": measure_sizes(flow, recipe, budget),
    }


def adapt(recipe: FlowTrainingRecipe, key: str, budget: Budget) -> FlowTrainingRecipe:
    """The recipe with another flow, batch and warm-up."""
    name, options = COMPARED[key]
    return dataclasses.replace(
        recipe,
        flow=dataclasses.replace(recipe.flow, name=name, options=options, checkpoint=None),
        optimisation=dataclasses.replace(
            recipe.optimisation,
            batch=budget.batch,
            warmup_steps=budget.warmup,
            final_learning_rate=None,
        ),
    )


def measure_sizes(
    flow: ImageFlow, recipe: FlowTrainingRecipe, budget: Budget
) -> dict[int, list[float]]:
    """Bits per dimension of every held-out crop, by the side of the crops."""
    return {side: measure_bits(flow, recipe, side, budget.crops) for side in budget.sizes}


@torch.no_grad()
def measure_bits(flow: ImageFlow, recipe: FlowTrainingRecipe, side: int, count: int) -> list[float]:
    """Bits per dimension of ``count`` held-out crops, the same ones with the same noise always."""
    recipe = dataclasses.replace(recipe, crops=dataclasses.replace(recipe.crops, size=side))
    crops = Crops(open_images(recipe, Ranks(), progress=True), recipe)
    images, generators = crops.some(HELD_OUT_USE, count)
    with evaluated(flow):
        parts = [
            flow.bits_per_dim(images[at : at + AT_ONCE], generators[at : at + AT_ONCE])
            for at in range(0, count, AT_ONCE)
        ]
    return [float(each) for each in torch.cat(parts)]


def _apart(measure: Any, *arguments: Any) -> dict[str, Any]:
    """The result of a call in a process of its own, so that its peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        result: dict[str, Any] = pool.submit(measure, *arguments).result()
        return result


if __name__ == "__main__":
    main()
