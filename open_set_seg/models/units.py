"""Parts that both networks are made of: units, pyramid pooling, upsampling with a skip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from open_set_seg.models.recomputation import Call, call_plainly

DEFAULT_MOMENTUM = 0.1  # PyTorch's, of the running statistics


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

    def activations(self, x: Tensor) -> Tensor:
        """What the convolution reads."""
        return torch.relu(self.get_submodule("norm")(x))


def resize_bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize with half-pixel centres (``align_corners=False``)."""
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def pyramid_grids(height: int, width: int, rows: Sequence[int]) -> list[tuple[int, int]]:
    """Grid (rows, columns) of every pyramid level for a map of ``height`` x ``width``.

    Columns are ``max(1, round(width / height * rows))``, halves rounded to even, as Python ints.
    """
    return [(count, max(1, round(width / height * count))) for count in rows]


class PyramidPooling(nn.Module):
    """Spatial pyramid pooling with aspect-dependent grids: (B, C, h, w) -> (B, D, h, w).

    Args:
        in_channels: C.
        out_channels: D; every level has D // levels channels.
        rows: rows of the grid of every level.
        momentum: of the running statistics.
    """

    def __init__(
        self, in_channels: int, out_channels: int, rows: Sequence[int], momentum: float
    ) -> None:
        super().__init__()
        self.rows = tuple(rows)
        level_channels = out_channels // len(self.rows)
        units = {"spp_bn": NormReluConv(in_channels, out_channels, 1, momentum=momentum)}
        for level in range(len(self.rows)):
            units[f"spp{level}"] = NormReluConv(out_channels, level_channels, 1, momentum=momentum)
        fused = out_channels + len(self.rows) * level_channels
        units["spp_fuse"] = NormReluConv(fused, out_channels, 1, momentum=momentum)
        self.spp = nn.ModuleDict(units)

    def forward(self, x: Tensor, call: Call = call_plainly) -> Tensor:
        """Pool, reduce and upsample every level, concatenate, fuse."""
        height, width = int(x.shape[2]), int(x.shape[3])
        x = call(self.spp["spp_bn"], x)
        levels = [x]
        for index, grid in enumerate(pyramid_grids(height, width, self.rows)):
            level = call(self.spp[f"spp{index}"], functional.adaptive_avg_pool2d(x, grid))
            levels.append(resize_bilinear(level, (height, width)))
        return call(self.spp["spp_fuse"], torch.cat(levels, dim=1))


class UpsampleUnit(nn.Module):
    """Upsample the running map to the skip's size, add the projected skip, blend by 3x3.

    Args:
        channels: D of the running map.
        skip_channels: C of the skip.
        out_channels: E of the result.
        momentum: of the running statistics.
    """

    def __init__(
        self,
        channels: int,
        skip_channels: int,
        out_channels: int,
        momentum: float = DEFAULT_MOMENTUM,
    ) -> None:
        super().__init__()
        self.bottleneck = NormReluConv(skip_channels, channels, 1, momentum=momentum)
        self.blend_conv = NormReluConv(channels, out_channels, 3, momentum=momentum)

    def forward(self, x: Tensor, skip: Tensor, call: Call = call_plainly) -> Tensor:
        """(B, D, h, w) and (B, C, 2h, 2w) -> (B, E, 2h, 2w)."""
        lateral = call(self.bottleneck, skip)
        x = resize_bilinear(x, (int(skip.shape[2]), int(skip.shape[3]))) + lateral
        return call(self.blend_conv, x)
