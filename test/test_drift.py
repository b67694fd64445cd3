"""Drift: the bound on false alarms, how soon a change is found, and what it rests on."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from open_set_seg.frame import Prediction
from open_set_seg.monitoring import (
    STATISTICS,
    DriftConfig,
    DriftMonitor,
    DriftReference,
    DriftReferenceError,
    ScoreSummary,
    summarise,
)
from open_set_seg.monitoring.betting import BETS, EXPONENTS, Evidence, log_bets

SECOND = 1_000_000_000


def summary_of(values):
    return ScoreSummary(*(float(value) for value in values))


def draw(rng, count, shift=0.0):
    """Correlated statistics, some of them with ties, as frames have them."""
    cause = rng.standard_normal((count, 1))
    values = cause + rng.standard_normal((count, len(STATISTICS))) + shift
    values[:, 3] = np.maximum(np.round(values[:, 3], 1), 0.0)
    return values


def monitor_of(values, **changes):
    reference = DriftReference.of_summaries(map(summary_of, values), 0.5)
    return DriftMonitor(reference, DriftConfig(**changes))


def prediction_of(anomaly, nearest=None, threshold=0.5):
    anomaly = np.asarray(anomaly, np.float32)
    nearest = np.zeros(anomaly.shape, np.uint8) if nearest is None else nearest
    return Prediction(nearest, anomaly, nearest, threshold)


@pytest.mark.parametrize("count", [1, 2, 21, 4000])
def test_every_bet_pays_one_in_the_mean_over_all_ranks(count):
    payments = np.exp([log_bets(rank, count) for rank in range(count)])
    assert payments.shape == (count, BETS)
    np.testing.assert_allclose(payments.mean(axis=0), 1.0, rtol=1e-9)


def test_bets_are_power_bets_and_their_mirror_images():
    # The density k p^(k - 1) is that of a beta distribution; a payment is its mean over a cell.
    count, rank = 50, 7
    payments = np.exp(log_bets(rank, count))
    for index, exponent in enumerate(EXPONENTS):
        low, high = stats.beta(exponent, 1), stats.beta(1, exponent)
        cell = [rank / count, (rank + 1) / count]
        assert payments[index] == pytest.approx(count * np.diff(low.cdf(cell))[0])
        assert payments[index + len(EXPONENTS)] == pytest.approx(count * np.diff(high.cdf(cell))[0])


@given(st.lists(st.integers(0, 39), min_size=1, max_size=25))
def test_evidence_is_the_sum_of_products_that_defines_it(ranks):
    evidence = Evidence(1)
    payments = np.array([np.exp(log_bets(rank, 40)) for rank in ranks])
    for step in range(len(ranks)):
        evidence.add(np.log(payments[step])[None])
    begins = range(1, len(ranks) + 1)
    products = [np.prod(payments[begin - 1 :], axis=0).mean() for begin in begins]
    ever = sum(p / (j * (j + 1)) for j, p in zip(begins, products, strict=True))
    ever += 1 / (len(ranks) + 1)
    assert evidence.log_ever[0] == pytest.approx(math.log(ever))
    assert evidence.log_recent[0] == pytest.approx(math.log(sum(products)))


def test_the_martingale_has_mean_one_over_all_orders_of_a_few_frames():
    # All sequences of ranks of two frames after three old ones: 4 x 5, each as likely.
    total, count = 0.0, 0
    for first in range(4):
        for second in range(5):
            evidence = Evidence(1)
            evidence.add(log_bets(first, 4)[None])
            evidence.add(log_bets(second, 5)[None])
            total += math.exp(evidence.log_ever[0])
            count += 1
    assert total / count == pytest.approx(1.0)


def test_false_alarms_and_warnings_stay_within_their_bounds():
    """60 streams of 150 frames: a share of alpha = 10 % may alarm, N / (2 x 500) may warn."""
    alarms = warnings = 0
    streams, frames = 60, 150
    for number in range(streams):
        rng = np.random.default_rng(number)
        monitor = monitor_of(
            draw(rng, 40), false_alarm_probability=0.1, warn_run_length=500, seed=number
        )
        states = {monitor.judge(summary_of(row)).state for row in draw(rng, frames)}
        alarms += "alarm" in states
        warnings += bool({"warn", "alarm"} & states)
    # More than this happens to a stream that keeps its bound with probability 1e-3 at most.
    assert alarms <= stats.binom.ppf(0.999, streams, 0.1)
    assert warnings <= stats.binom.ppf(0.999, streams, frames / 1000 + 0.1)


def test_ranking_among_the_fixed_calibration_would_break_the_bound():
    """Why the past grows: the next frame's rank is uniform in the mean over calibrations alone.

    Among one fixed sample the ranks have the sample's gaps as probabilities, and most samples
    make some bet pay more than 1 in the mean: its mean wealth grows without bound.
    """
    rng = np.random.default_rng(5)
    payments = np.exp(log_bets(np.arange(26), 26))
    samples = np.sort(rng.random((20_000, 25)), axis=1)
    gaps = np.diff(samples, axis=1, prepend=0.0, append=1.0)
    means = gaps @ payments
    np.testing.assert_allclose(means.mean(axis=0), 1.0, atol=0.02)
    assert np.mean(means.max(axis=1) > 1.05) > 0.5


@pytest.mark.parametrize(("shift", "soon"), [(3.0, 14), (5.0, 10), (-5.0, 10)])
def test_a_shift_is_found_soon_even_after_a_long_quiet_time(shift, soon):
    delays = []
    for number in range(5):
        rng = np.random.default_rng(number)
        monitor = monitor_of(draw(rng, 100))
        for row in draw(rng, 150):
            assert monitor.judge(summary_of(row)).state == "ok"
        states = [monitor.judge(summary_of(row)).state for row in draw(rng, 60, shift)]
        assert states.index("alarm") >= (states.index("warn") if "warn" in states else 0)
        delays.append(states.index("alarm") + 1)
    assert np.median(delays) <= soon


def test_the_statistic_that_drifted_is_named_with_its_direction():
    rng = np.random.default_rng(1)
    monitor = monitor_of(draw(rng, 100))
    for row in draw(rng, 30):
        row[STATISTICS.index("class_entropy")] -= 8.0
        report = monitor.judge(summary_of(row))
    assert report.state == "alarm"
    (drifted,) = report.drifted
    assert (drifted.name, drifted.direction) == ("class_entropy", "lower")
    assert drifted.value < drifted.calibrated[0] < drifted.calibrated[1]
    assert "class_entropy is lower" in report.message
    assert report.log10_evidence["class_entropy"] >= report.log10_limit


def test_an_alarm_stays_while_the_drift_does_and_ends_some_frames_after_it():
    rng = np.random.default_rng(2)
    monitor = monitor_of(draw(rng, 60))
    for row in draw(rng, 300, 5.0):
        report = monitor.judge(summary_of(row))
    # 300 frames of another domain are not learned to be normal.
    assert report.state == "alarm"
    states = [monitor.judge(summary_of(row)).state for row in draw(rng, 80)]
    assert "alarm" in states[:9]
    assert states[-1] == "ok"
    assert states.index("ok") >= 9
    again = [monitor.judge(summary_of(row)).state for row in draw(rng, 30, 5.0)]
    assert again[-1] == "alarm"


def test_frames_between_the_stated_intervals_are_not_judged():
    rng = np.random.default_rng(3)
    monitor = monitor_of(draw(rng, 30), interval_s=1.0)
    scores = rng.random((16, 16))
    stamps = [0, SECOND // 2, SECOND - 1, SECOND, 3 * SECOND // 2, 2 * SECOND]
    judged = [monitor.update(prediction_of(scores), stamp).judged for stamp in stamps]
    assert judged == [True, False, False, True, False, True]
    # Time went back: waiting begins again.
    assert monitor.update(prediction_of(scores), 0).judged
    assert monitor.update(prediction_of(scores), SECOND).frames == 5


def test_correlated_frames_break_the_bound_and_thinning_mends_it():
    """AR(1) that forgets 2.5 % a frame: every frame of 300, or one of 400 that are e^-10 alike."""
    keep, streams = 0.975, 12
    alarms = {1: 0, 400: 0}
    for number in range(streams):
        rng = np.random.default_rng(number)
        noise = rng.standard_normal(24_000) * math.sqrt(1 - keep**2)
        noise[0] /= math.sqrt(1 - keep**2)
        series = signal.lfilter([1.0], [1.0, -keep], noise)
        for step in alarms:
            rows = np.random.default_rng(number).standard_normal(40)
            monitor = monitor_of(np.repeat(rows[:, None], len(STATISTICS), 1))
            values = series[::step][:300]
            rows = [np.full(len(STATISTICS), value) for value in values]
            alarms[step] += "alarm" in {monitor.judge(summary_of(row)).state for row in rows}
    assert alarms[1] >= 6
    assert alarms[400] <= 1


def test_reset_forgets_everything():
    rng = np.random.default_rng(4)
    monitor = monitor_of(draw(rng, 50))
    stream = [summary_of(row) for row in draw(rng, 30, 4.0)]
    first = [monitor.judge(each) for each in stream]
    monitor.reset()
    second = [monitor.judge(each) for each in stream]
    assert first[-1].state == "alarm"
    assert [dataclasses.asdict(a) for a in first] == [dataclasses.asdict(b) for b in second]


def test_memory_is_bounded_and_later_runs_spend_less_of_alpha():
    rng = np.random.default_rng(6)
    monitor = monitor_of(draw(rng, 25), max_history=50, false_alarm_probability=0.01)
    limits = {monitor.judge(summary_of(row)).log10_limit for row in draw(rng, 160)}
    assert max(column.size for column in monitor._past) <= 75
    spent = [len(STATISTICS) / 10**limit for limit in sorted(limits)]
    np.testing.assert_allclose(spent, [0.01 / (k * (k + 1)) for k in (1, 2, 3, 4)])


def test_a_statistic_that_cannot_be_computed_is_drift_only_if_that_is_new():
    rng = np.random.default_rng(7)
    known, stream = draw(rng, 60), draw(rng, 60)
    stream[:, 0] = math.nan
    monitor = monitor_of(known)
    reports = [monitor.judge(summary_of(row)) for row in stream]
    assert reports[-1].state == "alarm"
    assert [each.name for each in reports[-1].drifted] == [STATISTICS[0]]
    known[:, 0] = math.nan
    monitor = monitor_of(known)
    assert {monitor.judge(summary_of(row)).state for row in stream} == {"ok"}


values = st.one_of(
    st.floats(-10, 10), st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf, 1e300])
)
rows = st.lists(values, min_size=len(STATISTICS), max_size=len(STATISTICS))


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, min_size=20, max_size=24), st.lists(rows, max_size=20))
def test_streams_and_references_of_any_numbers_give_reports_without_nan(reference, stream):
    monitor = monitor_of(reference)
    for number, row in enumerate(stream):
        report = monitor.judge(summary_of(row))
        assert report.frames == number + 1
        assert not any(math.isnan(value) for value in report.log10_evidence.values())
        assert report.message
        assert bool(report.drifted) == (report.state != "ok")


@settings(max_examples=30, deadline=None)
@given(st.lists(rows, min_size=20, max_size=24), st.floats(0, 1))
def test_a_reference_survives_json(reference, threshold):
    known = DriftReference(np.array(reference), threshold)
    read = DriftReference.from_json(json.loads(known.to_text()))
    finite = np.where(np.isinf(known.values), np.nan, known.values)
    np.testing.assert_array_equal(read.values, finite)
    assert read.threshold == threshold


def wrong_references():
    good = DriftReference(np.zeros((20, len(STATISTICS))), 0.5).to_json()
    frames = good["frames"]
    yield {**good, "format_version": 2}
    yield {**good, "threshold": "high"}
    yield {**good, "threshold": 1.5}
    yield {**good, "threshold": None}
    yield {**good, "frames": None}
    yield {**good, "frames": {**frames, "other": [0.0] * 20}}
    yield {**good, "frames": {**frames, STATISTICS[0]: [0.0] * 19}}
    yield {**good, "frames": {**frames, STATISTICS[0]: ["a"] * 20}}
    yield {**good, "frames": {**frames, STATISTICS[0]: [10**400] * 20}}
    yield {**good, "frames": {**frames, STATISTICS[0]: 3}}
    yield {**good, "frames": {name: [0.0] * 19 for name in frames}}
    yield {}


@pytest.mark.parametrize("content", wrong_references())
def test_references_that_cannot_be_used_are_refused(content):
    with pytest.raises(DriftReferenceError):
        DriftReference.from_json(content)


def test_a_summary_is_what_numpy_and_scipy_say_of_the_sampled_pixels():
    rng = np.random.default_rng(8)
    anomaly = rng.random((64, 96)).astype(np.float32)
    nearest = rng.integers(0, 5, (64, 96)).astype(np.uint8)
    found = summarise(prediction_of(anomaly, nearest, threshold=0.3), threshold=0.8)
    some, classes = anomaly[::4, ::4], nearest[::4, ::4]
    assert found.score_median == pytest.approx(np.median(some))
    assert found.score_q90 == pytest.approx(np.percentile(some, 90))
    assert found.score_q99 == pytest.approx(np.percentile(some, 99))
    assert found.unknown_share == pytest.approx((some > 0.8).mean())
    assert found.class_entropy == pytest.approx(stats.entropy(np.bincount(classes.ravel())))


@pytest.mark.parametrize(
    "changes",
    [
        {"false_alarm_probability": 0.0},
        {"false_alarm_probability": 1.0},
        {"warn_run_length": 0},
        {"max_history": 0},
        {"recovery_frames": 0},
        {"interval_s": -1.0},
        {"interval_s": math.inf},
    ],
)
def test_impossible_configurations_are_refused(changes):
    with pytest.raises(ValueError):
        DriftConfig(**changes)
