"""Statistics of inlier data against brute force in float64, and what does not change them."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn
from torch.nn import functional

from open_set_seg.checkpoint import CheckpointMetadata
from open_set_seg.checkpoint.statistics import check_statistics
from open_set_seg.fitting import (
    ClassMoments,
    FittingRules,
    FloatHistogram,
    StatisticsAccumulator,
    choose_scores,
    fit_score_map,
    fit_score_maps,
    fit_statistics,
)
from open_set_seg.fitting.histogram import RELATIVE_ERROR
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.models import SegmentationOutput, build_model
from open_set_seg.scores import SCORES
from open_set_seg.segmenter import OpenSetSegmenter

CPU = torch.device("cpu")
CLASSES = 12


def vectors(count=400, channels=5, classes=4, seed=0, offset=1e3):
    """Vectors far from zero, where one-pass formulas lose their digits."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    values = random.normal(size=(count, channels)) * (1 + labels[:, None]) + offset
    return torch.from_numpy(values), torch.from_numpy(labels)


def brute_force(values, labels, classes):
    """(count, mean, scatter) by class, row by row."""
    values, labels = values.double().numpy(), labels.numpy()
    count = np.zeros(classes)
    mean = np.zeros((classes, values.shape[1]))
    scatter = np.zeros((classes, values.shape[1], values.shape[1]))
    for k in range(classes):
        rows = values[labels == k]
        count[k] = len(rows)
        if len(rows):
            mean[k] = rows.mean(axis=0)
            scatter[k] = sum(np.outer(row - mean[k], row - mean[k]) for row in rows)
    return count, mean, scatter


def same_moments(found, expected, rtol=1e-9):
    for one, other in zip((found.count, found.mean, found.scatter), expected, strict=True):
        np.testing.assert_allclose(one.numpy(), np.asarray(other), rtol=rtol, atol=1e-9)


# Moments


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 60),
    st.lists(st.integers(0, 60), max_size=4),
    st.integers(0, 1000),
    st.randoms(use_true_random=False),
)
def test_batches_in_any_order_give_what_all_vectors_at_once_give(count, cuts, seed, random):
    values, labels = vectors(count, seed=seed)
    edges = sorted({0, count, *(min(cut, count) for cut in cuts)})
    parts = [slice(*pair) for pair in pairwise(edges)]
    random.shuffle(parts)
    merged = ClassMoments.of(values[:0], labels[:0], 5)
    for part in parts:
        merged = merged.merged(ClassMoments.of(values[part], labels[part], 5))
    same_moments(merged, brute_force(values, labels, 5))
    assert merged.count[4] == 0, "a class that was never seen"


def test_merging_is_associative():
    a, b, c = (ClassMoments.of(*vectors(50, seed=seed), 4) for seed in range(3))
    left, right = a.merged(b).merged(c), a.merged(b.merged(c))
    same_moments(left, (right.count, right.mean, right.scatter))


def test_pooled_and_within_are_those_of_the_vectors():
    values, labels = vectors()
    moments = ClassMoments.of(values, labels, 6)
    same_moments(moments.pooled(), brute_force(values, torch.zeros_like(labels), 1))
    centred = values.numpy() - moments.mean.numpy()[labels.numpy()]
    np.testing.assert_allclose(moments.within().numpy(), centred.T @ centred / 400, rtol=1e-9)


def test_vectors_that_are_not_finite_are_left_out():
    values, labels = vectors(30)
    spoiled = torch.cat([values, values[:3]])
    spoiled[-3, 0], spoiled[-2, 1], spoiled[-1, 4] = math.nan, math.inf, -math.inf
    found = ClassMoments.of(spoiled, torch.cat([labels, labels[:3]]), 4)
    same_moments(found, brute_force(values, labels, 4))


# Quantiles

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)


@settings(deadline=None, max_examples=60)
@given(
    arrays.arrays(np.float32, st.integers(1, 80), elements=FLOATS),
    st.floats(1e-3, 1.0),
    st.integers(0, 80),
)
def test_quantiles_are_those_of_the_sorted_numbers_within_the_bound(numbers, level, cut):
    one, two = FloatHistogram(), FloatHistogram()
    one.add(torch.from_numpy(numbers[cut:]))
    two.add(torch.from_numpy(numbers[:cut]))
    one.merge(two)
    rank = max(1, math.ceil(level * len(numbers)))
    expected = float(np.sort(numbers)[rank - 1])
    assert one.count == len(numbers)
    assert abs(one.quantile(level) - expected) <= RELATIVE_ERROR * abs(expected) + 1e-37


