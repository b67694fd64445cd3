"""Training losses on logits at stride 4, measured at full resolution."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from open_set_seg.label_spaces import UNLABELLED


def upsampled_cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """Weighted mean of -ln p_label over labelled pixels, logits upsampled to the labels' size.

    sum_i w(y_i) (-ln p_i(y_i)) / sum_i w(y_i) over all pixels i of the batch whose label is not
    255. Zero, with a zero gradient, if there is none. Works image by image: one image's class
    planes stay in the processor's cache, which halves the time.

    Args:
        logits: (B, K, h, w).
        labels: (B, H, W), integer class ids, 255 = unlabelled.
        class_weights: (K,), None for equal weights.
    """
    total = logits.new_zeros((), dtype=torch.float32)
    weight = logits.new_zeros((), dtype=torch.float32)
    labels = labels.long()
    for image, target in zip(logits.unsqueeze(1), labels.unsqueeze(1), strict=True):
        full = functional.interpolate(
            image.float().contiguous(), size=target.shape[1:], mode="bilinear", align_corners=False
        )
        total = total + functional.cross_entropy(
            full, target, class_weights, ignore_index=UNLABELLED, reduction="sum"
        )
        labelled = target[target != UNLABELLED]
        weight = weight + (
            labelled.numel() if class_weights is None else class_weights[labelled].sum()
        )
    return total / weight.clamp(min=1e-12)


def class_weights_from_counts(counts: NDArray[np.int64], power: float) -> NDArray[np.float32]:
    """Weights (K,) that grow as f ** -power with a class's pixel share f, mean 1 over pixels.

    A class without any pixel weighs as much as the rarest class that has some.
    """
    shares = counts / max(1, counts.sum())
    present = shares > 0
    if not present.any():
        return np.ones(len(counts), dtype=np.float32)
    raw = np.where(present, shares, shares[present].min()) ** -power
    weights: NDArray[np.float32] = (raw / (raw * shares).sum()).astype(np.float32)
    return weights
