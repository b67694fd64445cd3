"""Scores of class logits: golden numbers, brute force in float64, laws; the registry of all."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from score_inputs import apply_score, make_inputs, make_statistics

from open_set_seg.scores import (
    SCORES,
    LogisticMap,
    ScoreStatistics,
    energy,
    entropy,
    jsd,
    jsd_maximum,
    jsd_to_uniform,
    kl,
    max_logit,
    msp,
    reverse_kl,
    shannon_entropy,
)

GOLDEN = torch.tensor([2.0, 0.5, -1.0, 0.0], dtype=torch.float64).view(1, 4, 1, 1)
OF_LOGITS = sorted(name for name, score in SCORES.items() if score.needs == ("logits",))
BOUNDED = [name for name in OF_LOGITS if SCORES[name].bounded]


def logit_arrays(limit=50.0):
    shapes = st.tuples(st.integers(1, 2), st.integers(2, 20), st.integers(1, 3), st.integers(1, 3))
    return shapes.flatmap(
        lambda shape: arrays.arrays(np.float64, shape, elements=st.floats(-limit, limit))
    ).map(torch.from_numpy)


def brute_force_jsd(logits, temperature):
    """The definition, pixel by pixel, with plain Python floats."""
    batch, classes, height, width = logits.shape
    result = torch.empty(batch, height, width, dtype=torch.float64)
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                z = [logits[b, c, i, j].item() / temperature for c in range(classes)]
                e = [math.exp(v - max(z)) for v in z]
                p = [v / math.fsum(e) for v in e]
                terms = []
                for share in p:
                    m = (share + 1 / classes) / 2
                    terms.append(0.5 / classes * math.log(1 / classes / m))
                    if share > 0:
                        terms.append(0.5 * share * math.log(share / m))
                result[b, i, j] = math.fsum(terms)
    return result


def test_golden_numbers():
    # Recorded in float32, whose neighbours are 6e-8 apart below 1 and 2.4e-7 above 2.
    one_step, two_steps = 6e-8, 1.2e-7
    assert msp(GOLDEN).item() == pytest.approx(0.2899001240, abs=one_step)
    assert max_logit(GOLDEN).item() == -2.0
    assert energy(GOLDEN).item() == pytest.approx(-2.3423495293, abs=two_steps)
    assert shannon_entropy(GOLDEN).item() == pytest.approx(0.8782811165, abs=one_step)
    assert entropy(GOLDEN).item() == pytest.approx(0.8782811165 / math.log(4), abs=one_step)
    assert jsd_to_uniform(GOLDEN, 1.0).item() == pytest.approx(0.1257977933, abs=one_step)
    assert jsd_to_uniform(GOLDEN, 2.0).item() == pytest.approx(0.0367567241, abs=one_step)
    assert jsd(GOLDEN).item() == pytest.approx(1 - 0.0367567241 / jsd_maximum(4), abs=3e-7)


def test_scores_equal_their_definitions():
    z = [2.0, 0.5, -1.0, 0.0]
    total = math.fsum(math.exp(v) for v in z)
    p = [math.exp(v) / total for v in z]
    assert msp(GOLDEN).item() == pytest.approx(1 - max(p), abs=1e-14)
    assert energy(GOLDEN).item() == pytest.approx(-math.log(total), abs=1e-14)
    assert energy(GOLDEN, 3.0).item() == pytest.approx(
        -3 * math.log(math.fsum(math.exp(v / 3) for v in z)), abs=1e-14
    )
    assert shannon_entropy(GOLDEN).item() == pytest.approx(
        -math.fsum(v * math.log(v) for v in p), abs=1e-14
    )
    assert max_logit(GOLDEN, 4.0).item() == -0.5
    for t in (1.0, 2.0, 5.0):
        e = [math.exp(v / t) for v in z]
        q = [v / math.fsum(e) for v in e]
        forward = math.fsum(0.25 * math.log(0.25 / v) for v in q)
        backward = math.fsum(v * math.log(v / 0.25) for v in q)
        assert kl(GOLDEN, t).item() == pytest.approx(-forward, abs=1e-14)
        assert reverse_kl(GOLDEN, t).item() == pytest.approx(1 - backward / math.log(4), abs=1e-14)
    assert kl(GOLDEN).item() == kl(GOLDEN, 2.0).item()
    assert reverse_kl(GOLDEN).item() == entropy(GOLDEN, 2.0).item()


def test_golden_map_of_the_divergence():
    c, i, j = np.meshgrid(np.arange(3), np.arange(2), np.arange(3), indexing="ij")
    logits = torch.from_numpy(((3 * c + 2 * i + j) % 5) - 1.5)[None]
    golden = [
        [0.1495380371, 0.1495380371, 0.1060986295],
        [0.1060986295, 0.1060986295, 0.1771305526],
    ]
    np.testing.assert_allclose(jsd_to_uniform(logits)[0].numpy(), golden, atol=5e-11)
    pasted = jsd_to_uniform(logits)[0][1, 1:].mean().item()
    assert pasted == pytest.approx(0.1416145910, abs=5e-11)


@pytest.mark.parametrize(
    ("classes", "maximum"), [(19, 0.588665), (12, 0.546253), (14, 0.561935), (65, 0.653285)]
)
def test_maximum_of_the_divergence(classes, maximum):
    assert jsd_maximum(classes) == pytest.approx(maximum, abs=5e-7)
    one_hot = torch.zeros(1, classes, 1, 1, dtype=torch.float64)
    one_hot[0, 1] = 1e4
    assert jsd_to_uniform(one_hot).item() == pytest.approx(jsd_maximum(classes), abs=1e-12)
    assert jsd_maximum(classes) < math.log(2)


@settings(max_examples=30, deadline=None)
@given(logit_arrays(), st.floats(0.3, 5.0))
def test_divergence_equals_its_definition(logits, temperature):
    expected = brute_force_jsd(logits, temperature)
    torch.testing.assert_close(jsd_to_uniform(logits, temperature), expected, rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(logit_arrays(limit=500.0))
def test_float32_stays_close_to_float64(logits):
    for name in BOUNDED:
        single = SCORES[name](logits.float())
        torch.testing.assert_close(
            single.double(), SCORES[name](logits.float().double()), atol=5e-6, rtol=0
        )


@settings(max_examples=30, deadline=None)
@given(logit_arrays(limit=1e4), st.floats(0.1, 100.0))
def test_bounded_scores_lie_between_zero_and_one(logits, temperature):
    for name in BOUNDED:
        for kind in (torch.float32, torch.float64):
            score = SCORES[name](logits.to(kind), temperature)
            assert score.shape == (logits.shape[0], *logits.shape[2:])
            assert ((score >= 0) & (score <= 1)).all(), name


@settings(max_examples=30, deadline=None)
@given(logit_arrays(limit=20.0), st.floats(-100.0, 100.0))
def test_scores_of_the_softmax_ignore_a_common_shift(logits, shift):
    for name in BOUNDED:
        torch.testing.assert_close(
            SCORES[name](logits + shift), SCORES[name](logits), rtol=0, atol=1e-10
        )
    torch.testing.assert_close(kl(logits + shift), kl(logits), rtol=0, atol=1e-10)
    torch.testing.assert_close(energy(logits + shift), energy(logits) - shift)
    torch.testing.assert_close(max_logit(logits + shift), max_logit(logits) - shift)


@settings(max_examples=20, deadline=None)
@given(logit_arrays(limit=20.0), st.randoms(use_true_random=False))
def test_the_order_of_the_classes_does_not_matter(logits, random):
    order = list(range(logits.shape[1]))
    random.shuffle(order)
    for name in OF_LOGITS:
        score = SCORES[name]
        torch.testing.assert_close(score(logits[:, order]), score(logits), rtol=0, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 12, 19, 254])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_undecided_is_most_anomalous_and_certain_least(classes, temperature):
    uniform = torch.full((1, classes, 1, 1), 3.7)
    certain = torch.zeros(1, classes, 1, 1)
    certain[0, classes // 2] = 1e4
    assert jsd(uniform, temperature).item() == pytest.approx(1.0, abs=2e-6)
    assert entropy(uniform, temperature).item() == pytest.approx(1.0, abs=2e-6)
    assert kl(uniform, temperature).item() == pytest.approx(0.0, abs=2e-6)
    assert msp(uniform, temperature).item() == pytest.approx(1 - 1 / classes, abs=2e-6)
    for name in BOUNDED:
        assert SCORES[name](certain, temperature).item() == pytest.approx(0.0, abs=2e-6)
    # Far where p itself is 0 in any precision: the divergence is computed from logarithms.
    expected = math.log(classes) - 1e4 / temperature * (classes - 1) / classes
    assert kl(certain, temperature).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", OF_LOGITS)
def test_scores_fall_as_the_network_grows_certain(name):
    lead = torch.linspace(0, 20, 50, dtype=torch.float64)
    logits = torch.zeros(1, 5, 1, 50, dtype=torch.float64)
    logits[0, 2, 0] = lead
    score = SCORES[name](logits)[0, 0]
    assert (score.diff() < 0).all()


@pytest.mark.parametrize("name", OF_LOGITS)
def test_gradients_agree_with_finite_differences(name):
    torch.manual_seed(1)
    logits = torch.randn(1, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(SCORES[name], (logits,))
    assert torch.autograd.gradcheck(lambda z: jsd_to_uniform(z, 1.7), (logits,))


def test_gradient_of_the_divergence_vanishes_at_uniform():
    logits = torch.full((1, 12, 1, 1), 2.0, dtype=torch.float64, requires_grad=True)
    divergence = jsd_to_uniform(logits)
    divergence.sum().backward()
    assert divergence.item() == pytest.approx(0.0, abs=1e-15)
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits), atol=1e-15, rtol=0)


def test_inference_and_training_give_the_same_numbers():
    logits = torch.randn(2, 12, 5, 7)
    before = logits.clone()
    recorded = jsd(logits.clone().requires_grad_()).detach()
    assert torch.equal(jsd(logits), recorded)
    assert torch.equal(logits, before)


# Needs, whether values lie in [0, 1], and T: what callers rely on.
REGISTRY = {
    "jsd": ("logits", True, 2.0),
    "msp": ("logits", True, 1.0),
    "entropy": ("logits", True, 1.0),
    "max_logit": ("logits", False, 1.0),
    "energy": ("logits", False, 1.0),
    "kl": ("logits", False, 2.0),
    "reverse_kl": ("logits", True, 2.0),
    "op": ("outlier_logits", True, 2.0),
    "op_ms": ("logits outlier_logits", True, 2.0),
    "dense_hybrid": ("logits outlier_logits", False, None),
    "generative": ("logits", False, None),
    "discriminative": ("outlier_logits", True, None),
    "mutual_information": ("samples", True, None),
    "sml": ("logits statistics", False, None),
    "mahalanobis": ("features statistics", False, None),
    "embedding_density": ("features statistics", False, None),
}


def test_the_registry_states_what_each_score_needs():
    found = {n: (" ".join(s.needs), s.bounded, s.temperature) for n, s in SCORES.items()}
    assert found == REGISTRY
    torch.testing.assert_close(SCORES["jsd"](GOLDEN), jsd(GOLDEN, 2.0))


@pytest.mark.parametrize("name", sorted(SCORES))
def test_a_score_reads_what_it_says_and_nothing_else(name):
    score, inputs, statistics = SCORES[name], make_inputs(), make_statistics()
    given = {**inputs._asdict(), "statistics": statistics}
    needed = {need: given[need] for need in score.needs}
    logits = needed.pop("logits", None)
    values = score(logits, **needed)
    assert values.shape == (2, 3, 4)
    assert values.dtype == torch.float64
    assert torch.isfinite(values).all()
    assert torch.equal(values, apply_score(name, inputs, statistics))
    known = {field: statistics.tensors()[field] for field in score.fields}
    only = ScoreStatistics.of_tensors(known) if known else None
    assert torch.equal(values, apply_score(name, inputs, only))
    for need in score.needs:
        lacking = inputs._replace(**{need: None}) if need != "statistics" else inputs
        with pytest.raises(ValueError, match=need):
            apply_score(name, lacking, None if need == "statistics" else statistics)
    for field in score.fields:
        rest = {other: value for other, value in known.items() if other != field}
        with pytest.raises(ValueError, match=rf"needs {field} .* not fitted"):
            apply_score(name, inputs, ScoreStatistics.of_tensors(rest))


@pytest.mark.parametrize("name", sorted(SCORES))
def test_scores_are_differentiable_in_all_that_they_read(name):
    inputs, statistics = make_inputs(grid=(2, 2), batch=1), make_statistics()
    read = [need for need in SCORES[name].needs if need != "statistics"]
    tensors = [getattr(inputs, need).clone().requires_grad_() for need in read]

    def compute(*values):
        return apply_score(
            name, inputs._replace(**dict(zip(read, values, strict=True))), statistics
        )

    assert torch.autograd.gradcheck(compute, tensors)


@pytest.mark.parametrize("name", sorted(SCORES))
def test_only_scores_with_a_temperature_take_one(name):
    inputs, statistics, default = make_inputs(), make_statistics(), SCORES[name].temperature
    plain = apply_score(name, inputs, statistics)
    if default is None:
        with pytest.raises(ValueError, match="has no temperature"):
            apply_score(name, inputs, statistics, temperature=1.0)
    else:
        assert torch.equal(plain, apply_score(name, inputs, statistics, temperature=default))
        other = apply_score(name, inputs, statistics, temperature=3.7)
        assert not torch.allclose(plain, other)


@pytest.mark.parametrize("name", sorted(SCORES))
def test_extreme_inputs_give_finite_scores(name):
    statistics = make_statistics(kind=torch.float32)
    for seed in range(3):
        inputs = make_inputs(seed=seed, kind=torch.float32, scale=1e4)
        values = apply_score(name, inputs, statistics)
        assert torch.isfinite(values).all()
        if SCORES[name].bounded:
            assert ((values >= 0) & (values <= 1)).all()


@pytest.mark.parametrize("name", sorted(SCORES))
def test_float32_agrees_with_float64(name):
    inputs, statistics = make_inputs(channels=24, scale=4.0), make_statistics(channels=24)
    single = type(inputs)(*(x.float() for x in inputs))
    double = type(inputs)(*(x.double() for x in single))
    expected = apply_score(name, double, statistics)
    found = apply_score(name, single, statistics)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=3e-6, atol=3e-6)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_the_map_is_monotone_onto_zero_to_one(location, scale):
    publish = LogisticMap(location, scale)
    scores = location + scale * torch.linspace(-30, 30, 61, dtype=torch.float64)
    values = publish(scores)
    assert ((values >= 0) & (values <= 1)).all()
    assert (values.diff() > 0).all()
    assert values[30].item() == pytest.approx(0.5)
    assert publish(torch.tensor([-math.inf, math.inf])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("location", "scale"), [(0.0, 0.0), (0.0, -1.0), (math.nan, 1.0), (0.0, math.inf)]
)
def test_a_map_that_is_not_monotone_is_refused(location, scale):
    with pytest.raises(ValueError, match="logistic map"):
        LogisticMap(location, scale)