def test_quantiles_of_many_numbers_are_close_and_take_no_more_memory():
    random = np.random.default_rng(0)
    numbers = np.maximum(random.normal(size=2_000_000).astype(np.float32), 0.0)
    histogram = FloatHistogram()
    for part in np.split(numbers, 8):
        histogram.add(torch.from_numpy(part))
    for level in (0.3, 0.9, 0.95, 0.99):
        expected = np.quantile(numbers, level)
        assert histogram.quantile(level) == pytest.approx(expected, rel=1e-4, abs=1e-30), level


def test_equal_numbers_have_no_other_quantile():
    histogram = FloatHistogram()
    histogram.add(torch.full((1000,), -3.7))
    for level in (0.01, 0.5, 1.0):
        assert histogram.quantile(level) == np.float32(-3.7)


def test_numbers_that_are_not_finite_are_not_counted():
    histogram = FloatHistogram()
    histogram.add(torch.tensor([math.nan, math.inf, -math.inf, 2.0, 1e300], dtype=torch.float64))
    assert histogram.count == 1
    with pytest.raises(ValueError, match="found none"):
        FloatHistogram().quantile(0.5)


# Statistics of outputs


def output(seed=0, batch=1, height=6, width=9, classes=4, channels=5):
    generator = torch.Generator().manual_seed(seed)

    def draw(count):
        return torch.randn(batch, count, height, width, generator=generator)

    # The last class never wins.
    logits = 3.0 * draw(classes)
    logits[:, -1] -= 50.0
    return SegmentationOutput(logits, None, draw(channels) + logits[:, :1]), draw(channels).relu()


def rows_of(maps):
    return maps.movedim(1, -1).flatten(0, -2)


@pytest.mark.parametrize("size", [(6, 9), (23, 35)], ids=["grid", "upsampled"])
def test_statistics_are_those_of_brute_force(size):
    outputs = [output(seed) for seed in range(4)]
    seen = StatisticsAccumulator(4)
    for one, activations in outputs:
        seen.add(one, size, activations)
    rules = FittingRules(fewest_pixels=2)
    found = seen.finish(rules)
    check_statistics(found, 4, 5, "here")

    logits = torch.cat([one.logits for one, _ in outputs]).double()
    full = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
    largest, nearest = rows_of(full).max(dim=1)
    count, mean, scatter = brute_force(largest[:, None], nearest, 4)
    total = [largest.mean(), largest.std()]
    expected = [
        (mean[k, 0], math.sqrt(scatter[k, 0, 0] / (count[k] - 1))) if count[k] > 1 else total
        for k in range(4)
    ]
    assert count[3] == 0
    np.testing.assert_allclose(found.max_logit_mean, [m for m, _ in expected], rtol=1e-5)
    np.testing.assert_allclose(found.max_logit_deviation, [d for _, d in expected], rtol=1e-5)

    features = rows_of(torch.cat([one.features for one, _ in outputs]))
    classes = rows_of(logits).argmax(dim=1)
    count, mean, scatter = brute_force(features, classes, 4)
    shared = scatter.sum(axis=0) / count.sum()
    ridge = rules.ridge * np.trace(shared) / 5 * np.eye(5)
    mean[3] = mean[count.argmax()]
    np.testing.assert_allclose(found.feature_mean, mean, rtol=1e-5, atol=1e-6)
    inverse = np.linalg.inv(shared + ridge)
    np.testing.assert_allclose(found.feature_precision, inverse, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.density_weight, count / count.sum(), rtol=1e-6)
    np.testing.assert_allclose(found.density_mean, mean, rtol=1e-5, atol=1e-6)
    for k in range(4):
        covariance = (scatter[k] + 5 * shared) / (count[k] + 5) + ridge
        factor = found.density_cholesky[k].double().numpy()
        np.testing.assert_allclose(factor @ factor.T @ covariance, np.eye(5), atol=1e-4)

    activations = np.sort(torch.cat([a for _, a in outputs]).flatten().numpy())
    ranks = [math.ceil(level * len(activations)) - 1 for level in (0.9, 0.95, 0.99)]
    np.testing.assert_allclose(found.activation_levels, [0.9, 0.95, 0.99])
    np.testing.assert_allclose(found.activation_quantiles, activations[ranks], rtol=RELATIVE_ERROR)


def test_neither_the_order_nor_the_merging_of_outputs_matters():
    outputs = [output(seed, height=5 + seed) for seed in range(5)]
    sizes = [(4 * one.logits.shape[2], 30) for one, _ in outputs]

    def see(indices):
        seen = StatisticsAccumulator(4)
        for i in indices:
            seen.add(outputs[i][0], sizes[i], outputs[i][1])
        return seen

    expected = see(range(5)).finish().tensors()
    merged = see([4, 1])
    merged.merge(see([]))
    merged.merge(see([3, 0, 2]))
    for name, value in merged.finish().tensors().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-6, msg=name)
    batched = StatisticsAccumulator(4)
    batched.add(*_batch([outputs[0], outputs[0]], sizes[0]))
    twice = see([0, 0]).finish().tensors()
    for name, value in batched.finish().tensors().items():
        torch.testing.assert_close(value, twice[name], rtol=1e-6, atol=1e-6, msg=name)


