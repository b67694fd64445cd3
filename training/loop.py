"""The loop that every training shares: steps, log, pictures, saving, several processes.

Every random choice is a function of the recipe's seed, the step's number and the place in the batch
alone, so a run that was killed and resumed equals one that was not, bit for bit on the same CPU
with the same threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from training.optimisers import ScheduledOptimiser
from training.ranks import Ranks
from training.run_state import RunFolder, Stateful

LOG_EVERY = 20

Batch = Sequence[Tensor]


class LossError(ValueError):
    """A loss that became infinite or NaN."""


class Losses(NamedTuple):
    """What an objective says of a batch.

    Attributes:
        total: scalar that is minimised. With several processes its mean over them is the total of
            the joint batch, and so are the means of the parts.
        parts: scalars by name, for the log.
    """

    total: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long a run is, and how often it looks up."""

    steps: int
    validate_every: int
    save_every: int


class Loop:
    """One training run, from where its folder says that it stands to its end.

    Several processes take the same steps on their parts of each batch: gradients are averaged, and
    so are logged losses. Batch normalisation alone sees the part of its own process, and what is
    validated and saved has the running statistics of the first.

    Args:
        objective: ``objective(*batch, step)`` gives ``Losses``; its state is saved.
        optimisers: by name.
        folder: of the run.
        schedule: of the run.
        ranks: the processes that share it.
        validate: figures for the log after so many steps, by name; called in the first process
            only.
    """

    def __init__(
        self,
        objective: nn.Module,
        optimisers: Mapping[str, ScheduledOptimiser],
        folder: RunFolder,
        schedule: Schedule,
        ranks: Ranks,
        validate: Callable[[int], Mapping[str, Any]],
    ) -> None:
        self.objective = objective
        self.optimisers = optimisers
        self.folder = folder
        self.schedule = schedule
        self.ranks = ranks
        self._validate = validate
        self.parts: dict[str, Stateful] = {"objective": objective, **optimisers}

    def run(self, batches: Callable[[int], Iterator[Batch]], title: str, progress: bool) -> None:
        """Take all steps that are left; ``batches(first)`` gives the batches from a step on.

        A saved step has all of its lines in the log: what is logged later is logged again by a run
        that goes on from there.

        Raises:
            LossError: the loss became infinite or NaN.
        """
        step, steps = self.folder.load(self.parts), self.schedule.steps
        objective = self._distributed()
        self.objective.train()
        hidden = not progress or self.ranks.rank > 0
        bar = tqdm(batches(step), desc=title, initial=step, total=steps, disable=hidden)
        started = time.monotonic() - self._seconds_before()
        for batch in bar:
            losses = self.take_step(objective, batch, step)
            step += 1
            if not hidden:
                bar.set_postfix({name: f"{float(part):.3f}" for name, part in losses.parts.items()})
            if step % LOG_EVERY == 0:
                self._log(step, losses, started)
            if step % self.schedule.validate_every == 0 and step < steps:
                self._look_up(step)
            if step % self.schedule.save_every == 0 or step == steps:
                self.folder.save(self.parts, step)
        self.ranks.wait()

    def take_step(self, objective: nn.Module, batch: Batch, step: int) -> Losses:
        """One step of all optimisers; the losses before it."""
        losses: Losses = objective(*batch, step)
        # Added up, so that no process goes on into a sum of gradients that another has left.
        total = float(self.ranks.add_up(losses.total))
        if not math.isfinite(total):
            raise LossError(f"the loss became {total} at step {step}")
        losses.total.backward()  # type: ignore[no-untyped-call]
        for optimiser in self.optimisers.values():
            optimiser.step(step)
        return losses

    def _distributed(self) -> nn.Module:
        if self.ranks.count == 1:
            return self.objective
        # A frozen source, or a step without patches, leaves parameters without a gradient.
        return DistributedDataParallel(self.objective, find_unused_parameters=True)

    def _log(self, step: int, losses: Losses, started: float) -> None:
        names = list(losses.parts)
        values = torch.stack([losses.total, *losses.parts.values()]).detach().float()
        means = (self.ranks.add_up(values) / self.ranks.count).tolist()
        rates = {f"{name}_rate": one.rate(step - 1) for name, one in self.optimisers.items()}
        shown = {"loss": means[0], **dict(zip(names, means[1:], strict=True)), **rates}
        self.folder.log(step, {**shown, "seconds": round(time.monotonic() - started, 1)})

    def _seconds_before(self) -> float:
        """Of the run so far, but for what was lost when it was interrupted."""
        logged = [row["seconds"] for row in self.folder.read_log() if "seconds" in row]
        return float(logged[-1]) if logged else 0.0

    def _look_up(self, step: int) -> None:
        def validate() -> None:
            if self.ranks.rank == 0:
                self.folder.log(step, self._validate(step))

        self.ranks.after_first(validate)
        self.objective.train()


def made_ahead(
    make: Callable[[int, int], tuple[Tensor, ...]],
    slots: Sequence[int],
    steps: int,
    threads: int,
) -> Callable[[int], Iterator[Batch]]:
    """``batches`` for a loop: the samples ``make(step, slot)`` of a step, stacked, one step ahead.

    Args:
        make: one sample of a batch, as tensors; called from several threads.
        slots: places in the joint batch that this process fills.
        steps: of the run.
        threads: that make samples.
    """

    def batches(first: int) -> Iterator[Batch]:
        with ThreadPoolExecutor(threads) as pool:

            def begin(step: int) -> list[Any]:
                return [pool.submit(make, step, slot) for slot in slots] if step < steps else []

            following = begin(first)
            for step in range(first, steps):
                samples = [sample.result() for sample in following]
                following = begin(step + 1)
                yield [torch.stack(each) for each in zip(*samples, strict=True)]

    return batches
