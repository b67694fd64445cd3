"""Intervals and tests: closed forms, SciPy, brute force, and coverage by simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from open_set_seg.metrics.bootstrap import (
    difference_of,
    differences_of,
    hierarchical_interval,
    hierarchical_intervals,
    holm,
    image_interval,
    image_intervals,
    mean_of,
    percentile_interval,
    resample_counts,
    sign_flip_test,
)


def test_every_resample_draws_as_many_as_there_are_and_each_unit_equally_often():
    counts = resample_counts(20, 5000, seed=1)
    assert counts.shape == (5000, 20)
    assert (counts.sum(axis=1) == 20).all()
    # A unit's count is binomial(20, 1/20): mean 1, variance 0.95.
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(counts.var(axis=0), 0.95, atol=0.09)


def test_a_seed_makes_the_same_resamples_and_another_one_others():
    np.testing.assert_array_equal(resample_counts(9, 50, 3), resample_counts(9, 50, 3))
    assert (resample_counts(9, 50, 3) != resample_counts(9, 50, 4)).any()


def test_percentile_limits_leave_out_equal_tails():
    interval = percentile_interval(np.arange(101.0), 50.0, level=0.9)
    assert (interval.low, interval.high) == pytest.approx((5, 95))
    assert (interval.estimate, interval.level, interval.resamples) == (50, 0.9, 101)


def test_resamples_without_a_figure_are_left_out_and_counted():
    values = np.array([np.nan, 1.0, 2.0, 3.0, np.nan])
    interval = percentile_interval(values, 2.0, level=0.5)
    assert (interval.low, interval.high, interval.resamples) == (1.5, 2.5, 3)
    empty = percentile_interval(np.full(4, np.nan), np.nan)
    assert np.isnan([empty.estimate, empty.low, empty.high]).all()
    assert empty.resamples == 0


def test_an_interval_of_a_mean_is_scipys():
    values = np.random.default_rng(0).gamma(2.0, size=60)
    interval = image_interval(mean_of(values), 60, resamples=20_000, seed=5)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(6)
    ).confidence_interval
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.low == pytest.approx(expected.low, abs=0.02)
    assert interval.high == pytest.approx(expected.high, abs=0.02)


def test_an_interval_of_a_ratio_of_sums_is_scipys():
    generator = np.random.default_rng(1)
    whole = generator.integers(1, 50, 80)
    part = generator.binomial(whole, 0.3)
    interval = image_interval(
        lambda weights: (weights @ part) / (weights @ whole), 80, resamples=10_000
    )
    expected = stats.bootstrap(
        (part, whole),
        lambda one, two, axis: one.sum(axis=axis) / two.sum(axis=axis),
        paired=True,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert interval.estimate == part.sum() / whole.sum()
    assert interval.low == pytest.approx(expected.low, abs=0.003)
    assert interval.high == pytest.approx(expected.high, abs=0.003)


def test_figures_of_the_same_images_share_their_resamples():
    values = np.random.default_rng(2).normal(size=30)
    both = image_intervals(
        lambda weights: {"one": mean_of(values)(weights), "twice": 2 * mean_of(values)(weights)},
        30,
        seed=7,
    )
    assert both["one"] == image_interval(mean_of(values), 30, seed=7)
    assert both["twice"].low == pytest.approx(2 * both["one"].low)


def test_images_without_a_figure_have_no_say_in_a_mean():
    statistic = mean_of(np.array([1.0, np.nan, 4.0]))
    weights = np.array([[1, 1, 1], [2, 0, 1], [0, 3, 0]])
    np.testing.assert_allclose(statistic(weights), [2.5, 2.0, np.nan])


def test_paired_differences_forget_what_both_share():
    generator = np.random.default_rng(3)
    difficulty = generator.normal(0, 10, 100)
    one = difficulty + 1 + generator.normal(0, 0.1, 100)
    two = difficulty + generator.normal(0, 0.1, 100)
    alone = image_interval(mean_of(one), 100)
    paired = image_interval(difference_of(mean_of(one), mean_of(two)), 100)
    assert alone.high - alone.low > 3
    assert paired.high - paired.low < 0.1
    assert paired.low < 1 < paired.high


def test_several_figures_of_several_seeds_at_once():
    generator = np.random.default_rng(12)
    one, two = generator.normal(size=(2, 5, 30))

    def figures(values):
        return lambda weights: {
            "mean": mean_of(values)(weights),
            "square": mean_of(values**2)(weights),
        }

    for images in (30, [30] * 5):
        differences = [
            differences_of(figures(a), figures(b)) for a, b in zip(one, two, strict=True)
        ]
        found = hierarchical_intervals(differences, images, seed=4)
        assert found["mean"].estimate == pytest.approx(one.mean() - two.mean())
        assert found["square"].estimate == pytest.approx((one**2).mean() - (two**2).mean())
        alone = [difference_of(mean_of(a), mean_of(b)) for a, b in zip(one, two, strict=True)]
        assert found["mean"] == hierarchical_interval(alone, images, seed=4)


def coverage(true, interval_of, simulations):
    intervals = (interval_of(np.random.default_rng(index), index) for index in range(simulations))
    return np.mean([one.low <= true <= one.high for one in intervals])


def test_image_level_intervals_cover_and_pixel_level_ones_do_not():
    # 40 images of 50 pixels: a share of outliers found that differs from image to image.
    # The percentile interval of a mean of 40 covers a little less than the nominal 95 %:
    # P(|t_39| < 1.96 sqrt(39 / 40)) = 0.940. Allowed besides: 3 standard errors of 400 trials.
    def hits(generator):
        share = generator.beta(2, 2, 40)
        return generator.random((40, 50)) < share[:, None]

    by_image = coverage(
        0.5,
        lambda generator, seed: image_interval(
            mean_of(hits(generator).mean(axis=1)), 40, 300, seed=seed
        ),
        400,
    )
    assert by_image == pytest.approx(0.94, abs=0.036)
    by_pixel = coverage(
        0.5,
        lambda generator, seed: image_interval(
            mean_of(hits(generator).ravel().astype(float)), 2000, 100, seed=seed
        ),
        100,
    )
    assert by_pixel < 0.7


@pytest.mark.parametrize("shared", [True, False])
def test_hierarchical_intervals_cover_where_image_level_ones_do_not(shared):
    # 16 seeds, 30 images: both seeds and images have effects. The bootstrap's variance of the seed
    # part is (S - 1) / S of the true one, and its quantiles are a normal's: P(|t_15| < 1.96
    # sqrt(15 / 16)) = 0.923 if seeds were all that mattered; images add to the certainty of the
    # spread. Allowed: 0.923 - 3 standard errors of 300 trials, and no more than 0.99.
    seeds, images = 16, 30

    def scenes(generator):
        seed_effects = generator.normal(0, 1, (seeds, 1))
        size = (1, images) if shared else (seeds, images)
        return seed_effects + generator.normal(0, 1, size) + generator.normal(0, 1, (seeds, images))

    def hierarchical(generator, seed):
        statistics = [mean_of(row) for row in scenes(generator)]
        number = images if shared else [images] * seeds
        return hierarchical_interval(statistics, number, 200, seed=seed)

    assert 0.87 < coverage(0.0, hierarchical, 300) < 0.99

    def images_only(generator, seed):
        return image_interval(mean_of(scenes(generator).mean(axis=0)), images, 200, seed=seed)

    assert coverage(0.0, images_only, 200) < 0.8


def test_three_seeds_are_too_few_for_an_interval():
    # Seeds alone: the spread of three is 2 / 3 of the variance, and a mean of three drawn values
    # has few different ones; nominal 95 %.
    def three(generator, seed):
        effects = generator.normal(size=3)
        statistics = [mean_of(np.full(10, effect)) for effect in effects]
        return hierarchical_interval(statistics, 10, 200, seed=seed)

    assert coverage(0.0, three, 300) < 0.87


def test_the_spread_of_the_two_designs():
    # Shared images: var = images' effect / n + seeds' effect / S, nested: no effect is shared.
    seeds, images = 12, 50
    generator = np.random.default_rng(8)
    values = generator.normal(0, 1, (1, images)) + generator.normal(0, 1e-6, (seeds, images))
    statistics = [mean_of(row) for row in values]
    shared = hierarchical_interval(statistics, images, 4000)
    nested = hierarchical_interval(statistics, [images] * seeds, 4000)
    ratio = (shared.high - shared.low) / (nested.high - nested.low)
    assert ratio == pytest.approx(np.sqrt(seeds), rel=0.08)


def test_one_seed_is_the_image_level_interval():
    values = np.random.default_rng(9).normal(size=40)
    interval = hierarchical_interval([mean_of(values)], 40, 5000)
    alone = image_interval(mean_of(values), 40, 5000)
    assert interval.estimate == alone.estimate
    assert interval.low == pytest.approx(alone.low, abs=0.03)
    assert interval.high == pytest.approx(alone.high, abs=0.03)


def test_seeds_of_different_numbers_of_images():
    statistics = [mean_of(np.full(3, 1.0)), mean_of(np.full(5, 3.0))]
    interval = hierarchical_interval(statistics, [3, 5], 2000, level=0.9)
    assert (interval.estimate, interval.low, interval.high) == (2, 1, 3)


@pytest.mark.parametrize(
    ("pairs", "smallest"), [(3, 0.25), (5, 0.0625), (6, 0.03125), (8, 0.0078125), (1, 1.0)]
)
def test_the_smallest_p_that_so_many_pairs_can_give(pairs, smallest):
    assert sign_flip_test(np.linspace(1, 2, pairs)) == smallest
    assert sign_flip_test(-np.linspace(1, 2, pairs)) == smallest


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_the_sign_flip_test_by_brute_force(differences):
    # Integers: sums are exact and ties are many.
    sums = [
        abs(sum(sign * one for sign, one in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    expected = sum(total >= abs(sum(differences)) for total in sums) / len(sums)
    assert sign_flip_test(differences) == expected
    # Tenths have no exact binary form: ties must survive the rounding.
    assert sign_flip_test([0.1 * one for one in differences]) == expected


def test_the_sign_flip_test_is_scipys():
    differences = np.random.default_rng(4).normal(0.4, 1, 12)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_test(differences) == pytest.approx(expected, abs=1e-12)


def test_more_pairs_than_can_be_enumerated_are_drawn():
    differences = np.random.default_rng(5).normal(0.3, 1, 21)
    drawn = sign_flip_test(differences, resamples=20_000, seed=1)
    assert drawn == sign_flip_test(differences, resamples=20_000, seed=1)
    # All 2^21 of them, as one sum of two halves.
    halves = []
    for part in np.split(differences, [10]):
        signs = np.array(list(itertools.product((-1, 1), repeat=part.size)))
        halves.append(signs @ part)
    exact = np.mean(np.abs(halves[0][:, None] + halves[1]) >= abs(differences.sum()) - 1e-9)
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000))
    # Nothing that was drawn reaches it: p is that of one more, never 0.
    assert sign_flip_test(np.ones(60), resamples=99) == 0.01


def test_p_is_uniform_where_nothing_differs():
    generator = np.random.default_rng(6)
    p = [sign_flip_test(generator.normal(size=8)) for _ in range(600)]
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(p) <= level) <= level + 3 * np.sqrt(level * (1 - level) / 600)


def holm_by_closed_testing(p_values):
    """A hypothesis is rejected iff Bonferroni rejects every intersection that it is part of."""
    tests = range(len(p_values))
    families = [
        family
        for size in range(1, len(p_values) + 1)
        for family in itertools.combinations(tests, size)
    ]
    return [
        min(1.0, max(len(f) * min(p_values[one] for one in f) for f in families if test in f))
        for test in tests
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_closed_testing_with_bonferroni(p_values):
    assert holm(p_values) == pytest.approx(holm_by_closed_testing(p_values), abs=1e-15)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resample_counts(0, 5, 0), "at least 1"),
        (lambda: resample_counts(5, 0, 0), "at least 1"),
        (lambda: percentile_interval(np.zeros(3), 0.0, level=95), "share"),
        (lambda: sign_flip_test([]), "finite"),
        (lambda: sign_flip_test([1.0, np.nan]), "finite"),
        (lambda: holm([0.5, 1.5]), "between 0 and 1"),
        (lambda: holm([np.nan]), "between 0 and 1"),
        (lambda: hierarchical_interval([], 4), "0 seeds"),
        (lambda: hierarchical_interval([mean_of(np.ones(3))], [3, 3]), "1 seeds"),
        (lambda: hierarchical_interval([mean_of(np.ones(0))], 0), "at least one"),
        (lambda: hierarchical_interval([mean_of(np.ones(3))], 3, resamples=0), "at least one"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
