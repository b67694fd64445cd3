"""Gaussian noise that flows append, drop and draw again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.randomness import draw_normal


class NoiseSource:
    """Where the parts of a flow take their noise from: one generator for each image.

    Towards the latents some parts append noise, others drop channels; towards the image the first
    discard what was appended, the second draw again what was dropped. A source that keeps the
    dropped channels gives them back instead, the last first: then the inverse is exact.

    Args:
        generators: one for each image of the batch.
        temperature: deviation of what is drawn again, 1 for samples of the model.
        keeps_dropped: keep what ``keep`` is given, for ``take_kept``.
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        temperature: float = 1.0,
        keeps_dropped: bool = False,
    ) -> None:
        self.generators = generators
        self.temperature = temperature
        self.kept: list[Tensor] | None = [] if keeps_dropped else None

    def normal(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Standard normal numbers (B, *shape); type and device of ``like``."""
        return draw_normal(self.generators, shape, like)

    def keep(self, dropped: Tensor) -> None:
        """Keep channels that leave the flow, if this source keeps any."""
        if self.kept is not None:
            self.kept.append(dropped)

    def take_kept(self) -> Tensor | None:
        """The channels kept last, which are given once; None if this source keeps none."""
        return None if self.kept is None else self.kept.pop()