def _batch(outputs, size):
    logits = torch.cat([one.logits for one, _ in outputs])
    features = torch.cat([one.features for one, _ in outputs])
    activations = torch.cat([one for _, one in outputs])
    return SegmentationOutput(logits, None, features), size, activations


def test_a_class_with_few_pixels_takes_the_largest_logits_of_all():
    logits = torch.full((1, 3, 10, 20), -9.0)
    logits[:, 0] = torch.linspace(1.0, 2.0, 200).view(1, 10, 20)
    logits[:, 1, 0, :3] = torch.tensor([5.0, 6.0, 7.0])
    logits[:, 2, 5:] = 4.0  # never any other logit
    seen = StatisticsAccumulator(3)
    seen.add(SegmentationOutput(logits), (10, 20))
    largest = logits.amax(dim=1).double()
    found = seen.finish(FittingRules(fewest_pixels=4))
    pooled = (largest.mean(), largest.std())
    for k in (1, 2):
        assert found.max_logit_mean[k] == pytest.approx(float(pooled[0]))
        assert found.max_logit_deviation[k] == pytest.approx(float(pooled[1]))
    assert found.max_logit_mean[0] < 2.0
    own = seen.finish(FittingRules(fewest_pixels=3))
    assert own.max_logit_mean[1] == pytest.approx(6.0)
    assert own.max_logit_deviation[1] == pytest.approx(1.0)
    assert set(found.tensors()) == {"max_logit_mean", "max_logit_deviation"}


def test_a_network_that_always_says_the_same_has_usable_statistics():
    ones = torch.ones(1, 5, 6, 6)
    logits = torch.zeros(1, 4, 6, 6)
    logits[:, 2] = 3.0
    seen = StatisticsAccumulator(4)
    seen.add(SegmentationOutput(logits, None, ones), (24, 24), ones)
    found = seen.finish()
    check_statistics(found, 4, 5, "here")
    np.testing.assert_allclose(found.max_logit_mean, 3.0)
    np.testing.assert_allclose(found.max_logit_deviation, 1.0)
    for name in ("sml", "mahalanobis", "embedding_density"):
        values = SCORES[name](
            **{need: {"logits": logits, "features": ones, "statistics": found}[need]
               for need in SCORES[name].needs}
        )  # fmt: skip
        assert torch.isfinite(values).all(), name


def test_pixels_that_are_not_finite_are_left_out():
    clean, activations = output(height=8, width=8)
    spoiled = clean._replace(logits=clean.logits.clone(), features=clean.features.clone())
    spoiled.logits[0, 1, 0, 0] = math.nan
    spoiled.features[0, 2, 7, 7] = math.inf
    seen = StatisticsAccumulator(4)
    seen.add(spoiled, (8, 8), activations)
    check_statistics(seen.finish(), 4, 5, "here")
    keep = torch.ones(64, dtype=torch.bool)
    keep[0] = False
    largest = rows_of(clean.logits).amax(dim=1)[keep].double()
    classes = rows_of(clean.logits).argmax(dim=1)[keep]
    found = seen.finish(FittingRules(fewest_pixels=2))
    assert found.max_logit_mean[0] == pytest.approx(float(largest[classes == 0].mean()), rel=1e-6)
    nothing = StatisticsAccumulator(4)
    with pytest.raises(ValueError, match="expected at least two inlier pixels"):
        nothing.finish()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": (0.9, 0.9)}, "increasing levels"),
        ({"levels": (0.5, 1.0)}, "increasing levels"),
        ({"ridge": 0.0}, "positive ridge"),
        ({"ridge": math.nan}, "positive ridge"),
        ({"fewest_pixels": 1}, "at least 2 pixels"),
    ],
)
def test_rules_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FittingRules(**change)


def test_the_precision_whitens_the_features_of_a_class():
    generator = torch.Generator().manual_seed(3)
    mixing = 2.0 * torch.eye(6) + 0.5 * torch.randn(6, 6, generator=generator)
    features = (torch.randn(20_000, 6, generator=generator) @ mixing).T.reshape(1, 6, 100, 200)
    logits = torch.zeros(1, 4, 100, 200)
    logits[:, 1] = 1.0
    seen = StatisticsAccumulator(4)
    seen.add(SegmentationOutput(logits, None, features), (100, 200))
    found = seen.finish(FittingRules(ridge=1e-6))
    distances = SCORES["mahalanobis"](features=features, statistics=found)
    assert float(distances.mean()) == pytest.approx(6.0, rel=0.01), "C degrees of freedom"
    density = SCORES["embedding_density"](features=features, statistics=found)
    entropy = 0.5 * torch.logdet(2 * math.pi * math.e * mixing.T @ mixing)
    assert float(density.mean()) == pytest.approx(float(entropy), rel=0.01)


