"""Scores that read the class logits alone.

p = softmax(z / T) over K classes with logits z and temperature T; natural logarithms throughout.
Inputs are (B, K, H, W), outputs (B, H, W).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def jsd_to_uniform(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Jensen-Shannon divergence of the prediction to the uniform distribution U, in nats.

    JS(U, p) = KL(U | m) / 2 + KL(p | m) / 2 with m = (U + p) / 2. It is 0 for a uniform prediction
    and ``jsd_maximum(K)`` for a one-hot one. With e_k = exp(z_k / T - max), S = sum e_k and
    t_k = K e_k / S, the same number is

        ln(K)/2 + ln 2 + (sum e_k (z_k / T - max) / S - ln S) / 2 - sum (1 + t_k) ln(1 + t_k) / 2K

    which needs neither the mixture nor any 0 log 0. (Grcic et al., NFlowJS, equation of L_neg.)
    """
    num_classes = logits.shape[1]
    shifted = logits / temperature
    # The maximum cancels out of the formula, so it carries no gradient.
    shifted -= shifted.detach().amax(dim=1, keepdim=True)
    weights = torch.exp(shifted)
    total = weights.sum(dim=1)
    # Without a gradient to record the class planes are reused: memory traffic is the whole cost.
    multiply = torch.Tensor.mul if shifted.requires_grad else torch.Tensor.mul_
    negative_entropy = multiply(shifted, weights).sum(dim=1) / total - torch.log(total)
    scaled = multiply(weights, (num_classes / total).unsqueeze(1))
    logarithms = torch.log1p(scaled)
    mixture = multiply(logarithms, scaled + 1.0).sum(dim=1) / (2.0 * num_classes)
    return 0.5 * math.log(num_classes) + math.log(2.0) + 0.5 * negative_entropy - mixture


def jsd_maximum(num_classes: int) -> float:
    """JS_max(K), the divergence of a one-hot prediction to the uniform one, in nats.

    ln 2 + ln(K)/2 - (K + 1)/(2K) ln(K + 1); 0.588665 at K = 19.
    """
    k = num_classes
    return math.log(2.0) + 0.5 * math.log(k) - (k + 1) / (2 * k) * math.log(k + 1)


def jsd(logits: Tensor, temperature: float = 2.0) -> Tensor:
    """1 - JS(U, p) / JS_max(K), in [0, 1]: 1 for a uniform prediction, 0 for a one-hot one."""
    divergence = jsd_to_uniform(logits, temperature)
    return (1.0 - divergence / jsd_maximum(logits.shape[1])).clamp(0.0, 1.0)


def msp(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """1 - max_k p_k, in [0, 1 - 1/K] (Hendrycks and Gimpel 2017)."""
    scaled = logits / temperature
    # The largest term is exp(0): large logits cost no digits, as they would in a difference of
    # their maximum and their logsumexp.
    total = torch.exp(scaled - scaled.amax(dim=1, keepdim=True)).sum(dim=1)
    return 1.0 - 1.0 / total


def shannon_entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """-sum_k p_k ln p_k in nats, in [0, ln K]."""
    log_probabilities = torch.log_softmax(logits / temperature, dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1)


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Shannon entropy over its maximum ln K, in [0, 1]."""
    return (shannon_entropy(logits, temperature) / math.log(logits.shape[1])).clamp(0.0, 1.0)


def kl(logits: Tensor, temperature: float = 2.0) -> Tensor:
    """-KL(U || p) = ln K + mean_k ln p_k in nats, in (-inf, 0]: 0 for a uniform prediction.

    The score that belongs to training by KL(U || p) (Grcic et al., NFlowJS, table 7).
    """
    mean = torch.log_softmax(logits / temperature, dim=1).mean(dim=1)
    return (mean + math.log(logits.shape[1])).clamp(max=0.0)


def reverse_kl(logits: Tensor, temperature: float = 2.0) -> Tensor:
    """1 - KL(p || U) / ln K, in [0, 1]: 1 for a uniform prediction (NFlowJS, table 7).

    KL(p || U) = ln K - entropy, so this *is* ``entropy`` at the same temperature; it has a name of
    its own because its temperature is that of the divergences.
    """
    return entropy(logits, temperature)


def max_logit(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """-max_k z_k / T, unbounded (Hendrycks et al. 2022)."""
    return -(logits / temperature).amax(dim=1)


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """-T ln sum_k exp(z_k / T), unbounded (Liu et al. 2020)."""
    return -temperature * torch.logsumexp(logits / temperature, dim=1)
