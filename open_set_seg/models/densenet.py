"""DenseNet-121 (Huang et al., CVPR 2017) with torchvision's parameter names, as an encoder.

It differs from the classifier where Ladder-DenseNet does: 2x2 pooling in the stem, overlapping 3x3
average pooling in the transitions, no last normalisation, and the outputs of all blocks are given.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from open_set_seg.models.recomputation import Call, call_plainly

BLOCK_LAYERS = (6, 12, 24, 16)
STEM_CHANNELS = 64
GROWTH = 32
# The 1x1 convolution of a layer makes this many times the growth.
BOTTLENECK_FACTOR = 4


class DenseLayer(nn.Module):
    """BN-ReLU-1x1-BN-ReLU-3x3 on everything before it: (B, C_i, H, W)... -> (B, growth, H, W)."""

    def __init__(self, in_channels: int, growth: int, momentum: float) -> None:
        super().__init__()
        inner = BOTTLENECK_FACTOR * growth
        self.norm1 = nn.BatchNorm2d(in_channels, momentum=momentum)
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner, momentum=momentum)
        self.conv2 = nn.Conv2d(inner, growth, 3, padding=1, bias=False)

    def forward(self, *features: Tensor) -> Tensor:
        """The new features; the concatenation is in here so that recomputation covers it."""
        x = self.conv1(torch.relu(self.norm1(torch.cat(features, dim=1))))
        grown: Tensor = self.conv2(torch.relu(self.norm2(x)))
        return grown


class DenseBlock(nn.ModuleDict):
    """Layers that each read the block's input and all layers before: C -> C + layers * growth."""

    def __init__(self, layers: int, in_channels: int, growth: int, momentum: float) -> None:
        super().__init__(
            {
                f"denselayer{i + 1}": DenseLayer(in_channels + i * growth, growth, momentum)
                for i in range(layers)
            }
        )

    def forward(self, x: Tensor, call: Call = call_plainly) -> Tensor:
        """Input and new features, concatenated."""
        features = [x]
        for layer in self.values():
            features.append(call(layer, *features))
        return torch.cat(features, dim=1)


class Transition(nn.Module):
    """BN-ReLU-1x1 to half the channels, then the mean of 3x3 at stride 2, borders left out."""

    def __init__(self, in_channels: int, momentum: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels, momentum=momentum)
        self.conv = nn.Conv2d(in_channels, in_channels // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C/2, H/2, W/2), sizes rounded up."""
        x = self.conv(torch.relu(self.norm(x)))
        return functional.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)


class DenseNetEncoder(nn.Module):
    """Images (B, 3, H, W) -> what the four blocks give, at strides 4, 8, 16 and 32.

    Sizes are rounded up at every halving. The published code rounds down in the stem's pooling,
    which is the same wherever the sides are multiples of 4; rounding up keeps the last rows and
    columns of other images, and images of a few pixels work.

    Attributes:
        out_channels: of the four maps; 256, 512, 1024, 1024 at ``width`` 1.
    """

    def __init__(self, width: float, momentum: float) -> None:
        super().__init__()
        channels = max(1, round(STEM_CHANNELS * width))
        growth = max(1, round(GROWTH * width))
        self.features = nn.ModuleDict()
        self.features["conv0"] = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        self.features["norm0"] = nn.BatchNorm2d(channels, momentum=momentum)
        self.out_channels: list[int] = []
        for number, layers in enumerate(BLOCK_LAYERS, start=1):
            block = DenseBlock(layers, channels, growth, momentum)
            self.features[f"denseblock{number}"] = block
            channels += layers * growth
            self.out_channels.append(channels)
            if number < len(BLOCK_LAYERS):
                self.features[f"transition{number}"] = Transition(channels, momentum)
                channels //= 2

    def forward(self, x: Tensor, call: Call = call_plainly) -> list[Tensor]:
        """The maps of the four blocks, before the transitions."""
        x = torch.relu(self.features["norm0"](self.features["conv0"](x)))
        x = functional.max_pool2d(x, 2, stride=2, ceil_mode=True)
        maps: list[Tensor] = []
        for number in range(1, len(BLOCK_LAYERS) + 1):
            if maps:
                x = call(self.features[f"transition{number - 1}"], maps[-1])
            maps.append(self.features[f"denseblock{number}"](x, call))
        return maps
