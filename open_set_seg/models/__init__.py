"""Segmentation networks: a literal registry, one way to build one, and importers of weights."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from open_set_seg.models.adapter import AdapterError, LogitsAdapter
from open_set_seg.models.cost import count_multiply_adds, count_parameters
from open_set_seg.models.heads import PixelClassifier
from open_set_seg.models.ladder_densenet import LadderDenseNet
from open_set_seg.models.output import SegmentationOutput
from open_set_seg.models.swiftnet import SwiftNet
from open_set_seg.models.weights import (
    WeightsError,
    load_imagenet,
    load_imagenet_densenet121,
    load_imagenet_resnet18,
    load_ldn_upstream,
    load_swiftnet_upstream,
)

__all__ = [
    "MODELS",
    "AdapterError",
    "LadderDenseNet",
    "LogitsAdapter",
    "PixelClassifier",
    "SegmentationOutput",
    "SwiftNet",
    "WeightsError",
    "build_model",
    "count_multiply_adds",
    "count_parameters",
    "load_imagenet",
    "load_imagenet_densenet121",
    "load_imagenet_resnet18",
    "load_ldn_upstream",
    "load_swiftnet_upstream",
]

# Every network maps RGB (B, 3, H, W) on the 0..255 scale to a SegmentationOutput.
MODELS: dict[str, Callable[[int, float, bool], nn.Module]] = {
    "swiftnet_rn18": SwiftNet,
    "ldn_121": LadderDenseNet,
}


def build_model(
    name: str, num_classes: int, width: float = 1.0, outlier_head: bool = False
) -> nn.Module:
    """A freshly initialised network of ``MODELS``.

    Args:
        name: key in ``MODELS``.
        num_classes: K, 2 to 254.
        width: factor on every channel count of the paper, in (0, 4].
        outlier_head: whether ``SegmentationOutput.outlier_logits`` is wanted.

    Raises:
        ValueError: unknown name, or a number outside its range.
    """
    if name not in MODELS:
        raise ValueError(f"unknown network {name!r}; known are {', '.join(sorted(MODELS))}")
    if not 2 <= num_classes <= 254:
        raise ValueError(f"num_classes must be 2 to 254, not {num_classes}")
    if not 0.0 < width <= 4.0:
        raise ValueError(f"width must be in (0, 4], not {width}")
    return MODELS[name](num_classes, width, outlier_head)
