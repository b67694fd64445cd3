"""What scores know of inlier data: fitted once, carried by the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ScoreStatistics:
    """Statistics of inlier pixels; a field is None where it was not fitted.

    K classes, C channels of the features, Q quantile levels. Classes are the predicted ones.

    Attributes:
        max_logit_mean: (K,), of the largest logit, by predicted class.
        max_logit_deviation: (K,), its standard deviation (unbiased), positive.
        feature_mean: (K, C), of the features, by predicted class.
        feature_precision: (C, C), inverse of the covariance that all classes share.
        density_weight: (K,), share of every class, sums to 1.
        density_mean: (K, C), of every class's Gaussian.
        density_cholesky: (K, C, C), lower Cholesky factors of the precisions.
        activation_levels: (Q,), increasing, in (0, 1).
        activation_quantiles: (Q,), of what the classifier reads after its normalisation and ReLU.
    """

    max_logit_mean: Tensor | None = None
    max_logit_deviation: Tensor | None = None
    feature_mean: Tensor | None = None
    feature_precision: Tensor | None = None
    density_weight: Tensor | None = None
    density_mean: Tensor | None = None
    density_cholesky: Tensor | None = None
    activation_levels: Tensor | None = None
    activation_quantiles: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """What was fitted, by the name of its field."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> ScoreStatistics:
        """The inverse of ``tensors``; names that are no fields are left out."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in tensors.items() if name in known})

    def to(self, device: torch.device | str) -> ScoreStatistics:
        """The same on another device."""
        return self.of_tensors({name: value.to(device) for name, value in self.tensors().items()})
