"""Bilinear upsampling with half-pixel centres."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def upsample(values: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) -> (B, C, H, W)."""
    return functional.interpolate(values, size=size, mode="bilinear", align_corners=False)


def blend_rows(source: int, target: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For every output row its two source rows and the weight of the second."""
    rows = torch.arange(target, device=like.device, dtype=torch.float64)
    position = ((rows + 0.5) * (source / target) - 0.5).clamp(min=0.0)
    upper = position.floor().to(torch.long).clamp(max=source - 1)
    lower = (upper + 1).clamp(max=source - 1)
    return upper, lower, (position - upper).to(like.dtype)
