"""Scores with statistics: brute force, densities that integrate to one, laws, ties and memory."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from score_inputs import make_inputs, make_statistics

from open_set_seg.scores import ScoreStatistics, embedding_density, mahalanobis, sml


@pytest.fixture(params=range(3))
def seed(request):
    return request.param


def each_feature(features):
    """Index and vector of every pixel."""
    batch, _, height, width = features.shape
    for index in np.ndindex(batch, height, width):
        b, i, j = index
        yield index, features[b, :, i, j].numpy()


def test_standardised_max_logit_equals_its_definition(seed):
    logits, statistics = make_inputs(seed=seed).logits, make_statistics(seed=seed)
    mean, deviation = statistics.max_logit_mean.numpy(), statistics.max_logit_deviation.numpy()
    found = sml(logits, statistics)
    for index, z in each_feature(logits):
        c = int(np.argmax(z))
        expected = -(z[c] - mean[c]) / deviation[c]
        assert found[index].item() == pytest.approx(expected, abs=1e-13)


def test_ties_go_to_the_lower_class():
    statistics = ScoreStatistics(
        max_logit_mean=torch.tensor([10.0, 1.0, 2.0]),
        max_logit_deviation=torch.tensor([1.0, 2.0, 4.0]),
    )
    logits = torch.tensor([0.0, 5.0, 5.0]).view(1, 3, 1, 1)
    assert sml(logits, statistics).item() == -(5.0 - 1.0) / 2.0
    assert sml(logits.flip(1), statistics).item() == -(5.0 - 10.0) / 1.0


def test_standardising_takes_out_a_class_of_its_own_scale(seed):
    """Logits of a class and its statistics, scaled and shifted together, keep their score."""
    logits, statistics = make_inputs(seed=seed).logits, make_statistics(seed=seed)
    scaled = replace(
        statistics,
        max_logit_mean=3.0 * statistics.max_logit_mean + 7.0,
        max_logit_deviation=3.0 * statistics.max_logit_deviation,
    )
    torch.testing.assert_close(sml(3.0 * logits + 7.0, scaled), sml(logits, statistics))


def test_mahalanobis_is_the_smallest_distance(seed):
    features, statistics = make_inputs(seed=seed).features, make_statistics(seed=seed)
    means, precision = statistics.feature_mean.numpy(), statistics.feature_precision.numpy()
    found = mahalanobis(features, statistics)
    for index, f in each_feature(features):
        expected = min((f - mu) @ precision @ (f - mu) for mu in means)
        assert found[index].item() == pytest.approx(expected, rel=1e-12)


def test_density_is_that_of_the_mixture(seed):
    features, statistics = make_inputs(seed=seed).features, make_statistics(seed=seed)
    found = embedding_density(features, statistics)
    channels = features.shape[1]
    for index, f in each_feature(features):
        density = []
        for weight, mean, factor in zip(
            statistics.density_weight.numpy(),
            statistics.density_mean.numpy(),
            statistics.density_cholesky.numpy(),
            strict=True,
        ):
            covariance = np.linalg.inv(factor @ factor.T)
            distance = (f - mean) @ np.linalg.solve(covariance, f - mean)
            size = math.sqrt((2 * math.pi) ** channels * np.linalg.det(covariance))
            density.append(weight * math.exp(-0.5 * distance) / size)
        assert found[index].item() == pytest.approx(-math.log(math.fsum(density)), rel=1e-11)


def test_the_density_integrates_to_one():
    """Over a square that holds all of a mixture of two Gaussians in the plane."""
    statistics = ScoreStatistics(
        density_weight=torch.tensor([0.3, 0.7]).double(),
        density_mean=torch.tensor([[-1.0, 0.5], [2.0, -0.5]]).double(),
        density_cholesky=torch.tensor(
            [[[1.5, 0.0], [0.7, 0.9]], [[0.8, 0.0], [-0.3, 1.2]]]
        ).double(),
    )
    steps = torch.linspace(-12.0, 12.0, 241, dtype=torch.float64)
    plane = torch.stack(torch.meshgrid(steps, steps, indexing="ij"))[None]
    volume = torch.exp(-embedding_density(plane, statistics)).sum() * 0.1**2
    assert volume.item() == pytest.approx(1.0, abs=1e-9)


def test_one_gaussian_and_its_distance_differ_by_a_constant(seed):
    features, statistics = make_inputs(seed=seed).features, make_statistics(seed=seed)
    factor = statistics.density_cholesky[:1]
    alone = ScoreStatistics(
        feature_mean=statistics.density_mean[:1],
        feature_precision=factor[0] @ factor[0].T,
        density_weight=torch.ones(1).double(),
        density_mean=statistics.density_mean[:1],
        density_cholesky=factor,
    )
    constant = 1.5 * math.log(2 * math.pi) - factor[0].diagonal().log().sum()
    expected = 0.5 * mahalanobis(features, alone) + constant
    torch.testing.assert_close(embedding_density(features, alone), expected)


def test_distances_do_not_depend_on_the_basis(seed):
    """f -> A f + b with mu -> A mu + b and P -> A^-T P A^-1."""
    features, statistics = make_inputs(seed=seed).features, make_statistics(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    a = torch.eye(3).double() + 0.3 * torch.randn(3, 3, generator=generator).double()
    b = torch.randn(3, generator=generator).double()
    inverse = torch.linalg.inv(a)
    changed = ScoreStatistics(
        feature_mean=statistics.feature_mean @ a.T + b,
        feature_precision=inverse.T @ statistics.feature_precision @ inverse,
    )
    moved = torch.einsum("ij,bjhw->bihw", a, features) + b.view(-1, 1, 1)
    torch.testing.assert_close(mahalanobis(moved, changed), mahalanobis(features, statistics))


def test_a_precision_close_to_singular_can_be_used_and_one_that_is_none_is_refused():
    """Condition number 1e6 in 96 dimensions, in single numbers."""
    generator = torch.Generator().manual_seed(2)
    basis = torch.linalg.qr(torch.randn(96, 96, generator=generator).double())[0]
    precision = basis @ torch.diag(torch.logspace(-3, 3, 96).double()) @ basis.T
    features = torch.randn(1, 96, 2, 2, generator=generator)
    single = ScoreStatistics(feature_mean=torch.zeros(1, 96), feature_precision=precision.float())
    expected = torch.einsum("bihw,ij,bjhw->bhw", features.double(), precision, features.double())
    torch.testing.assert_close(mahalanobis(features, single).double(), expected, rtol=1e-4, atol=0)
    with pytest.raises(ValueError, match="positive definite"):
        mahalanobis(features, replace(single, feature_precision=-precision))


def test_at_a_mean_the_distance_is_zero_and_the_density_highest_near_its_class():
    statistics = make_statistics(kind=torch.float32)
    features = statistics.feature_mean.T.reshape(1, 3, 1, 5)
    assert mahalanobis(features, statistics).abs().max() <= 1e-10
    far = statistics.density_mean[2].view(1, 3, 1, 1) + torch.linspace(0, 40, 9).view(1, 1, 1, 9)
    assert (embedding_density(far, statistics)[0, 0].diff()[2:] > 0).all()


def test_the_order_of_the_classes_does_not_matter(seed):
    inputs, statistics = make_inputs(seed=seed), make_statistics(seed=seed)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    shared = ("feature_precision", "activation_levels", "activation_quantiles")
    tensors = statistics.tensors()
    turned = ScoreStatistics.of_tensors(
        {name: x if name in shared else x[order] for name, x in tensors.items()}
    )
    torch.testing.assert_close(sml(inputs.logits[:, order], turned), sml(inputs.logits, statistics))
    for score in (mahalanobis, embedding_density):
        torch.testing.assert_close(
            score(inputs.features, turned), score(inputs.features, statistics)
        )


@pytest.mark.parametrize("score", [mahalanobis, embedding_density])
def test_no_tensor_holds_features_of_every_class(score, monkeypatch):
    """The largest result of any operation is one map of features, not one for every class."""
    features = torch.randn(1, 8, 20, 30)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    with Watch():
        score(features, make_statistics(classes=7, channels=8, kind=torch.float32))
    assert 0 < largest <= features.numel()
