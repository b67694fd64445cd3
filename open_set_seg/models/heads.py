"""The classifiers at the end of a network, and the one place where others may step in."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from open_set_seg.models.output import SegmentationOutput
from open_set_seg.models.recomputation import Call, call_plainly
from open_set_seg.models.units import NormReluConv

# Changes what a classifier's convolution reads: (B, C, h, w) -> the same shape.
Edit = Callable[[Tensor], Tensor]


class PixelClassifier(nn.Module):
    """A network whose heads each read the same map of features.

    Attributes:
        logits: the known classes.
        logits_ood: inlier and outlier; None without that head.
        dropout: share of the activations before each head's convolution that is set to zero in
            training; 0, the default, is no dropout. It has no parameters.
    """

    logits: NormReluConv
    logits_ood: NormReluConv | None

    def __init__(self) -> None:
        super().__init__()
        self.dropout = 0.0

    def classify(
        self, features: Tensor, edit: Edit | None = None, call: Call = call_plainly
    ) -> SegmentationOutput:
        """What the heads say of ``features`` (B, C, h, w).

        Args:
            features: as in ``SegmentationOutput``.
            edit: changes the activations after normalisation and ReLU, of each head by itself.
            call: how the heads are called.
        """
        if edit is None and self.training and self.dropout > 0.0:
            edit = self._drop
        logits = _apply(self.logits, features, edit, call)
        extra = self.logits_ood
        outlier = None if extra is None else _apply(extra, features, edit, call)
        return SegmentationOutput(logits, outlier, features)

    def _drop(self, activations: Tensor) -> Tensor:
        return functional.dropout(activations, self.dropout)


def _apply(head: NormReluConv, features: Tensor, edit: Edit | None, call: Call) -> Tensor:
    if edit is None:
        return call(head, features)
    logits: Tensor = head.get_submodule("conv")(edit(head.activations(features)))
    return logits
