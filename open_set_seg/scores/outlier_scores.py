"""Scores around an outlier head, which says whether a pixel belongs to the data set of training.

With the head's logits o = (inlier, outlier), P(d_out | x) = softmax(o)_1 = sigmoid(o_1 - o_0). Only
the difference matters, and from it every score here is free of 0 * inf and of ln 0. Class logits
are (B, K, H, W), outlier logits (B, 2, H, W), scores (B, H, W).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from open_set_seg.scores.class_scores import energy, msp


def op(outlier_logits: Tensor, temperature: float = 2.0) -> Tensor:
    """P(d_out | x) = softmax(o / T)_1, in [0, 1].

    Delic, Grcic and Segvic: Real time dense anomaly detection by learning on synthetic negative
    data, equation 4, with T = 2 from its section V.
    """
    return torch.sigmoid(_difference(outlier_logits) / temperature)


def op_ms(logits: Tensor, outlier_logits: Tensor, temperature: float = 2.0) -> Tensor:
    """P(d_out | x) (1 - max_k p_k), in [0, 1] (Delic, Grcic and Segvic, equation 5, T = 2).

    The one temperature divides the logits of both factors: the paper names it for the score as a
    whole.
    """
    return op(outlier_logits, temperature) * msp(logits, temperature)


def dense_hybrid(logits: Tensor, outlier_logits: Tensor) -> Tensor:
    """ln P(d_out | x) - ln p^(x) with p^(x) = sum_k exp(z_k), unbounded.

    The logarithm of the ratio of the data set's posterior and the data's likelihood, up to a
    constant; without temperature (Grcic, Bevandic and Segvic: DenseHybrid, ECCV 2022, equation 6).
    """
    return functional.logsigmoid(_difference(outlier_logits)) + generative(logits)


def generative(logits: Tensor) -> Tensor:
    """-ln p^(x) = -ln sum_k exp(z_k), unbounded: DenseHybrid's likelihood alone (its table 6).

    It is ``energy`` at T = 1, the only temperature at which it is that likelihood.
    """
    return energy(logits)


def discriminative(outlier_logits: Tensor) -> Tensor:
    """1 - P(d_in | x) = P(d_out | x), in [0, 1]: DenseHybrid's posterior alone (its table 6).

    It is ``op`` at T = 1.
    """
    return torch.sigmoid(_difference(outlier_logits))


def _difference(outlier_logits: Tensor) -> Tensor:
    return outlier_logits[:, 1] - outlier_logits[:, 0]
