"""Small flows of every kind, in float64, and generators and images to feed them with."""

from __future__ import annotations

import torch

from training.flow import ImageFlow, build_flow
from training.flow.noise import NoiseSource
from training.randomness import make_generator

TINY = {
    "glow_small": {"steps": 1, "hidden": 6},
    "realnvp": {"hidden": 3, "blocks": 1},
    "denseflow_25_6": {"steps": (1, 1, 1), "width": 4, "layers": 2, "layer_growth": 4},
}


def generators(count: int, first: int = 0) -> list[torch.Generator]:
    """Those of images ``first`` and following: always the same."""
    return [make_generator(11, index) for index in range(first, first + count)]


def integers(count: int, height: int, width: int) -> torch.Tensor:
    """Images of noise on the 0..255 scale."""
    source = torch.Generator().manual_seed(height * width)
    return torch.randint(0, 256, (count, 3, height, width), generator=source)


def disturb(module: torch.nn.Module, size: float = 0.05) -> None:
    """Move every parameter, so that no coupling is the identity any more."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += size * torch.randn_like(parameter)


def tiny(name: str, size: float = 0.05, **options) -> ImageFlow:
    """A small flow whose couplings do something, initialised, in evaluation mode."""
    torch.manual_seed(4)
    flow = build_flow(name, **TINY[name], **options).double()
    disturb(flow, size)
    flow.initialise(integers(4, 16, 24), generators(4))
    return flow.eval()


class GivenNoise(NoiseSource):
    """A source whose numbers are those of a vector, in the order in which they are asked for."""

    def __init__(self, numbers: torch.Tensor, keeps_dropped: bool = False) -> None:
        super().__init__([], keeps_dropped=keeps_dropped)
        self.numbers = numbers
        self.used = 0

    def normal(self, shape, like):
        count = len(like) * torch.Size(shape).numel()
        self.used += count
        return self.numbers[self.used - count : self.used].view(len(like), *shape)
