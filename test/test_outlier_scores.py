"""Scores around an outlier head: recorded numbers, closed forms in plain Python, and laws."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.scores import (
    dense_hybrid,
    discriminative,
    energy,
    generative,
    msp,
    op,
    op_ms,
)

logit = st.floats(-300.0, 300.0)


def pixel(*values):
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)


def test_recorded_numbers():
    # Recorded in float32, whose neighbours are 2.4e-7 apart above 2.
    found = dense_hybrid(pixel(2.0, 0.5, -1.0, 0.0), pixel(0.3, -0.7))
    assert found.item() == pytest.approx(-3.6556110382, abs=2.4e-7)
    c, i, j = torch.meshgrid(torch.arange(3), torch.arange(2), torch.arange(3), indexing="ij")
    logits = ((3 * c + 2 * i + j) % 5).double()[None] - 1.5
    inlier = (i[0] + 2 * j[0]) % 3 - 0.5
    outlier = 0.3 * ((2 * i[0] + j[0]) % 4)
    expected = torch.tensor(
        [
            [-2.1439230037, -4.1331284869, -2.4934088768],
            [-2.4934088768, -3.0694296267, -4.3443449065],
        ],
        dtype=torch.float64,
    )
    found = dense_hybrid(logits, torch.stack([inlier, outlier])[None].double())[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-8)


@settings(max_examples=100, deadline=None)
@given(st.lists(logit, min_size=2, max_size=6), logit, logit, st.floats(0.2, 5.0))
def test_closed_forms(logits, inlier, outlier, temperature):
    def posterior(t):
        largest = max(inlier, outlier)
        e = [math.exp((v - largest) / t) for v in (inlier, outlier)]
        return e[1] / math.fsum(e)

    z, o = pixel(*logits), pixel(inlier, outlier)
    assert op(o, temperature).item() == pytest.approx(posterior(temperature), rel=1e-12)
    assert op(o).item() == pytest.approx(posterior(2.0), rel=1e-12)
    assert discriminative(o).item() == pytest.approx(posterior(1.0), rel=1e-12)
    shares = [math.exp((v - max(logits)) / temperature) for v in logits]
    uncertainty = 1.0 - 1.0 / math.fsum(shares)
    expected = posterior(temperature) * uncertainty
    assert op_ms(z, o, temperature).item() == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert op_ms(z, o).item() == (op(o, 2.0) * msp(z, 2.0)).item()
    log_likelihood = max(logits) + math.log(math.fsum(math.exp(v - max(logits)) for v in logits))
    assert generative(z).item() == pytest.approx(-log_likelihood, abs=1e-11)
    assert generative(z).item() == energy(z, 1.0).item()
    hybrid = -math.log1p(math.exp(inlier - outlier)) - log_likelihood
    assert dense_hybrid(z, o).item() == pytest.approx(hybrid, rel=1e-12, abs=1e-11)


@settings(max_examples=50, deadline=None)
@given(logit, logit, st.floats(-100.0, 100.0))
def test_only_the_difference_of_the_outlier_logits_matters(inlier, outlier, shift):
    z, o = pixel(1.0, -2.0, 0.5), pixel(inlier, outlier)
    for score in (op, discriminative, lambda one: op_ms(z, one), lambda one: dense_hybrid(z, one)):
        torch.testing.assert_close(score(o + shift), score(o), rtol=1e-9, atol=1e-12)
    turned = o.flip(1)
    torch.testing.assert_close(
        discriminative(o) + discriminative(turned), torch.ones(1, 1, 1).double()
    )


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_logarithms_survive_where_the_probability_is_zero(kind):
    z = torch.zeros(1, 4, 1, 1, dtype=kind)
    certain = torch.tensor([1e4, 0.0], dtype=kind).view(1, 2, 1, 1)
    assert discriminative(certain).item() == 0.0
    assert dense_hybrid(z, certain).item() == pytest.approx(-1e4 - math.log(4), rel=1e-6)
    assert dense_hybrid(z, -certain).item() == pytest.approx(-math.log(4), rel=1e-6)
    assert op(-certain).item() == 1.0
    assert generative(z + 1e4).item() == pytest.approx(-1e4 - math.log(4), rel=1e-6)


def test_more_outlier_and_less_likely_is_more_anomalous():
    rising = torch.linspace(-30.0, 30.0, 61, dtype=torch.float64)
    o = torch.stack([torch.zeros_like(rising), rising])[None, :, None]
    z = torch.tensor([2.0, 0.0, 1.0]).double().view(1, 3, 1, 1).expand(1, 3, 1, 61)
    for values in (op(o), discriminative(o), op_ms(z, o), dense_hybrid(z, o)):
        assert (values.diff() > 0).all()
    falling = z - rising
    assert (generative(falling).diff() > 0).all()
    assert (dense_hybrid(falling, o[..., :1].expand(1, 2, 1, 61)).diff() > 0).all()
