"""What scores read of a network."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class ScoreInputs(NamedTuple):
    """Maps of B images on the network's own grid of h x w, or upsampled.

    Attributes:
        logits: (B, K, h, w), of the known classes.
        outlier_logits: (B, 2, h, w), inlier and outlier in this order; None without that head.
        features: (B, C, h, w), what the classifier reads; None from networks that do not give it.
        samples: (S, B, K, h, w), class logits of S passes that differ by chance; None without them.
    """

    logits: Tensor
    outlier_logits: Tensor | None = None
    features: Tensor | None = None
    samples: Tensor | None = None
