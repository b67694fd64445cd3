"""Order statistics that keep a rate: against beta distributions, and against many resamples."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from open_set_seg.calibration import (
    CalibrationError,
    FrameStatistic,
    calibrate_threshold,
    expected_alarms,
    needed_samples,
    tolerated_alarms,
)
from open_set_seg.calibration.segments import are_alike

RESAMPLES = 1000
# What a share of 0.95 may miss by in so many resamples, three standard deviations.
MONTE_CARLO = 3 * math.sqrt(0.95 * 0.05 / RESAMPLES)


def confidence_of(samples, alarms, target):
    """P(rate <= target) for a continuous distribution: the rate is Beta(alarms + 1, n - alarms)."""
    return stats.beta.cdf(target, alarms + 1, samples - alarms)


@pytest.mark.parametrize(
    ("target", "confidence", "needed"),
    [
        (0.05, 0.95, 59), (0.01, 0.95, 299), (0.001, 0.95, 2995), (0.1, 0.9, 22), (0.05, 0.99, 90),
        (0.05, None, 19), (0.01, None, 99), (0.001, None, 999),
    ],
)  # fmt: skip
def test_the_known_sizes(target, confidence, needed):
    assert needed_samples(target, confidence) == needed


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 5000), st.floats(0.001, 0.5), st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
)
def test_as_many_alarms_are_tolerated_as_the_beta_distribution_allows(samples, target, confidence):
    alarms = tolerated_alarms(samples, target, confidence)
    sure = confidence_of(samples, np.arange(samples), target)
    allowed = np.flatnonzero(sure >= confidence)
    # Where the two meet to the last digits, either is right.
    if np.abs(sure - confidence).min() > 1e-9:
        assert alarms == (allowed.max() if allowed.size else None)
    assert (alarms is None) == (samples < needed_samples(target, confidence))


@given(st.integers(1, 5000), st.integers(1, 400), st.integers(2, 1000))
def test_the_expected_rate_counts_ranks(samples, numerator, denominator):
    target = numerator / denominator
    if not 0 < target < 1:
        return
    alarms = expected_alarms(samples, target)
    if alarms is None:
        assert samples < needed_samples(target, None)
    else:
        # target is a decimal in full, so the quotient of integers is not met exactly.
        assert (alarms + 1) / (samples + 1) <= target * (1 + 1e-12)
        assert (alarms + 2) / (samples + 1) > target * (1 - 1e-12)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, math.nan, 1e-9])
def test_targets_that_nobody_can_promise_are_refused(bad):
    with pytest.raises(CalibrationError):
        needed_samples(bad, 0.95)


def pareto(rng, shape):
    """Heavy tail squeezed into [0, 1)."""
    raw = rng.pareto(0.7, shape)
    return (0.99 * raw / (1 + raw)).astype(np.float32)


def ties(rng, shape):
    """Five values; most frames never alarm."""
    values = np.array([0, 0.25, 0.5, 0.75, 0.9], np.float32)
    return rng.choice(values, shape, p=[0.6, 0.2, 0.1, 0.07, 0.03])


def bimodal(rng, shape):
    """A few frames in a hundred are of another kind."""
    odd = rng.random(shape) < 0.08
    return np.where(odd, rng.beta(30, 2, shape), rng.beta(2, 30, shape)).astype(np.float32)


DISTRIBUTIONS = [pareto, ties, bimodal]


def rates(distribution, samples, confidence, seed, shift=0.0):
    """True rates of false alarms of thresholds from resamples; truth from half a million frames."""
    rng = np.random.default_rng(seed)
    truth = np.sort(np.minimum(distribution(rng, 500_000) + np.float32(shift), 1))
    found = []
    for scores in distribution(rng, (RESAMPLES, samples)):
        frames = [FrameStatistic(float(score)) for score in scores]
        try:
            threshold = calibrate_threshold(frames, 0.05, confidence).value
        except CalibrationError:  # refused by chance, once in 2000
            continue
        found.append(1 - np.searchsorted(truth, threshold, side="right") / truth.size)
    assert len(found) > 0.99 * RESAMPLES
    return np.array(found)


@pytest.mark.parametrize(
    ("distribution", "samples"), [(pareto, 59), (ties, 59), (ties, 124), (bimodal, 124)]
)
def test_the_rate_is_kept_in_the_promised_share_of_resamples(distribution, samples):
    # The truth is sampled too: 0.05 is known to 0.001.
    kept = np.mean(rates(distribution, samples, 0.95, samples) <= 0.051)
    assert kept >= 0.95 - MONTE_CARLO


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_shifted_frames_break_the_promise(distribution):
    kept = np.mean(rates(distribution, 59, 0.95, 3, shift=0.3) <= 0.051)
    assert kept < 0.9


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_expected_rate_is_kept_on_average_and_not_more(distribution):
    found = rates(distribution, 39, None, 5)
    assert found.mean() <= 0.05 + 3 * found.std() / math.sqrt(RESAMPLES)
    if distribution is not ties:
        assert np.mean(found > 0.05) > 0.2


@pytest.mark.parametrize(("samples", "alarms"), [(58, 0), (92, 1), (180, 4)])
def test_one_sample_less_breaks_the_promise(samples, alarms):
    """Sizes at which one more sample would just tolerate so many alarms; drawn, not computed."""
    assert tolerated_alarms(samples, 0.05, 0.95) == (alarms - 1 if alarms else None)
    assert tolerated_alarms(samples + 1, 0.05, 0.95) == alarms
    rng = np.random.default_rng(samples)
    kept = total = 0
    for _ in range(100):
        drawn = rng.random((4000, samples), np.float32)
        # Uniform statistics: the threshold is one minus the rate.
        threshold = np.partition(drawn, samples - 1 - alarms, axis=1)[:, samples - 1 - alarms]
        kept, total = kept + int(np.sum(threshold >= 0.95)), total + len(drawn)
    assert confidence_of(samples, alarms, 0.05) < 0.95
    assert kept / total < 0.95


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=59, max_size=120), st.integers(0, 100))
def test_the_threshold_is_a_score_and_lets_no_more_alarm_than_is_tolerated(values, seed):
    values = np.random.default_rng(seed).permutation(values)
    scores = (np.array(values, np.float32) / np.float32(11)).astype(np.float64)
    assume(not are_alike([scores]))
    found = calibrate_threshold([FrameStatistic(score) for score in scores])
    assert found.value in scores
    assert np.float32(found.value) == found.value
    allowed = tolerated_alarms(len(scores), 0.05, 0.95)
    assert found.alarms == np.sum(scores > found.value) <= allowed
    # One score lower lets too many alarm: the threshold is the lowest of its kind.
    lower = scores[scores < found.value]
    assert not lower.size or np.sum(scores > lower.max()) > allowed


def test_too_few_frames_are_refused_with_the_number_that_is_needed():
    frames = [FrameStatistic(float(s)) for s in np.random.default_rng(0).random(58)]
    with pytest.raises(CalibrationError, match="takes 59 independent frames, found 58"):
        calibrate_threshold(frames)
    with pytest.raises(CalibrationError, match="takes 99 independent frames, found 58"):
        calibrate_threshold(frames, 0.01, None)
    with pytest.raises(CalibrationError, match="found 0"):
        calibrate_threshold([])


def test_frames_that_score_one_give_no_threshold():
    scores = np.random.default_rng(1).random(100)
    scores[::10] = 1.0
    with pytest.raises(CalibrationError, match="score 1"):
        calibrate_threshold([FrameStatistic(float(s)) for s in scores])


def test_a_score_between_two_float32_rounds_to_the_safe_side():
    scores = np.random.default_rng(4).random(59)
    found = calibrate_threshold([FrameStatistic(float(s)) for s in scores]).value
    assert np.float32(found) == found >= scores.max() > found - 1e-7


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan, math.inf])
def test_scores_outside_of_0_and_1_are_refused(bad):
    with pytest.raises(CalibrationError):
        FrameStatistic(bad)


def test_a_band_gets_a_threshold_where_enough_samples_show_it():
    rng = np.random.default_rng(2)
    frames = [
        FrameStatistic(0.75 * s, bands=(0.5 * s, 0.25 * s if number < 58 else None))
        for number, s in enumerate(rng.random(70, np.float32).tolist())
    ]
    found = calibrate_threshold(frames, bands=[(5.0, 10.0), (10.0, 20.0)])
    near, far = found.bands
    assert near.samples == 70
    assert near.threshold == max(frame.bands[0] for frame in frames)
    assert (far.samples, far.threshold) == (58, None)
