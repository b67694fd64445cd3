"""Scores of several predictions that differ by chance, as Monte Carlo dropout gives them."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def mutual_information(samples: Tensor) -> Tensor:
    """Mutual information of the class and of what was sampled, over ln K, in [0, 1].

    I = H(mean_s p_s) - mean_s H(p_s) = mean_s KL(p_s || mean_s p_s) with p_s = softmax(z_s): 0
    where all passes agree, ln min(S, K) where each is sure of another class. It is computed as the
    mean divergence, whose terms do not cancel. (Gal: Uncertainty in Deep Learning, 2016, section
    3.3.1; Mukhoti and Gal: Evaluating Bayesian Deep Learning Methods for Semantic Segmentation.)

    Args:
        samples: (S, B, K, H, W), class logits.

    Returns:
        (B, H, W).
    """
    log_probabilities = torch.log_softmax(samples, dim=2)
    log_mean = torch.logsumexp(log_probabilities, dim=0) - math.log(samples.shape[0])
    divergence = (log_probabilities.exp() * (log_probabilities - log_mean)).sum(dim=2).mean(dim=0)
    return (divergence / math.log(samples.shape[2])).clamp(0.0, 1.0)
