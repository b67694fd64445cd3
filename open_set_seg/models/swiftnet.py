"""SwiftNet-RN18, single scale (Orsic et al., CVPR 2019).

A ResNet-18 encoder, a spatial pyramid pooling whose grids follow the aspect ratio, and a light
decoder of three upsampling units with lateral connections. Parameter names are those of the
published checkpoints, so a state dict of the authors' code loads strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from open_set_seg.models.output import SegmentationOutput
from open_set_seg.models.resnet import Stage, stage_channels

# The normalisation of the published Cityscapes configuration, RGB on the 0..255 scale. A
# checkpoint brings its own, in the same buffers.
CITYSCAPES_MEAN = (73.15, 82.90, 72.3)
CITYSCAPES_STD = (47.67, 48.49, 47.73)

PYRAMID_ROWS = (8, 4, 2)
# The published configuration reaches only the pyramid with its slow statistics; the other units
# keep PyTorch's default of 0.1.
PYRAMID_MOMENTUM = 0.005
DEFAULT_MOMENTUM = 0.1


class NormReluConv(nn.Sequential):
    """Batch normalisation, ReLU, convolution (padding keeps the size)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        bias: bool = False,
        momentum: float = DEFAULT_MOMENTUM,
    ) -> None:
        super().__init__()
        self.add_module("norm", nn.BatchNorm2d(in_channels, momentum=momentum))
        self.add_module("relu", nn.ReLU())
        self.add_module(
            "conv", nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias)
        )


def resize_bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize with half-pixel centres (``align_corners=False``)."""
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def pyramid_grids(height: int, width: int) -> list[tuple[int, int]]:
    """Grid (rows, columns) of every pyramid level for a map of ``height`` x ``width``.

    Columns are ``max(1, round(width / height * rows))``, halves rounded to even, as Python ints.
    """
    return [(rows, max(1, round(width / height * rows))) for rows in PYRAMID_ROWS]


class PyramidPooling(nn.Module):
    """Spatial pyramid pooling with aspect-dependent grids: (B, C, h, w) -> (B, D, h, w)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        level_channels = out_channels // len(PYRAMID_ROWS)
        units = {"spp_bn": NormReluConv(in_channels, out_channels, 1, momentum=PYRAMID_MOMENTUM)}
        for level in range(len(PYRAMID_ROWS)):
            units[f"spp{level}"] = NormReluConv(
                out_channels, level_channels, 1, momentum=PYRAMID_MOMENTUM
            )
        fused = out_channels + len(PYRAMID_ROWS) * level_channels
        units["spp_fuse"] = NormReluConv(fused, out_channels, 1, momentum=PYRAMID_MOMENTUM)
        self.spp = nn.ModuleDict(units)

    def forward(self, x: Tensor) -> Tensor:
        """Pool, reduce and upsample every level, concatenate, fuse."""
        height, width = int(x.shape[2]), int(x.shape[3])
        x = self.spp["spp_bn"](x)
        levels = [x]
        for index, grid in enumerate(pyramid_grids(height, width)):
            pooled = functional.adaptive_avg_pool2d(x, grid)
            levels.append(resize_bilinear(self.spp[f"spp{index}"](pooled), (height, width)))
        fused: Tensor = self.spp["spp_fuse"](torch.cat(levels, dim=1))
        return fused


class UpsampleUnit(nn.Module):
    """Upsample the running map to the skip's size, add the projected skip, blend by 3x3."""

    def __init__(self, channels: int, skip_channels: int) -> None:
        super().__init__()
        self.bottleneck = NormReluConv(skip_channels, channels, 1)
        self.blend_conv = NormReluConv(channels, channels, 3)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, D, h, w) and (B, C, 2h, 2w) -> (B, D, 2h, 2w)."""
        lateral = self.bottleneck(skip)
        x = resize_bilinear(x, (int(skip.shape[2]), int(skip.shape[3]))) + lateral
        blended: Tensor = self.blend_conv(x)
        return blended


class SwiftNetBackbone(nn.Module):
    """Encoder, pyramid and decoder: RGB (B, 3, H, W) in 0..255 -> (B, D, H/4, W/4)."""

    img_mean: Tensor
    img_std: Tensor

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = stage_channels(width)
        decoder = max(len(PYRAMID_ROWS), round(128 * width))
        self.register_buffer("img_mean", torch.tensor(CITYSCAPES_MEAN).view(1, 3, 1, 1))
        self.register_buffer("img_std", torch.tensor(CITYSCAPES_STD).view(1, 3, 1, 1))
        self.conv1 = nn.Conv2d(3, channels[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.layer1 = Stage(channels[0], channels[0], stride=1)
        self.layer2 = Stage(channels[0], channels[1], stride=2)
        self.layer3 = Stage(channels[1], channels[2], stride=2)
        self.layer4 = Stage(channels[2], channels[3], stride=2)
        self.spp = PyramidPooling(channels[3], decoder)
        self.upsample = nn.ModuleList(
            UpsampleUnit(decoder, skip) for skip in (channels[2], channels[1], channels[0])
        )
        self.out_channels = decoder

    def forward(self, x: Tensor) -> Tensor:
        """Features at stride 4; the caller's tensor is left as it was."""
        x = (x - self.img_mean) / self.img_std
        x = torch.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        skips = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x, before_relu = stage(x)
            skips.append(before_relu)
        x = self.spp(skips.pop())
        for unit in self.upsample:
            x = unit(x, skips.pop())
        return x


class SwiftNet(nn.Module):
    """SwiftNet-RN18 single scale for K classes.

    11,797,071 parameters at K = 19 and ``width`` 1. The final upsampling of the logits is the
    open-set head's work (and the loss's in training), not this network's.

    Args:
        num_classes: K.
        width: factor on every channel count (0.25: a stem of 16 channels).
        outlier_head: add a second classifier of two channels on the same features.
    """

    def __init__(self, num_classes: int, width: float = 1.0, outlier_head: bool = False) -> None:
        super().__init__()
        self.backbone = SwiftNetBackbone(width)
        features = self.backbone.out_channels
        self.logits = NormReluConv(features, num_classes, 1, bias=True)
        self.logits_ood = NormReluConv(features, 2, 1, bias=True) if outlier_head else None
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> SegmentationOutput:
        """RGB (B, 3, H, W), float on the 0..255 scale, any H and W -> logits at stride 4."""
        features = self.backbone(x)
        outlier_logits = None if self.logits_ood is None else self.logits_ood(features)
        return SegmentationOutput(self.logits(features), outlier_logits, features)