# Maps to the published scale


@settings(deadline=None, max_examples=40)
@given(st.floats(-50.0, 50.0), st.floats(0.1, 20.0), st.integers(0, 100))
def test_the_median_is_published_as_a_twentieth_and_the_95th_percentile_as_a_half(
    location, spread, seed
):
    scores = location + spread * torch.randn(5001, generator=torch.Generator().manual_seed(seed))
    histogram = FloatHistogram()
    histogram.add(scores)
    score_map = fit_score_map(histogram)
    ordered = scores.sort().values
    middle, high = ordered[2500], ordered[math.ceil(0.95 * 5001) - 1]
    published = score_map(torch.stack([middle, high]).double())
    bound = 4.0 * RELATIVE_ERROR * float(ordered.abs().max()) / score_map.scale
    assert float(published[0]) == pytest.approx(0.05, abs=bound)
    assert float(published[1]) == pytest.approx(0.5, abs=bound)


@pytest.mark.parametrize("value", [0.0, -7.25, 1e6])
def test_scores_without_spread_have_a_map_all_the_same(value):
    histogram = FloatHistogram()
    histogram.add(torch.full((100,), value))
    score_map = fit_score_map(histogram)
    assert score_map.location == value
    assert score_map.scale == pytest.approx(1e-6 * max(1.0, abs(value)))


# Networks


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_model("swiftnet_rn18", CLASSES, 0.125).eval()


def images(count=3, height=40, width=56):
    random = np.random.default_rng(5)
    return [random.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


METADATA = CheckpointMetadata("swiftnet_rn18", STREETHAZARDS, "1.0", width=0.125)


def segmenter_of(network, metadata=METADATA, **options):
    return OpenSetSegmenter(network, metadata, "cpu", backend="pytorch", **options)


def test_a_network_is_fitted_by_what_its_heads_read(network):
    found = fit_statistics(network, CLASSES, images(), CPU)
    check_statistics(found, CLASSES, network.backbone.out_channels, "here")
    seen = StatisticsAccumulator(CLASSES)
    read = []
    hook = network.logits.conv.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    with torch.inference_mode():
        for rgb in images():
            one = network(torch.from_numpy(rgb).permute(2, 0, 1)[None].float())
            seen.add(one, rgb.shape[:2], read[-1])
    hook.remove()
    for name, value in seen.finish().tensors().items():
        torch.testing.assert_close(getattr(found, name), value, rtol=1e-3, atol=1e-4, msg=name)


def test_another_network_is_fitted_by_its_logits(network):
    class Plain(nn.Module):
        def forward(self, rgb):
            return network(rgb)

    found = fit_statistics(Plain(), CLASSES, images(1), CPU)
    assert set(found.tensors()) == {"max_logit_mean", "max_logit_deviation"}


def test_published_inlier_scores_are_where_the_rule_says(network):
    statistics = fit_statistics(network, CLASSES, images(), CPU)
    segmenter = segmenter_of(network, statistics=statistics)
    names = choose_scores(segmenter)
    assert {"energy", "max_logit", "sml", "mahalanobis", "embedding_density"} < set(names)
    assert "react+energy" in names
    assert not {"jsd", "msp", "dense_hybrid"} & set(names)
    maps = fit_score_maps(segmenter, images(), [*names, "sml+ground_focus"])
    assert set(maps) == {*names, "sml+ground_focus"}
    for name in names:
        metadata = replace(METADATA, score_maps=maps)
        other = segmenter_of(network, metadata, statistics=statistics, score=name)
        published = np.concatenate([other.segment(rgb, 0.5).anomaly for rgb in images()])
        assert np.median(published) == pytest.approx(0.05, abs=0.01), name
        assert (published > 0.5).mean() == pytest.approx(0.05, abs=0.01), name


def test_what_has_no_map_or_no_number_is_named(network):
    segmenter = segmenter_of(network)
    with pytest.raises(ValueError, match="'msp' lies in"):
        fit_score_maps(segmenter, images(1), ["msp"])
    with pytest.raises(ValueError, match="'energy': expected finite numbers"):
        fit_score_maps(segmenter, [], ["energy"])
    metadata = replace(METADATA, score="energy", score_map=fit_score_map(_some()))
    own = segmenter_of(network, metadata)
    assert "energy" not in choose_scores(own)


def _some():
    histogram = FloatHistogram()
    histogram.add(torch.arange(10.0))
    return histogram
