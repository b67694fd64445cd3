"""Sections of a recipe that say what is pasted into training images, and how it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from training.divergences import DIVERGENCES
from training.flow import FLOWS
from training.negatives import NEGATIVES
from training.recipes.reading import require


@dataclass(frozen=True)
class FlowRecipe:
    """Which normalizing flow.

    Attributes:
        name: key in ``FLOWS``.
        options: of its constructor; a checkpoint brings its own.
        checkpoint: file that a recipe with ``task: flow`` made, to start from; None: fresh.
        end: of its inverse, see ``ImageFlow``.
        checkpointing: compute coupling networks again in the backward pass: less memory.
    """

    name: str = "glow_small"
    options: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None
    end: Literal["clamp", "straight_through"] = "clamp"
    checkpointing: bool = False

    def __post_init__(self) -> None:
        require(self.name in FLOWS, "name", sorted(FLOWS))
        fresh = self.checkpoint is None
        require(fresh or not self.options, "options", "none beside a checkpoint")


@dataclass(frozen=True)
class PatchesRecipe:
    """Where negatives are pasted, and how large they are; see ``choose_places``.

    Attributes:
        sizes: smallest and largest side, multiples of 8 pixels.
        one_size: whether all patches of a batch share a size, or every one has its own.
        per_image: patches in an image.
        placement: uniform, or larger and more often where the road is near, or both in turn.
        shape: of the pasted region inside its rectangle.
        ignore_border: pixels around a patch without a label.
    """

    sizes: tuple[int, int] = (16, 216)
    one_size: Literal["batch", "image"] = "batch"
    per_image: int = 1
    placement: Literal["uniform", "perspective", "alternating"] = "uniform"
    shape: Literal["rectangle", "ellipse", "blob"] = "rectangle"
    ignore_border: int = 0

    def __post_init__(self) -> None:
        low, high = self.sizes
        allowed = 8 <= low <= high and low % 8 == high % 8 == 0
        require(allowed, "sizes", "multiples of 8, smallest <= largest")
        require(self.per_image >= 1, "per_image", "at least 1")
        require(self.ignore_border >= 0, "ignore_border", "at least 0")


@dataclass(frozen=True)
class SourceOptimisationRecipe:
    """The optimiser of whatever makes the negatives, with a constant rate after the warm-up."""

    optimiser: Literal["adamax", "adam"] = "adamax"
    learning_rate: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-7
    warmup_steps: int = 0
    gradient_clip: float | None = None

    def __post_init__(self) -> None:
        require(self.learning_rate >= 0, "learning_rate", "at least 0")
        require(all(0 <= b < 1 for b in self.betas), "betas", "numbers in [0, 1)")
        require(self.epsilon > 0, "epsilon", "a positive number")
        require(self.warmup_steps >= 0, "warmup_steps", "at least 0")
        clip = self.gradient_clip
        require(clip is None or clip > 0, "gradient_clip", "a positive number")


@dataclass(frozen=True)
class NegativesRecipe:
    """The joint step of NFlowJS and its relatives (Sensors 2024, eq. 5).

    Attributes:
        source: key in ``NEGATIVES``.
        options: of the source's constructor; for ``flow``: ``joint``, ``likelihood``,
            ``feedback``.
        flow: for the source ``flow``.
        divergence: key in ``DIVERGENCES``: from the uniform distribution, on pasted pixels.
        weight: lambda, on the divergence.
        weight_warmup_steps: over which lambda rises from 0.
    """

    source: str = "flow"
    options: Mapping[str, Any] = field(default_factory=dict)
    flow: FlowRecipe = field(default_factory=FlowRecipe)
    divergence: str = "js"
    weight: float = 0.03
    weight_warmup_steps: int = 0
    patches: PatchesRecipe = field(default_factory=PatchesRecipe)
    optimisation: SourceOptimisationRecipe = field(default_factory=SourceOptimisationRecipe)

    def __post_init__(self) -> None:
        require(self.source in NEGATIVES, "source", sorted(NEGATIVES))
        require(self.divergence in DIVERGENCES, "divergence", sorted(DIVERGENCES))
        for name in ("weight", "weight_warmup_steps"):
            require(getattr(self, name) >= 0, name, "at least 0")
