"""Training losses on logits at stride 4, measured at full resolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from open_set_seg.label_spaces import UNLABELLED


class MixedContentSums(NamedTuple):
    """Sums over the pixels of a batch, and what to divide them by.

    Sums and counts add over parts of a batch. A process of several adds up the counts of all of
    them, puts these in place of its own, and divides only then.

    Attributes:
        cross_entropy: sum_i w(y_i) (-ln p_i(y_i)) over labelled pixels.
        weight: sum_i w(y_i) over labelled pixels.
        divergence: sum_i D(p_i) over pasted pixels.
        pasted: number of pasted pixels.
    """

    cross_entropy: Tensor
    weight: Tensor
    divergence: Tensor
    pasted: Tensor

    def mean(self) -> tuple[Tensor, Tensor]:
        """(cross_entropy / weight, divergence / pasted); zero with a zero gradient where 0 / 0.

        Neither denominator is the number of all pixels: how strongly negatives weigh against
        inliers does not depend on how much of the batch they cover.
        """
        return (
            self.cross_entropy / self.weight.clamp(min=1e-12),
            self.divergence / self.pasted.clamp(min=1e-12),
        )


def mixed_content_sums(
    logits: Tensor,
    labels: Tensor,
    pasted: Tensor | None = None,
    divergence: Callable[[Tensor], Tensor] | None = None,
    class_weights: Tensor | None = None,
) -> MixedContentSums:
    """Cross-entropy of inliers and divergence of negatives, logits upsampled to the labels' size.

    The two terms of L_disc (Grcic et al., NFlowJS, equation 3) before they are divided and
    weighed. Upsampling is bilinear (``align_corners=False``). Works image by image: one image's
    class planes stay in the processor's cache, which halves the time. The divergence is computed
    of the pasted pixels only.

    Args:
        logits: (B, K, h, w).
        labels: (B, H, W), integer class ids, 255 = unlabelled, as pasted pixels should be.
        pasted: (B, H, W) bool, None for no negatives.
        divergence: logits (1, K, N) of N pixels to values (1, N); needed where ``pasted`` is given.
        class_weights: (K,), None for equal weights.

    Raises:
        ValueError: ``pasted`` without ``divergence``.
    """
    if pasted is not None and divergence is None:
        raise ValueError("pasted pixels need a divergence")
    # Zeros that hang on the logits: also a batch without any such pixel has a gradient.
    precise = torch.promote_types(logits.dtype, torch.float32)
    zero = logits[..., :0].to(precise).sum()
    class_weights = None if class_weights is None else class_weights.to(precise)
    cross_entropy, spread = [zero], [zero]
    labels = labels.long()
    windows = None if pasted is None else _bound(pasted)
    for index in range(len(logits)):
        target = labels[index : index + 1]
        full = functional.interpolate(
            logits[index : index + 1].to(precise).contiguous(),
            size=target.shape[1:],
            mode="bilinear",
            align_corners=False,
        )
        cross_entropy.append(
            functional.cross_entropy(
                full, target, class_weights, ignore_index=UNLABELLED, reduction="sum"
            )
        )
        window = None if windows is None else windows[index]
        if window is not None and pasted is not None and divergence is not None:
            spread.append(divergence(_select(full, pasted[index], window)).sum())
    return MixedContentSums(
        torch.stack(cross_entropy).sum(),
        _weigh(labels, class_weights).to(zero),
        torch.stack(spread).sum(),
        zero.detach() if pasted is None else pasted.sum().to(zero),
    )


def upsampled_cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """Weighted mean of -ln p_label over labelled pixels, logits upsampled to the labels' size.

    sum_i w(y_i) (-ln p_i(y_i)) / sum_i w(y_i) over all pixels i of the batch whose label is not
    255. Zero, with a zero gradient, if there is none. See ``mixed_content_sums``.

    Args:
        logits: (B, K, h, w).
        labels: (B, H, W), integer class ids, 255 = unlabelled.
        class_weights: (K,), None for equal weights.
    """
    return mixed_content_sums(logits, labels, class_weights=class_weights).mean()[0]


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


class _Window(NamedTuple):
    """The smallest rectangle around an image's pasted pixels; whether it has no other."""

    rows: slice
    columns: slice
    full: bool


def _bound(pasted: Tensor) -> list[_Window | None]:
    """The window of every image (B, H, W); None for one without pasted pixels."""
    # One look at the whole batch: a processor that waits for each image idles the device.
    rows, columns = pasted.any(dim=2).cpu(), pasted.any(dim=1).cpu()
    counts = pasted.sum(dim=(1, 2)).tolist()
    windows: list[_Window | None] = []
    for image_rows, image_columns, count in zip(rows, columns, counts, strict=True):
        if count == 0:
            windows.append(None)
            continue
        (top, bottom), (left, right) = (
            (int(places[0]), int(places[-1]) + 1)
            for places in (image_rows.nonzero(), image_columns.nonzero())
        )
        full = count == (bottom - top) * (right - left)
        windows.append(_Window(slice(top, bottom), slice(left, right), full))
    return windows


def _select(planes: Tensor, mask: Tensor, window: _Window) -> Tensor:
    """(1, K, N) values of the planes (1, K, H, W) where ``mask`` (H, W) is set."""
    inside = planes[:, :, window.rows, window.columns]
    if window.full:
        return inside.flatten(2)
    return inside[:, :, mask[window.rows, window.columns]]


def _weigh(labels: Tensor, class_weights: Tensor | None) -> Tensor:
    """Sum of the weights of labelled pixels."""
    labelled = labels[labels != UNLABELLED]
    if class_weights is None:
        return torch.tensor(labelled.numel())
    counts = torch.bincount(labelled, minlength=len(class_weights))
    return (counts * class_weights).sum()
