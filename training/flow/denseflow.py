"""DenseFlow (Grcic, Grubisic and Segvic, NeurIPS 2021), in the variant that invents negatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from training.flow.bijections import (
    Bijection,
    Chain,
    FactorOut,
    Squeeze,
    glow_step,
    standard_normal_log_density,
)
from training.flow.coupling_networks import GaussianNetwork, split_log_scale
from training.flow.dense_network import DenseNetwork, NoiseNetwork
from training.flow.image_flow import End, ImageFlow, check_counts
from training.flow.noise import NoiseSource

# Maps a number of channels to a bijection on as many.
MakeUnit = Callable[[int], Bijection]


class CrossUnitNoise(nn.Module):
    """Gaussian channels whose mean and deviation follow what the block has computed so far.

    y = mean + exp(s) n with n standard normal and (s, mean) from a network of the inputs of all
    units before. The contribution of appending y is -ln q(y) = -ln N(n; 0, I) + sum of s.
    The inverse only discards y, so samples give the network no gradient.
    """

    def __init__(self, network: GaussianNetwork, growth: int) -> None:
        super().__init__()
        self.network = network
        self.growth = growth

    def forward(self, context: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> y (B, growth, H, W) and the contribution (B,)."""
        log_scale, mean = split_log_scale(self.network(context))
        raw = noise.normal((self.growth, *context.shape[2:]), context)
        contribution = log_scale.sum(dim=(1, 2, 3)) - standard_normal_log_density(raw)
        return mean + log_scale.exp() * raw, contribution


class DenseBlock(Bijection):
    """Units one after the other, with ``growth`` channels of noise more before each but the first.

    Args:
        channels: C of the first unit; unit i has C + i growth.
        units: how many.
        growth: see above.
        make_unit: the units.
    """

    def __init__(self, channels: int, units: int, growth: int, make_unit: MakeUnit) -> None:
        super().__init__()
        self.growth = growth
        widths = [channels + index * growth for index in range(units)]
        self.units = nn.ModuleList(make_unit(width) for width in widths)
        # The noise network of unit i reads the inputs of units 0 to i - 1, each without the noise
        # that was appended to it.
        read = [channels, *widths]
        self.noises = nn.ModuleList(
            CrossUnitNoise(NoiseNetwork(sum(read[:index]), 2 * growth), growth)
            for index in range(1, units)
        )

    def forward(self, x: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> (B, C + (units - 1) growth, H, W)."""
        inputs: list[Tensor] = []
        total = x.new_zeros(len(x))
        for index, unit in enumerate(self.units):
            fed = x
            if index:
                appended, contribution = self.noises[index - 1](torch.cat(inputs, dim=1), noise)
                fed = torch.cat((x, appended), dim=1)
                total = total + contribution
            inputs.append(x)
            x, contribution = unit(fed, noise)
            total = total + contribution
        return x, total

    def inverse(self, z: Tensor, noise: NoiseSource) -> Tensor:
        """Undo the units, and discard the last channels between them."""
        for index in reversed(range(len(self.units))):
            unit = self.units[index]
            assert isinstance(unit, Bijection)
            z = unit.inverse(z, noise)
            if index:
                z = z[:, : -self.growth]
        return z


class DenseFlow(ImageFlow):
    """DenseFlow-L-k: blocks of units of Glow steps, k channels of noise more from unit to unit.

    By default DenseFlow-25-6 with plain dense coupling networks: 35,736,742 parameters, sides are
    multiples of 8. It differs from the density model of the DenseFlow paper in having no attention
    beside the dense units, uniform dequantisation, and coupling networks 32 channels wide.

    Args:
        units: of each block; L is the sum of units times steps.
        steps: of each unit of a block.
        growth: k.
        width: of the coupling networks; ``layers`` and ``layer_growth`` of their dense units.
        end: see ``ImageFlow``; ``checkpointing`` too.

    Raises:
        ValueError: unless ``units`` and ``steps`` hold a number for each block; a number below 1;
            an ``end`` that is none.
    """

    def __init__(
        self,
        units: Sequence[int] = (3, 2, 1),
        steps: Sequence[int] = (3, 4, 8),
        growth: int = 6,
        width: int = 32,
        layers: int = 7,
        layer_growth: int = 64,
        end: End = "clamp",
        checkpointing: bool = False,
    ) -> None:
        check_counts(growth=growth, width=width, layers=layers, layer_growth=layer_growth)
        if not units or len(units) != len(steps):
            raise ValueError(
                f"expected a number of units and of steps for each block, found {units} and {steps}"
            )
        for many, count in zip(units, steps, strict=True):
            check_counts(units=many, steps=count)
        parts: list[Bijection] = [Squeeze()]
        channels = 12
        for block, (many, count) in enumerate(zip(units, steps, strict=True)):
            if block:
                parts += [Squeeze(), FactorOut()]
                channels *= 2
            make = partial(_make_unit, count, (width, layers, layer_growth))
            parts.append(DenseBlock(channels, many, growth, make))
            channels += (many - 1) * growth
        super().__init__(Chain(*parts), channels, 2 ** len(units), end, checkpointing)


def _make_unit(steps: int, network: tuple[int, int, int], channels: int) -> Chain:
    ruled = channels // 2
    return Chain(
        *(
            glow_step(channels, DenseNetwork(channels - ruled, 2 * ruled, *network))
            for _ in range(steps)
        )
    )
