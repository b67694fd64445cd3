"""The map that brings an unbounded score to the published scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LogisticMap:
    """The map 1 / (1 + exp(-(s - location) / scale)) of an unbounded score s to [0, 1].

    Args:
        location: the score that is published as 1/2.
        scale: positive; the score's unit.

    Raises:
        ValueError: a number that is not finite, or a scale that is not positive.
    """

    location: float
    scale: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.location) and math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(
                f"a logistic map needs a finite location and a positive finite scale, "
                f"not {self.location} and {self.scale}"
            )

    def __call__(self, score: Tensor) -> Tensor:
        """Published values of ``score``, same shape."""
        return torch.sigmoid((score - self.location) / self.scale)
