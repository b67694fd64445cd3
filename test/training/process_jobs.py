"""What ``test_processes`` runs in one process, or in two of which each is given a rank.

python process_jobs.py FOLDER CACHE
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from made_runs import TINY_FLOW, recipe_of
from torch import nn

from training import loop
from training.data import batch_slots
from training.flow import build_flow
from training.loop import Loop, Losses, Schedule, made_ahead
from training.negatives import build_source
from training.randomness import make_generator
from training.ranks import Ranks
from training.run_state import RunFolder
from training.segmentation import build_network
from training.steps import SegmentationObjective
from training.train import main

STEPS, BATCH = 2, 4
COMMON = {
    "optimisation__batch": BATCH,
    "network__freeze_statistics": True,
    "negatives__patches": {"sizes": [8, 32], "one_size": "image", "per_image": 2, "shape": "blob"},
}
SAVING = {"network__architecture": "ldn_121", "network__width": 0.0625}


class Recorder:
    """An optimiser that keeps what gradients it saw, by name, and goes down along them."""

    def __init__(self, module: nn.Module) -> None:
        self.named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.seen: list[dict[str, torch.Tensor]] = []

    def rate(self, step: int) -> float:
        return 1e-3

    def step(self, step: int) -> None:
        self.seen.append({n: p.grad.clone() for n, p in self.named.items() if p.grad is not None})
        with torch.no_grad():
            for parameter in self.named.values():
                if parameter.grad is not None:
                    parameter -= self.rate(step) * parameter.grad
                parameter.grad = None

    def state_dict(self) -> dict:
        return {}


def sample(step: int, slot: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first half of a batch is unlabelled but for a corner."""
    random = np.random.default_rng([9, step, slot])
    image = random.integers(0, 256, (32, 64, 3), dtype=np.uint8)
    labels = random.integers(0, 12, (32, 64), dtype=np.uint8)
    if slot < BATCH // 2:
        labels[3:] = 255
    return torch.from_numpy(image), torch.from_numpy(labels)


def train_jointly(folder: Path, ranks: Ranks, saving: bool, checkpointing: bool) -> Recorder:
    """Steps of a network and a flow; ``saving``: of the larger network."""
    changes = {**COMMON, **(SAVING if saving else {})}
    changes["network__gradient_checkpointing"] = saving and checkpointing
    recipe = recipe_of("joint", "unused", **changes)
    torch.manual_seed(1)
    network, flow = build_network(recipe), build_flow("glow_small", **TINY_FLOW["options"])
    flow.checkpointing = checkpointing
    crops = torch.randint(0, 256, (8, 3, 16, 16), generator=make_generator(1))
    flow.initialise(crops, [make_generator(2, index) for index in range(8)])
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    source = build_source("flow", flow=flow)
    objective = SegmentationObjective(network, source, recipe, torch.linspace(0.5, 2, 12), ranks)
    recorder = Recorder(objective)
    run = RunFolder(folder, recipe, resume=False, writes=ranks.rank == 0)
    schedule = Schedule(STEPS, validate_every=99, save_every=99)
    made = Loop(objective, {"recorder": recorder}, run, schedule, ranks, lambda step: {})
    made.run(made_ahead(sample, batch_slots(recipe, ranks), STEPS, 1), "test", progress=False)
    return recorder


class Spoilt(nn.Module):
    """A loss that is NaN in the second process alone."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.factor = float("nan") if ranks.rank == 1 else 1.0

    def forward(self, x: torch.Tensor, step: int) -> Losses:
        return Losses((self.weight * x * self.factor).sum(), {})


def diverge(folder: Path, ranks: Ranks) -> str:
    """What ends a loop whose loss is NaN in one process."""
    objective = Spoilt(ranks)
    run = RunFolder(folder, recipe_of("joint", "x"), resume=False, writes=ranks.rank == 0)
    made = Loop(objective, {}, run, Schedule(3, 9, 9), ranks, lambda step: {})
    try:
        made.run(made_ahead(lambda step, slot: (torch.ones(1),), [0], 3, 1), "test", False)
    except ValueError as error:
        return str(error)
    return ""


def start_again(folder: Path) -> object:
    """The exit code of a command on a folder that holds a run."""
    try:
        return main([str(folder / "again.yaml"), "--output", str(folder / "taken")])
    except SystemExit as exit:
        return exit.code


def first_alone(ranks: Ranks) -> list[str]:
    """What each process hears of an action that succeeds in the first, and of one that fails."""
    heard = [ranks.after_first(lambda: f"done by {ranks.rank}")]

    def fail() -> None:
        if ranks.rank == 0:
            raise KeyError("nothing there")
        heard.append("went on")

    try:
        ranks.after_first(fail)
    except (KeyError, ValueError) as error:
        heard.append(f"{type(error).__name__}: {error}")
    return heard


def run() -> int:
    torch.set_num_threads(1)
    loop.LOG_EVERY = 1
    folder = Path(sys.argv[1])
    ranks = Ranks.join()
    results = {
        name: train_jointly(folder / name, ranks, saving, checkpointing=saving).seen
        for name, saving in (("plain", False), ("saving", True))
    }
    results["diverged"] = diverge(folder / "diverged", ranks)
    results["first"] = first_alone(ranks)
    results["sum"] = ranks.add_up(torch.tensor([1.0 + ranks.rank, 10.0]))
    results["share"] = list(ranks.share(6))
    results["exit_code"] = start_again(folder)
    torch.save(results, folder / f"results-{ranks.rank}.pt")
    return 0


if __name__ == "__main__":
    Ranks.end(run)
