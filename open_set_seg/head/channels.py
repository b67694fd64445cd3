"""What the head is asked for and what it says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from open_set_seg.scores import SCORES, LogisticMap, ScoreInputs, ScoreStatistics


@dataclass(frozen=True)
class ScoreChannel:
    """One map that the head computes.

    Attributes:
        score: key in ``SCORES``.
        temperature: T of the score; None: its default.
        score_map: publishes an unbounded score in [0, 1]; None: the score as its formula gives it.
        coarse: the score of the grid's logits is upsampled, instead of the logits.
    """

    score: str
    temperature: float | None = None
    score_map: LogisticMap | None = None
    coarse: bool = False

    def __call__(self, inputs: ScoreInputs, statistics: ScoreStatistics | None = None) -> Tensor:
        """(B, H, W) of inputs of that size."""
        values = SCORES[self.score](
            inputs.logits,
            self.temperature,
            outlier_logits=inputs.outlier_logits,
            features=inputs.features,
            samples=inputs.samples,
            statistics=statistics,
        )
        return values if self.score_map is None else self.score_map(values)

    @property
    def maximum(self) -> float:
        """The most anomalous value that there is: 1, or infinity for an unpublished score."""
        bounded = SCORES[self.score].bounded or self.score_map is not None
        return 1.0 if bounded else math.inf

    @property
    def on_grid(self) -> bool:
        """Whether the map is computed on the grid: asked for, or because features are large."""
        return self.coarse or "features" in SCORES[self.score].needs


class HeadOutput(NamedTuple):
    """What the head says of B images.

    Attributes:
        nearest: (B, H, W) uint8, arg-max of the logits, ties to the lower class.
        maps: (B, H, W) each, in the order of the channels, free of NaN.
        labels: (B, H, W) uint8, ``nearest`` and the unknown label; None where no rule was given.
    """

    nearest: Tensor
    maps: tuple[Tensor, ...]
    labels: Tensor | None = None


def check_score(score: str, score_map: LogisticMap | None) -> None:
    """Raise ``ValueError`` unless the score exists and has a map exactly when it needs one."""
    if score not in SCORES:
        raise ValueError(f"unknown score {score!r}; known are {', '.join(sorted(SCORES))}")
    if SCORES[score].bounded == (score_map is not None):
        expected = (
            "lies in [0, 1] and takes no" if SCORES[score].bounded else "is unbounded: it needs a"
        )
        raise ValueError(f"the score {score!r} {expected} logistic map")
