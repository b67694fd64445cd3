"""Ladder-DenseNet-121 as NFlowJS and DenseHybrid use it (after Kreso et al., IEEE T-ITS 2021).

A DenseNet-121 encoder, a spatial pyramid pooling of four levels, and a ladder of three upsampling
units. Parameter names are those of the published checkpoints, so a state dict of the authors' code
loads strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from open_set_seg.models.densenet import DenseNetEncoder
from open_set_seg.models.heads import PixelClassifier
from open_set_seg.models.output import SegmentationOutput
from open_set_seg.models.recomputation import Call, call_plainly, call_recomputed
from open_set_seg.models.units import NormReluConv, PyramidPooling, UpsampleUnit

# The network was trained on RGB / 255 without mean and deviation.
INPUT_SCALE = 255.0
PYRAMID_ROWS = (8, 4, 2, 1)
PYRAMID_CHANNELS = 512
LADDER_CHANNELS = (256, 256, 128)
MOMENTUM = 0.01


class LadderUnit(UpsampleUnit):
    """An upsampling unit with the auxiliary classifier that published checkpoints carry.

    Nothing reads that classifier: it is there for the names alone, is not computed and takes no
    gradient.
    """

    def __init__(self, channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__(channels, skip_channels, out_channels, MOMENTUM)
        self.logits_aux = NormReluConv(channels, 1, 1, bias=True, momentum=MOMENTUM)
        self.logits_aux.requires_grad_(False)


class Pyramid(nn.Module):
    """The pyramid pooling under the name that it has in published checkpoints."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.spp = PyramidPooling(in_channels, out_channels, PYRAMID_ROWS, MOMENTUM)

    def forward(self, x: Tensor, call: Call = call_plainly) -> Tensor:
        """(B, C, h, w) -> (B, D, h, w)."""
        pooled: Tensor = self.spp(x, call)
        return pooled


class Ladder(nn.Module):
    """Three upsampling units, the deepest first: (B, D, h, w) and three skips -> (B, E, 8h, 8w)."""

    def __init__(self, channels: int, skips: list[int], outputs: list[int]) -> None:
        super().__init__()
        inputs = [channels, *outputs[:-1]]
        sizes = zip(inputs, reversed(skips), outputs, strict=True)
        self.upsample_layers = nn.ModuleDict(
            {f"upsample_{index}": LadderUnit(*size) for index, size in enumerate(sizes)}
        )

    def forward(self, x: Tensor, skips: list[Tensor], call: Call = call_plainly) -> Tensor:
        """``skips`` from the finest to the coarsest."""
        for unit, skip in zip(self.upsample_layers.values(), reversed(skips), strict=True):
            x = unit(x, skip, call)
        return x


class LadderDenseNet(PixelClassifier):
    """Ladder-DenseNet-121 for K classes.

    11,067,414 parameters at K = 19 and ``width`` 1, 11,067,928 with the outlier head; 205.7 G
    multiply-adds at 1024 x 2048 (200.8 G after the stem's convolution, which counts of the
    published code leave out). The final upsampling of the logits is the open-set head's work (and
    the loss's in training), not this network's.

    Args:
        num_classes: K.
        width: factor on every channel count (0.25: a stem of 16 channels, a growth of 8).
        outlier_head: add a second classifier of two channels on the same features.

    Attributes:
        gradient_checkpointing: where gradients are wanted, keep only the inputs of layers,
            transitions and units, and compute the rest again in the backward pass. Values,
            gradients and running statistics stay the same.
    """

    # Names of the parameters that ImageNet weights fill begin so.
    ENCODER = ("backbone.",)

    def __init__(self, num_classes: int, width: float = 1.0, outlier_head: bool = False) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        self.backbone = DenseNetEncoder(width, MOMENTUM)
        *skips, deepest = self.backbone.out_channels
        pyramid = max(len(PYRAMID_ROWS), round(PYRAMID_CHANNELS * width))
        ladder = [max(1, round(channels * width)) for channels in LADDER_CHANNELS]
        self.spp = Pyramid(deepest, pyramid)
        self.upsample = Ladder(pyramid, skips, ladder)
        self.logits = NormReluConv(ladder[-1], num_classes, 1, bias=True, momentum=MOMENTUM)
        self.logits_ood = (
            NormReluConv(ladder[-1], 2, 1, bias=True, momentum=MOMENTUM) if outlier_head else None
        )
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> SegmentationOutput:
        """RGB (B, 3, H, W), float on the 0..255 scale, any H and W -> logits at stride 4."""
        recompute = self.gradient_checkpointing and torch.is_grad_enabled()
        call = call_recomputed if recompute else call_plainly
        *skips, deepest = self.backbone(x / INPUT_SCALE, call)
        features = self.upsample(self.spp(deepest, call), skips, call)
        return self.classify(features, call=call)
