"""All scores by name, each with what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from open_set_seg.scores.class_scores import energy, entropy, jsd, kl, max_logit, msp, reverse_kl
from open_set_seg.scores.fitted_scores import embedding_density, mahalanobis, sml
from open_set_seg.scores.outlier_scores import (
    dense_hybrid,
    discriminative,
    generative,
    op,
    op_ms,
)
from open_set_seg.scores.sampled_scores import mutual_information
from open_set_seg.scores.statistics import ScoreStatistics

Need = Literal["logits", "outlier_logits", "features", "samples", "statistics"]


@dataclass(frozen=True)
class Score:
    """A score and what a caller must know about it.

    Attributes:
        function: the inputs in the order of ``needs``, then T if there is one -> (B, H, W).
        bounded: whether values lie in [0, 1]; if not, a ``LogisticMap`` publishes them.
        needs: what it reads.
        temperature: the default T; None: the formula has none.
        fields: of ``ScoreStatistics`` that it reads.
    """

    function: Callable[..., Tensor]
    bounded: bool
    needs: tuple[Need, ...] = ("logits",)
    temperature: float | None = None
    fields: tuple[str, ...] = ()

    def __call__(
        self,
        logits: Tensor | None = None,
        temperature: float | None = None,
        *,
        outlier_logits: Tensor | None = None,
        features: Tensor | None = None,
        samples: Tensor | None = None,
        statistics: ScoreStatistics | None = None,
    ) -> Tensor:
        """The score at ``temperature``, or at its default.

        Args:
            logits: (B, K, H, W).
            temperature: T > 0.
            outlier_logits: (B, 2, H, W), inlier and outlier in this order.
            features: (B, C, H, W), the map that the classifier reads.
            samples: (S, B, K, H, W), logits of S passes that differ by chance.
            statistics: of inlier data.

        Raises:
            ValueError: something that the score needs is missing, or a temperature was given to a
                score without one.
        """
        given: Mapping[Need, Any] = {
            "logits": logits,
            "outlier_logits": outlier_logits,
            "features": features,
            "samples": samples,
            "statistics": statistics,
        }
        missing = [need for need in self.needs if given[need] is None]
        if missing:
            raise ValueError(f"the score needs {' and '.join(missing)}")
        inputs = [given[need] for need in self.needs]
        if self.temperature is None:
            if temperature is not None:
                raise ValueError("the score has no temperature")
            return self.function(*inputs)
        return self.function(*inputs, self.temperature if temperature is None else temperature)


SCORES: dict[str, Score] = {
    "jsd": Score(jsd, bounded=True, temperature=2.0),
    "msp": Score(msp, bounded=True, temperature=1.0),
    "entropy": Score(entropy, bounded=True, temperature=1.0),
    "max_logit": Score(max_logit, bounded=False, temperature=1.0),
    "energy": Score(energy, bounded=False, temperature=1.0),
    "kl": Score(kl, bounded=False, temperature=2.0),
    "reverse_kl": Score(reverse_kl, bounded=True, temperature=2.0),
    "op": Score(op, bounded=True, needs=("outlier_logits",), temperature=2.0),
    "op_ms": Score(op_ms, bounded=True, needs=("logits", "outlier_logits"), temperature=2.0),
    "dense_hybrid": Score(dense_hybrid, bounded=False, needs=("logits", "outlier_logits")),
    "generative": Score(generative, bounded=False),
    "discriminative": Score(discriminative, bounded=True, needs=("outlier_logits",)),
    "mutual_information": Score(mutual_information, bounded=True, needs=("samples",)),
    "sml": Score(
        sml,
        bounded=False,
        needs=("logits", "statistics"),
        fields=("max_logit_mean", "max_logit_deviation"),
    ),
    "mahalanobis": Score(
        mahalanobis,
        bounded=False,
        needs=("features", "statistics"),
        fields=("feature_mean", "feature_precision"),
    ),
    "embedding_density": Score(
        embedding_density,
        bounded=False,
        needs=("features", "statistics"),
        fields=("density_weight", "density_mean", "density_cholesky"),
    ),
}
