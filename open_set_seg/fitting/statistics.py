"""Statistics of inlier pixels from what a network says about them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from open_set_seg.fitting.histogram import FloatHistogram
from open_set_seg.fitting.moments import ClassMoments
from open_set_seg.head import ScoreChannel, compute_channels
from open_set_seg.models import SegmentationOutput
from open_set_seg.scores import ScoreInputs, ScoreStatistics

_LARGEST_LOGIT = ScoreChannel("max_logit", temperature=1.0)


@dataclass(frozen=True)
class FittingRules:
    """Numbers of the fit; all but the levels are ours.

    Attributes:
        levels: of the activations' quantiles, increasing, in (0, 1) (ReAct takes 0.9;
            DenseHybrid compares these three).
        ridge: added to the diagonal of every covariance, as a share of the mean variance of the
            features: it bounds the condition number by C / ridge.
        fewest_pixels: a class that was predicted on fewer has no largest logit of its own.

    Raises:
        ValueError: a number out of its range.
    """

    levels: tuple[float, ...] = (0.9, 0.95, 0.99)
    ridge: float = 1e-3
    fewest_pixels: int = 100

    def __post_init__(self) -> None:
        increasing = list(self.levels) == sorted(set(self.levels))
        if not increasing or not all(0.0 < level < 1.0 for level in self.levels):
            raise ValueError(f"expected increasing levels in (0, 1), found {self.levels}")
        if not (math.isfinite(self.ridge) and self.ridge > 0.0):
            raise ValueError(f"expected a positive ridge, found {self.ridge}")
        if self.fewest_pixels < 2:
            raise ValueError(f"expected at least 2 pixels, found {self.fewest_pixels}")


class StatisticsAccumulator:
    """Sees outputs of a network for inlier images, one by one; classes are the predicted ones.

    Largest logits are those of logits that are upsampled to the image, as SML's authors take them
    and as the score sees them; features and activations are taken on the network's grid, where the
    scores on them are computed. What is not finite is left out.

    Args:
        num_classes: K.
    """

    def __init__(self, num_classes: int) -> None:
        self._classes = num_classes
        self._logits = _nothing(num_classes, 1)
        self._features: ClassMoments | None = None
        self._activations = FloatHistogram()

    def add(
        self, output: SegmentationOutput, size: tuple[int, int], activations: Tensor | None = None
    ) -> None:
        """Take in one output.

        Args:
            output: of B images; without features there will be no statistics of them.
            size: (H, W) of the images.
            activations: (B, C, h, w), what the classifier's convolution reads.
        """
        nearest, (scores,) = compute_channels(ScoreInputs(output.logits), size, [_LARGEST_LOGIT])
        seen = ClassMoments.of(-scores.reshape(-1, 1), nearest.flatten(), self._classes)
        self._logits = self._logits.merged(seen)
        if output.features is not None:
            rows = output.features.movedim(1, -1).flatten(0, -2)
            seen = ClassMoments.of(rows, output.logits.argmax(dim=1).flatten(), self._classes)
            before = self._features
            self._features = seen if before is None else before.merged(seen)
        if activations is not None:
            self._activations.add(activations)

    def merge(self, other: StatisticsAccumulator) -> None:
        """Take in everything that the other has seen."""
        self._logits = self._logits.merged(other._logits)
        self._activations.merge(other._activations)
        if other._features is not None:
            mine = self._features
            self._features = other._features if mine is None else mine.merged(other._features)

    def finish(self, rules: FittingRules | None = None) -> ScoreStatistics:
        """The statistics of everything so far, float32 on the CPU.

        Raises:
            ValueError: fewer than two usable pixels were seen.
        """
        rules = rules or FittingRules()
        if self._logits.count.sum() < 2.0:
            raise ValueError("expected at least two inlier pixels with finite logits, found fewer")
        found = describe_max_logits(self._logits, rules.fewest_pixels)
        if self._features is not None and self._features.count.sum() > 0.0:
            found |= describe_features(self._features, rules.ridge)
        if self._activations.count:
            quantiles = [self._activations.quantile(level) for level in rules.levels]
            found["activation_levels"] = torch.tensor(rules.levels)
            found["activation_quantiles"] = torch.tensor(quantiles)
        return ScoreStatistics(**{name: value.float() for name, value in found.items()})


def describe_max_logits(moments: ClassMoments, fewest_pixels: int) -> dict[str, Tensor]:
    """Mean and unbiased standard deviation of the largest logit (K,) by predicted class.

    A class that was predicted on fewer than ``fewest_pixels`` pixels, or always with the same
    logit, gets those of the pixels of all classes together; where these do not differ either, the
    deviation is 1.
    """
    own, pooled = moments, moments.pooled()
    variance = own.scatter[:, 0, 0] / (own.count - 1.0).clamp(min=1.0)
    total = pooled.scatter[:, 0, 0] / (pooled.count - 1.0).clamp(min=1.0)
    total = torch.where(total > 0.0, total, 1.0)
    usable = (own.count >= fewest_pixels) & (variance > 0.0)
    return {
        "max_logit_mean": torch.where(usable, own.mean[:, 0], pooled.mean[:, 0]),
        "max_logit_deviation": torch.where(usable, variance, total).sqrt(),
    }


def describe_features(moments: ClassMoments, ridge: float) -> dict[str, Tensor]:
    """Means (K, C), the shared precision (C, C) and a Gaussian of every class.

    The shared covariance is S = sum_k scatter_k / n (Lee et al., NeurIPS 2018, equation 1), the
    precision that of S + r I with r = ``ridge`` times the mean of S's diagonal. A class has the
    covariance (scatter_k + C S) / (n_k + C) + r I: its own, drawn to the shared one as if C more
    pixels had been seen there. A class that was never predicted has weight 0 and the mean of the
    most frequent class: no minimum and no mixture over the classes notices it.
    """
    channels = moments.mean.shape[1]
    shared = moments.within()
    mean_variance = float(shared.diagonal().mean())
    # Features that do not vary at all still need a matrix that inverts.
    added = ridge * (mean_variance if mean_variance > 0.0 else 1.0) * torch.eye(channels).double()
    own = moments.scatter + channels * shared
    covariances = own / (moments.count + channels).view(-1, 1, 1) + added
    seen = (moments.count > 0.0).unsqueeze(1)
    means = torch.where(seen, moments.mean, moments.mean[moments.count.argmax()])
    return {
        "feature_mean": means,
        "feature_precision": _invert(shared + added),
        "density_weight": moments.count / moments.count.sum(),
        "density_mean": means.clone(),
        "density_cholesky": torch.linalg.cholesky(_invert(covariances)),
    }


def _invert(covariance: Tensor) -> Tensor:
    """Inverses of positive definite matrices (..., C, C), symmetric to the last bit."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    return 0.5 * (inverse + inverse.mT)


def _nothing(num_classes: int, channels: int) -> ClassMoments:
    return ClassMoments.of(torch.empty(0, channels), torch.empty(0).long(), num_classes)
