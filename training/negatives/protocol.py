"""What every source of negatives hands out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Drawn(NamedTuple):
    """Negatives for n places of one size.

    Attributes:
        patches: (n, 3, h, w) in [0, 1], with a gradient to the source if it is to have one.
        losses: terms that the source adds to the objective: scalars, means over the n patches.
        measures: to be logged only.
        masks: (n, 1, h, w) bool, which pixels of each patch are pasted; None for all.
    """

    patches: Tensor
    losses: dict[str, Tensor]
    measures: dict[str, float]
    masks: Tensor | None = None


class NegativeSource(nn.Module):
    """Draws patches; those that learn have parameters."""

    @abstractmethod
    def draw(self, crops: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        """Patches in place of ``crops``; patch i is a function of crop i and of generator i alone.

        Args:
            crops: (n, 3, h, w) floats, whole numbers 0..255: what the patches replace.
            generators: one a patch; they are advanced.

        Raises:
            ValueError: crops of another shape, or another number of generators than crops.
        """


def check_crops(crops: Tensor, generators: Sequence[torch.Generator], multiple: int = 1) -> None:
    """ValueError unless crops are (n, 3, h, w) with a generator each and sides of a multiple."""
    if crops.ndim != 4 or crops.shape[1] != 3 or not crops.is_floating_point():
        raise ValueError(
            f"expected crops (n, 3, h, w) of floats, found {tuple(crops.shape)} {crops.dtype}"
        )
    if len(crops) == 0 or len(generators) != len(crops):
        raise ValueError(f"expected a generator a crop, found {len(generators)} for {len(crops)}")
    if crops.shape[2] % multiple or crops.shape[3] % multiple:
        raise ValueError(f"sides must be multiples of {multiple}, found {tuple(crops.shape[2:])}")


def measure_colours(patches: Tensor) -> dict[str, float]:
    """Mean of every channel, and the share of values at the ends of [0, 1].

    ``clamped`` is the share of values that are exactly 0 or 1: of samples that were clamped, those
    that left the range. Where it grows the source has found a degenerate answer: black patches.
    """
    values = patches.detach().float()
    means = values.mean(dim=(0, 2, 3))
    clamped = ((values <= 0.0) | (values >= 1.0)).float().mean()
    red, green, blue, share = torch.cat([means, clamped.unsqueeze(0)]).tolist()
    return {"red": red, "green": green, "blue": blue, "clamped": share}
