"""What every network of this package returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class SegmentationOutput(NamedTuple):
    """Output of a segmentation network for B images of H x W pixels, at the network's own stride.

    Attributes:
        logits: (B, K, H/4, W/4), unnormalised class scores; sizes are rounded up.
        outlier_logits: (B, 2, H/4, W/4), inlier and outlier in this order; None without that head.
        features: (B, C, H/4, W/4), the map that both heads read; None from networks that do not
            give it.
    """

    logits: Tensor
    outlier_logits: Tensor | None = None
    features: Tensor | None = None
