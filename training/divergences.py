"""Divergences between a prediction and the uniform distribution, as losses on negative pixels.

U is uniform over K classes, u_k = 1 / K, and p = softmax(z) of logits z, without a temperature;
natural logarithms throughout. Logits are (N, K, ...), the classes on dimension 1; a divergence is
(N, ...). Values and gradients are finite in float32 for logits between -1e4 and 1e4; chi^2 alone
outgrows the type before. (Grcic et al., NFlowJS, section 3.2 and table 7, and its figure 2 of the
conference paper.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from open_set_seg.scores import class_scores


@dataclass(frozen=True)
class Divergence:
    """A divergence with its range; calling it computes it.

    Attributes:
        function: logits (N, K, ...) to values (N, ...), at least 0 up to rounding.
        maximum: of K, the value at a one-hot prediction; infinite where it has no bound.
    """

    function: Callable[[Tensor], Tensor]
    maximum: Callable[[int], float]

    def __call__(self, logits: Tensor) -> Tensor:
        """(N, K, ...) to (N, ...)."""
        return self.function(logits)


def js(logits: Tensor) -> Tensor:
    """JS(U, p) = KL(U || m) / 2 + KL(p || m) / 2 with m = (U + p) / 2: L_neg of NFlowJS."""
    return class_scores.jsd_to_uniform(logits)


def kl(logits: Tensor) -> Tensor:
    """KL(U || p) = -ln K - mean_k ln p_k. It grows linearly with the logits, without a bound."""
    return -class_scores.kl(logits, temperature=1.0)


def reverse_kl(logits: Tensor) -> Tensor:
    """KL(p || U) = ln K + sum_k p_k ln p_k: maximal entropy, but for a constant."""
    return math.log(logits.shape[1]) - class_scores.shannon_entropy(logits)


def pearson(logits: Tensor) -> Tensor:
    """chi^2(U || p) = sum_k (u_k - p_k)^2 / p_k = sum_k (u_k / sqrt(p_k) - sqrt(p_k))^2.

    It grows with the exponential of the logits, "even more rigorous than the KL-divergence": it is
    infinite in float32 where a logit lies more than about 88 + 2 ln K below the highest.
    """
    half = 0.5 * torch.log_softmax(logits, dim=1)
    # Differences of roots neither cancel at p = U nor overflow before their square does.
    return (torch.exp(-half) / logits.shape[1] - torch.exp(half)).square().sum(dim=1)


def squared_hellinger(logits: Tensor) -> Tensor:
    """H^2(U, p) = sum_k (sqrt(p_k) - sqrt(u_k))^2 / 2 = 1 - sum_k sqrt(p_k u_k)."""
    # The root is taken of the logarithm: sqrt has an infinite gradient at p = 0.
    roots = torch.exp(0.5 * torch.log_softmax(logits, dim=1))
    return 0.5 * (roots - math.sqrt(1.0 / logits.shape[1])).square().sum(dim=1)


DIVERGENCES: dict[str, Divergence] = {
    "js": Divergence(js, class_scores.jsd_maximum),
    "kl": Divergence(kl, lambda classes: math.inf),
    "reverse_kl": Divergence(reverse_kl, math.log),
    "pearson": Divergence(pearson, lambda classes: math.inf),
    "squared_hellinger": Divergence(
        squared_hellinger, lambda classes: 1.0 - math.sqrt(1.0 / classes)
    ),
}
