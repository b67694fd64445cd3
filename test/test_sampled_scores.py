"""Scores of samples: brute force in plain Python, bounds that are reached, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from open_set_seg.scores import mutual_information, shannon_entropy


def sample_arrays(limit):
    shapes = st.tuples(
        st.integers(1, 5), st.just(1), st.integers(2, 8), st.integers(1, 2), st.integers(1, 2)
    )
    return shapes.flatmap(
        lambda shape: arrays.arrays(np.float64, shape, elements=st.floats(-limit, limit))
    ).map(torch.from_numpy)


def plain_entropy(shares):
    return -math.fsum(p * math.log(p) for p in shares if p > 0)


@settings(max_examples=50, deadline=None)
@given(sample_arrays(30.0))
def test_it_is_entropy_of_the_mean_less_mean_of_the_entropies(samples):
    passes, _, classes, height, width = samples.shape
    found = mutual_information(samples)
    assert found.shape == (1, height, width)
    for i in range(height):
        for j in range(width):
            shares = []
            for s in range(passes):
                e = [math.exp(v) for v in (samples[s, 0, :, i, j] - samples[s, 0, :, i, j].max())]
                shares.append([v / math.fsum(e) for v in e])
            mean = [math.fsum(column) / passes for column in zip(*shares, strict=True)]
            expected = plain_entropy(mean) - math.fsum(map(plain_entropy, shares)) / passes
            assert found[0, i, j].item() == pytest.approx(expected / math.log(classes), abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(sample_arrays(1e4), st.floats(-100.0, 100.0))
def test_it_is_bounded_and_knows_neither_order_nor_shift(samples, shift):
    found = mutual_information(samples)
    passes, classes = samples.shape[0], samples.shape[2]
    assert ((found >= 0) & (found <= 1)).all()
    assert (found <= math.log(min(passes, classes)) / math.log(classes) + 1e-12).all()
    torch.testing.assert_close(mutual_information(samples.flip(0)), found, rtol=0, atol=1e-12)
    torch.testing.assert_close(mutual_information(samples.flip(2)), found, rtol=0, atol=1e-12)
    torch.testing.assert_close(mutual_information(samples + shift), found, rtol=0, atol=1e-9)
    mean = torch.softmax(samples, dim=2).mean(dim=0).clamp(min=1e-300).log()
    assert (found * math.log(classes) <= shannon_entropy(mean) + 1e-9).all()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_passes_that_agree_share_nothing_and_passes_that_contradict_share_all(kind):
    same = torch.randn(1, 2, 6, 3, 3, dtype=kind).expand(4, 2, 6, 3, 3)
    assert mutual_information(same).abs().max() <= 3e-7
    certain = (1e4 * torch.eye(5, dtype=kind)).view(5, 1, 5, 1, 1)
    assert mutual_information(certain).item() == pytest.approx(1.0, abs=1e-6)
    assert mutual_information(certain[:2]).item() == pytest.approx(math.log(2) / math.log(5))
