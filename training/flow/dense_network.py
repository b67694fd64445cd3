"""The coupling network of DenseFlow: one densely connected unit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.flow.coupling_networks import GaussianNetwork


class DenseLayer(nn.Module):
    """1 x 1 and 3 x 3 convolution with ReLU, their output beside their input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, growth, 3, padding=1),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + growth, H, W)."""
        return torch.cat((x, self.layers(x)), dim=1)


class GatedConv1x1(nn.Module):
    """a + b sigmoid(c) with three 1 x 1 convolutions of the same input."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, 3 * outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H, W)."""
        plain, gated, gate = self.layer(x).chunk(3, dim=1)
        result: Tensor = plain + gated * torch.sigmoid(gate)
        return result


class ResidualDenseUnit(nn.Module):
    """x + f(x), where f is a chain of dense layers and a gated projection back to C channels."""

    def __init__(self, channels: int, layers: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(DenseLayer(channels + index * growth, growth) for index in range(layers)),
            GatedConv1x1(channels + layers * growth, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        result: Tensor = x + self.layers(x)
        return result


class DenseNetwork(GaussianNetwork):
    """A 1 x 1 convolution to ``width`` channels, a residual dense unit, a 1 x 1 convolution.

    (Grcic et al., DenseFlow, without the attention beside the dense unit, which would not take
    images of every size.)
    """

    def __init__(
        self, channels: int, outputs: int, width: int = 32, layers: int = 7, growth: int = 64
    ) -> None:
        body = nn.Sequential(
            nn.Conv2d(channels, width, 1), ResidualDenseUnit(width, layers, growth)
        )
        super().__init__(body, nn.Conv2d(width, outputs, 1))


class NoiseNetwork(GaussianNetwork):
    """A 3 x 3 convolution to four times the channels, ReLU, a 1 x 1 convolution."""

    def __init__(self, channels: int, outputs: int) -> None:
        body = nn.Sequential(nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.ReLU(inplace=True))
        super().__init__(body, nn.Conv2d(4 * channels, outputs, 1))
