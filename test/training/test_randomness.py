"""Random numbers that are a function of a key."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from training.randomness import draw_normal, draw_uniform, make_generator

KEYS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4)
DRAWS = [draw_normal, draw_uniform]
LIKE = torch.empty(0)


def generators(count, first=0):
    return [make_generator(5, index) for index in range(first, first + count)]


@given(one=KEYS, other=KEYS)
@settings(max_examples=50, deadline=None)
def test_equal_keys_and_no_others_give_equal_numbers(one, other):
    numbers = [torch.rand(4, generator=make_generator(*key)) for key in (one, one, other)]
    assert torch.equal(numbers[0], numbers[1])
    # Zeros behind a short key are no part of it.
    longest = max(len(one), len(other))
    padded = [key + [0] * (longest - len(key)) for key in (one, other)]
    assert torch.equal(numbers[0], numbers[2]) == (padded[0] == padded[1])


def test_the_global_generator_neither_matters_nor_moves():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = draw_normal(generators(2), (3,), LIKE)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(draw_normal(generators(2), (3,), LIKE), first)


@pytest.mark.parametrize("draw", DRAWS)
def test_a_batch_may_be_split_anywhere(draw):
    whole = draw(generators(5), (3, 4), LIKE)
    assert whole.shape == (5, 3, 4)
    parts = [draw(generators(2), (3, 4), LIKE), draw(generators(3, first=2), (3, 4), LIKE)]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(whole[1], draw(generators(1, first=1), (3, 4), LIKE)[0])


@pytest.mark.parametrize("draw", DRAWS)
def test_precision_is_that_of_what_they_go_beside(draw):
    single = draw(generators(2), (5,), LIKE)
    half = draw(generators(2), (5,), LIKE.to(torch.bfloat16))
    double = draw(generators(2), (5,), LIKE.double())
    assert single.dtype == torch.float32
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, single.to(torch.bfloat16))
    assert double.dtype == torch.float64
    assert not torch.equal(double, double.float().double())


def test_generators_go_on_where_they_are():
    used = generators(2)
    first, second = draw_uniform(used, (3,), LIKE), draw_uniform(used, (3,), LIKE)
    assert not torch.equal(first, second)
    assert torch.equal(torch.cat([first, second], 1)[0], torch.rand(6, generator=generators(1)[0]))


def test_numbers_of_many_keys_are_distributed_as_they_are_called():
    many = generators(2000)
    normal = np.asarray(draw_normal(many, (2,), LIKE.double()))
    uniform = np.asarray(draw_uniform(many, (2,), LIKE.double()))
    assert stats.kstest(normal.ravel(), "norm").pvalue > 1e-3
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(normal[:-1, 0], normal[1:, 0])[0, 1]) < 0.08
