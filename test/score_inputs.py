"""Made-up inputs of every kind that scores read."""

from __future__ import annotations

import torch

from open_set_seg.scores import SCORES, ScoreInputs, ScoreStatistics


def make_inputs(
    classes=5, channels=3, passes=4, grid=(3, 4), batch=2, seed=0, kind=torch.float64, scale=3.0
) -> ScoreInputs:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=kind) * scale

    return ScoreInputs(
        logits=draw(batch, classes, *grid),
        outlier_logits=draw(batch, 2, *grid),
        features=draw(batch, channels, *grid),
        samples=draw(passes, batch, classes, *grid),
    )


def make_statistics(classes=5, channels=3, seed=0, kind=torch.float64) -> ScoreStatistics:
    generator = torch.Generator().manual_seed(100 + seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=kind)

    def factors(*shape):
        lower = torch.tril(draw(*shape, channels, channels), diagonal=-1) * 0.4
        return lower + torch.diag_embed(draw(*shape, channels).abs() + 0.3)

    shared = factors()
    return ScoreStatistics(
        max_logit_mean=draw(classes) + 5.0,
        max_logit_deviation=draw(classes).abs() + 0.5,
        feature_mean=draw(classes, channels) * 2.0,
        feature_precision=shared @ shared.T,
        density_weight=torch.softmax(draw(classes), dim=0),
        density_mean=draw(classes, channels) * 2.0,
        density_cholesky=factors(classes),
        activation_levels=torch.tensor([0.9, 0.99], dtype=kind),
        activation_quantiles=torch.tensor([0.7, 1.9], dtype=kind),
    )


def apply_score(name, inputs, statistics=None, temperature=None):
    """The score of ``ScoreInputs``, whichever of them it reads."""
    return SCORES[name](
        inputs.logits,
        temperature,
        outlier_logits=inputs.outlier_logits,
        features=inputs.features,
        samples=inputs.samples,
        statistics=statistics,
    )
