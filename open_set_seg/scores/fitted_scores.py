"""Scores that compare a pixel with fitted statistics of inlier pixels.

Inputs are (B, K, H, W) for class logits and (B, C, H, W) for features, outputs (B, H, W). Memory
grows by one map of the features, never by one for every class.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from open_set_seg.scores.statistics import ScoreStatistics


def sml(logits: Tensor, statistics: ScoreStatistics) -> Tensor:
    """Standardised max-logit, -(max_k z_k - mu_c) / sigma_c with c the arg-max, unbounded.

    mu_c and sigma_c are mean and standard deviation of the largest logit over inlier pixels of
    predicted class c; of equal logits the lower class counts. Unlike the largest logit itself it
    can be compared between classes. (Jung et al.: Standardized Max Logits, ICCV 2021, equation 3,
    with the sign turned.)

    Raises:
        ValueError: the statistics lack ``max_logit_mean`` or ``max_logit_deviation``.
    """
    mean = _fitted(statistics, "max_logit_mean", logits)
    deviation = _fitted(statistics, "max_logit_deviation", logits)
    largest, nearest = logits.max(dim=1)
    return (mean[nearest] - largest) / deviation[nearest]


def mahalanobis(features: Tensor, statistics: ScoreStatistics) -> Tensor:
    """min_c (f - mu_c)^T P (f - mu_c), in [0, inf): squared distance to the nearest class.

    P is the precision that all classes share, positive definite. With P = L L^T the distance is
    |L^T f - L^T mu_c|^2: one product for all classes, and no difference of large numbers. (Lee et
    al.: A Simple Unified Framework for Detecting Out-of-Distribution Samples, NeurIPS 2018,
    equation 2, on the features that the classifier reads and without its input preprocessing.)

    Raises:
        ValueError: the statistics lack ``feature_mean`` or ``feature_precision``, or the latter is
            not positive definite.
    """
    # In double numbers a precision that is close to singular keeps its factor.
    precision = _fitted(statistics, "feature_precision", features).double()
    factor, failed = torch.linalg.cholesky_ex(precision)
    if failed:
        raise ValueError("expected a feature_precision that is positive definite")
    means = (_fitted(statistics, "feature_mean", features).double() @ factor).to(features)
    factor = factor.to(features)
    whitened = _multiply(factor, features)
    distances = [(whitened - mean.view(-1, 1, 1)).square().sum(dim=1) for mean in means]
    return torch.stack(distances).amin(dim=0)


def embedding_density(features: Tensor, statistics: ScoreStatistics) -> Tensor:
    """-ln sum_c w_c N(f; mu_c, Sigma_c), unbounded, with a Gaussian per class.

    With lower Cholesky factors L_c of the precisions, Sigma_c^-1 = L_c L_c^T,

        ln N(f; mu_c, Sigma_c) = sum_i ln (L_c)_ii - C/2 ln 2 pi - |L_c^T (f - mu_c)|^2 / 2

    Blum et al. (The Fishyscapes Benchmark, IJCV 2021) learn the density of the features with a
    normalising flow. The mixture of Gaussians stands for it here, because no further network is
    wanted beside the segmenter: it has the same meaning, but less freedom.

    Raises:
        ValueError: the statistics lack ``density_weight``, ``density_mean`` or
            ``density_cholesky``.
    """
    weights = _fitted(statistics, "density_weight", features)
    means = _fitted(statistics, "density_mean", features)
    factors = _fitted(statistics, "density_cholesky", features)
    constant = 0.5 * features.shape[1] * math.log(2.0 * math.pi)
    logarithms = []
    for weight, mean, factor in zip(weights, means, factors, strict=True):
        distance = _multiply(factor, features - mean.view(-1, 1, 1)).square().sum(dim=1)
        offset = weight.log() + factor.diagonal().log().sum() - constant
        logarithms.append(offset - 0.5 * distance)
    return -torch.logsumexp(torch.stack(logarithms), dim=0)


def _multiply(factor: Tensor, features: Tensor) -> Tensor:
    """L^T f at every pixel."""
    return torch.einsum("ij,bihw->bjhw", factor, features)


def _fitted(statistics: ScoreStatistics, field: str, like: Tensor) -> Tensor:
    value: Tensor | None = getattr(statistics, field)
    if value is None:
        raise ValueError(f"the score needs {field} among its statistics, and it was not fitted")
    return value.to(like)
