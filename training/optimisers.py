"""Optimisers with their learning rates by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from training.recipes import OptimisationRecipe, SourceOptimisationRecipe

Rate = Callable[[int], float]


class ScheduledOptimiser:
    """An optimiser whose rate is a function of the step alone, so that resuming needs no more.

    Args:
        optimiser: its groups may hold a ``factor`` on the rate.
        rate: by step, from 0.
        gradient_clip: largest norm of all gradients together; None for no limit.
    """

    def __init__(
        self, optimiser: torch.optim.Optimizer, rate: Rate, gradient_clip: float | None = None
    ) -> None:
        self.optimiser = optimiser
        self.rate = rate
        self._clip = gradient_clip

    def step(self, step: int) -> None:
        """Change the parameters by their gradients, then forget these."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step) * group.get("factor", 1.0)
        if self._clip is not None:
            parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self._clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Of the optimiser."""
        return self.optimiser.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Of the optimiser."""
        self.optimiser.load_state_dict(state)


def network_optimiser(
    network: nn.Module, recipe: OptimisationRecipe, steps: int
) -> ScheduledOptimiser:
    """Of a segmentation network; normalisations and biases do not decay."""
    prefixes: tuple[str, ...] = getattr(network, "ENCODER", ())
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            key = (name.startswith(prefixes) if prefixes else False, parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    listed = [
        {
            "params": parameters,
            "weight_decay": recipe.weight_decay if decays else 0.0,
            "factor": recipe.encoder_factor if encoder else 1.0,
        }
        for (encoder, decays), parameters in sorted(groups.items(), reverse=True)
    ]
    kind = torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam
    optimiser = kind(listed, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.epsilon)
    return ScheduledOptimiser(optimiser, lambda step: learning_rate(step, recipe, steps))


def source_optimiser(
    parameters: Iterable[nn.Parameter],
    recipe: SourceOptimisationRecipe,
    rate: Rate | None = None,
) -> ScheduledOptimiser | None:
    """Of what makes negatives, at a constant rate after the warm-up or at ``rate``.

    None where nothing is to be learned.
    """
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    if not learned:
        return None
    kind = torch.optim.Adamax if recipe.optimiser == "adamax" else torch.optim.Adam
    optimiser = kind(learned, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.epsilon)

    def constant(step: int) -> float:
        return recipe.learning_rate * min(1.0, (step + 1) / max(1, recipe.warmup_steps))

    return ScheduledOptimiser(optimiser, rate or constant, recipe.gradient_clip)


def learning_rate(step: int, recipe: OptimisationRecipe, steps: int) -> float:
    """Linear warm-up, then a half cosine.

    It reaches ``final_learning_rate`` at the last of ``steps``, or ``cosine_stretch`` times as
    late.
    """
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    span = max(1.0, recipe.cosine_stretch * steps - 1 - recipe.warmup_steps)
    return cosine(
        (step - recipe.warmup_steps) / span, recipe.learning_rate, recipe.final_learning_rate
    )


def cosine(share: float, first: float, last: float) -> float:
    """From ``first`` at share 0 to ``last`` at share 1 and later, along half a cosine."""
    return last + 0.5 * (1.0 + math.cos(math.pi * min(1.0, share))) * (first - last)
