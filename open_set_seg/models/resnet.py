"""ResNet-18 (He et al. 2016) with torchvision's parameter names and the sums before the ReLU.

SwiftNet's decoder reads the residual sums before their ReLU, because its own units begin with a
normalisation and a ReLU; so every block here returns both.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut: (B, C_in, H, W) -> (B, C_out, H/stride, W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The sum after its ReLU, and the sum before it."""
        shortcut = x if self.downsample is None else self.downsample(x)
        residual = torch.relu(self.bn1(self.conv1(x)))
        total = self.bn2(self.conv2(residual)) + shortcut
        return torch.relu(total), total


class Stage(nn.Sequential):
    """Two basic blocks; only the first one may change stride and width."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(
            BasicBlock(in_channels, out_channels, stride), BasicBlock(out_channels, out_channels)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the last block returns."""
        total = x
        for block in self:
            x, total = block(x)
        return x, total


def stage_channels(width: float) -> tuple[int, int, int, int]:
    """Channels of the four stages, (64, 128, 256, 512) times ``width``, at least 1 each."""
    first, second, third, fourth = (max(1, round(c * width)) for c in (64, 128, 256, 512))
    return first, second, third, fourth
