"""SwiftNet-RN18, single scale (Orsic et al., CVPR 2019).

A ResNet-18 encoder, a spatial pyramid pooling whose grids follow the aspect ratio, and a light
decoder of three upsampling units with lateral connections. Parameter names are those of the
published checkpoints, so a state dict of the authors' code loads strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from open_set_seg.models.heads import PixelClassifier
from open_set_seg.models.output import SegmentationOutput
from open_set_seg.models.resnet import Stage, stage_channels
from open_set_seg.models.units import NormReluConv, PyramidPooling, UpsampleUnit

# The normalisation of the published Cityscapes configuration, RGB on the 0..255 scale. A
# checkpoint brings its own, in the same buffers.
CITYSCAPES_MEAN = (73.15, 82.90, 72.3)
CITYSCAPES_STD = (47.67, 48.49, 47.73)

PYRAMID_ROWS = (8, 4, 2)
# The published configuration reaches only the pyramid with its slow statistics; the other units
# keep PyTorch's default of 0.1.
PYRAMID_MOMENTUM = 0.005


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
        self.spp = PyramidPooling(channels[3], decoder, PYRAMID_ROWS, PYRAMID_MOMENTUM)
        self.upsample = nn.ModuleList(
            UpsampleUnit(decoder, skip, decoder) for skip in (channels[2], channels[1], channels[0])
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


class SwiftNet(PixelClassifier):
    """SwiftNet-RN18 single scale for K classes.

    11,797,071 parameters at K = 19 and ``width`` 1. The final upsampling of the logits is the
    open-set head's work (and the loss's in training), not this network's.

    Args:
        num_classes: K.
        width: factor on every channel count (0.25: a stem of 16 channels).
        outlier_head: add a second classifier of two channels on the same features.
    """

    # Names of the parameters that ImageNet weights fill begin so.
    ENCODER = ("backbone.conv1.", "backbone.bn1.", "backbone.layer")

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
        return self.classify(self.backbone(x))
