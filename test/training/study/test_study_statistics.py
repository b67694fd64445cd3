"""Tests and intervals of the study: closed cases, brute force, SciPy and simulation."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from made_study import CONTROL, SCORES, make_arm, make_result
from scipy import stats

from open_set_seg.metrics.bootstrap import Interval, resampled_interval
from training.study.results.collection import ENDPOINTS, Study
from training.study.results.files import ProbeImages
from training.study.results.plan import Ordering, Plan
from training.study.results.reading import ResultError
from training.study.verdicts.aims import list_aims
from training.study.verdicts.differences import (
    best_score,
    compare,
    extra_jump,
    mean_interval,
    noise_gains,
)
from training.study.verdicts.margins import Margin, closed_set_margin, student_quantile
from training.study.verdicts.wording import (
    difference_verdict,
    margin_verdict,
    noise_verdict,
    ordering_verdict,
)

PLAN = Plan(frozen={"config_sha256": "ab" * 32})
BETTER = (0.20, 0.25, 0.45, 0.15)


def study_of(families="sealed", **arms):
    return Study(families, arms)


def same_seeds(arm, endpoints, seeds=8, **changes):
    """An arm whose seeds are all alike."""
    return {seed: make_result(arm, seed, endpoints, **changes) for seed in range(seeds)}


def test_two_equal_arms_differ_in_nothing():
    study = study_of(nflowjs=make_arm("equal"), likelihood_only=make_arm("equal"))
    for one in compare(study, PLAN, "likelihood_only").differences:
        assert (one.p, one.corrected) == (1, 1)
        assert (one.interval.low, one.interval.estimate, one.interval.high) == (0, 0, 0)
        assert not one.is_significant(PLAN.level)
        assert one.better_seeds == 0


def test_a_constant_shift_with_eight_seeds_has_the_smallest_p_and_no_width():
    study = study_of(nflowjs=same_seeds("nflowjs", BETTER), fractal_noise=same_seeds("n", CONTROL))
    comparison = compare(study, PLAN, "fractal_noise")
    assert comparison.confirmatory
    shifts = np.subtract(BETTER, CONTROL)
    for one, shift in zip(comparison.differences, shifts, strict=True):
        assert one.p == 2 / 256
        assert one.corrected == pytest.approx(4 * 2 / 256)
        # The images' part is shared by both arms and falls out of the difference.
        limits = (one.interval.low, one.interval.estimate, one.interval.high)
        assert limits == pytest.approx((shift,) * 3, abs=2e-6)
        assert one.gain == pytest.approx(abs(shift))
        assert one.better_seeds == 8
        assert one.is_significant(PLAN.level)


def test_differences_are_those_of_a_slow_reckoning():
    study = study_of(nflowjs=make_arm("nflowjs", BETTER), likelihood_only=make_arm("l", CONTROL))
    comparison = compare(study, PLAN, "likelihood_only")
    p_values = []
    for one in comparison.differences:
        metric, region = one.endpoint.metric, one.endpoint.region
        pairs = []
        for seed in range(8):
            ours, theirs = (
                getattr(study.arms[arm][seed].measured.scores["jsd"][region], metric)
                for arm in ("nflowjs", "likelihood_only")
            )
            pairs.append(ours - theirs)
        assert one.by_seed == pytest.approx(pairs)
        flips = [abs(np.dot(signs, pairs)) for signs in itertools.product((1, -1), repeat=8)]
        p_values.append(np.mean(np.array(flips) >= abs(sum(pairs)) - 1e-12))
        assert one.p == p_values[-1]
    order = np.argsort(p_values, kind="stable")
    bars = [0.0] * 4
    for rank, place in enumerate(order):
        before = [bars[other] for other in order[:rank]]
        bars[place] = max([*before, min(1.0, (4 - rank) * p_values[place])])
    assert [one.corrected for one in comparison.differences] == pytest.approx(bars)


def test_the_control_is_taken_with_its_best_score_for_each_endpoint():
    control = make_arm("control")
    # max_logit gets the better AP on the road in the mean, though not in every seed.
    for seed, result in control.items():
        scores = dict(result.measured.scores)
        road = scores["max_logit"]["road"]
        raised = dataclasses.replace(road, AP=0.9 if seed else 0.0)
        scores["max_logit"] = scores["max_logit"] | {"road": raised}
        measured = dataclasses.replace(result.measured, scores=scores)
        control[seed] = dataclasses.replace(result, measured=measured)
    study = study_of(nflowjs=make_arm("nflowjs", BETTER), control=control)
    chosen = [best_score(study, "control", one, range(8)) for one in ENDPOINTS]
    assert chosen == ["jsd", "jsd", "max_logit", "jsd"]
    for one in compare(study, PLAN, "control").differences:
        by_hand = {
            score: np.mean([
                getattr(control[seed].measured.scores[score][one.endpoint.region],
                        one.endpoint.metric)
                for seed in range(8)
            ])
            for score in SCORES
        }  # fmt: skip
        pick = min if one.endpoint.metric == "FPR95" else max
        assert one.theirs_score == pick(by_hand, key=by_hand.get)
        assert one.ours_score == "jsd"
    # No other arm gets that.
    study = study_of(nflowjs=make_arm("nflowjs", BETTER), fractal_noise=control)
    scores = [one.theirs_score for one in compare(study, PLAN, "fractal_noise").differences]
    assert scores == ["jsd"] * 4


def test_scores_without_resamples_are_no_candidates():
    control = make_arm("control")
    for seed, result in control.items():
        scores = result.measured.scores
        perfect = dataclasses.replace(scores["jsd"]["whole"], AP=1.0, FPR95=0.0)
        extended = {**scores, "sml": {"whole": perfect, "road": perfect}}
        measured = dataclasses.replace(result.measured, scores=extended)
        control[seed] = dataclasses.replace(result, measured=measured)
    study = study_of(control=control)
    assert "sml" in study.scores("control")
    assert best_score(study, "control", ENDPOINTS[0], range(8)) == "jsd"


def test_only_shared_seeds_are_compared():
    ours = make_arm("nflowjs", BETTER)
    study = study_of(nflowjs=ours, likelihood_only=make_arm("l", seeds=5))
    comparison = compare(study, PLAN, "likelihood_only")
    assert comparison.seeds == (0, 1, 2, 3, 4)
    assert not comparison.confirmatory
    assert all(one.p >= 2 / 2**5 for one in comparison.differences)
    assert compare(study, PLAN, "fractal_noise") is None
    with pytest.raises(ResultError, match="nflowjs: not every seed has resamples of 'kl'"):
        compare(study, dataclasses.replace(PLAN, score="kl"), "likelihood_only")


def test_development_families_confirm_nothing():
    arms = {"nflowjs": make_arm("nflowjs", BETTER), "likelihood_only": make_arm("l")}
    assert not compare(study_of("development", **arms), PLAN, "likelihood_only").confirmatory
    assert compare(study_of("sealed", **arms), PLAN, "likelihood_only").confirmatory


def test_what_was_not_frozen_confirms_nothing():
    arms = {"nflowjs": make_arm("nflowjs", BETTER), "likelihood_only": make_arm("l")}
    for frozen in ({}, {"config_sha256": "cd" * 32}):
        plan = dataclasses.replace(PLAN, frozen=frozen)
        assert not compare(study_of(**arms), plan, "likelihood_only").confirmatory


def test_an_interval_is_that_of_all_draws_of_seeds_and_images():
    figures = np.array([0.1, 0.4, 0.9])
    resampled = figures[:, None] + np.array([[0.0, 0.2, -0.1, 0.05]] * 3)
    resampled[2, 1] = 0.3
    # Two of three seeds in order, with every column: 9 x 4 equally likely means.
    means = [
        (resampled[one, column] + resampled[two, column]) / 2
        for column in range(4)
        for one, two in itertools.product(range(3), repeat=2)
    ]
    found = resampled_interval(figures, resampled, repeats=20_000, level=0.7)
    assert found.estimate == pytest.approx(figures.mean())
    exact = np.quantile(means, [0.15, 0.85])
    assert (found.low, found.high) == pytest.approx(exact, abs=0.011)
    assert found.resamples == 80_000


def test_seeds_vary_as_their_mean_does():
    figures = np.random.default_rng(0).normal(size=8)
    still = np.repeat(figures[:, None], 50, axis=1)
    found = resampled_interval(figures, still, repeats=2000, level=0.6826895)
    # Half of the inner 68 % is about one standard error, s / sqrt(8); with eight drawn seeds it
    # would be 6.5 % less.
    error = figures.std(ddof=1) / math.sqrt(8)
    assert (found.high - found.low) / 2 == pytest.approx(error, rel=0.03)


def test_intervals_of_constant_lists_have_no_width():
    found = resampled_interval(np.full(5, 0.3), np.full((5, 30), 0.3))
    assert (found.low, found.high) == pytest.approx((0.3, 0.3))
    alone = resampled_interval(np.array([0.2]), np.array([[0.1, 0.3, 0.2]]), level=0.5)
    assert (alone.estimate, alone.low, alone.high) == pytest.approx((0.2, 0.1, 0.3), abs=0.06)


@pytest.mark.parametrize(
    ("figures", "resampled"),
    [((3,), (2, 5)), ((3,), (3,)), ((3, 1), (3, 5)), ((0,), (0, 5)), ((3,), (3, 0))],
)
def test_shapes_that_do_not_belong_together_are_refused(figures, resampled):
    with pytest.raises(ValueError, match=r"of seeds|seeds: at least"):
        resampled_interval(np.zeros(figures), np.zeros(resampled))


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    random = np.random.default_rng(3)
    seeds, images, draws, trials = 8, 60, 100, 300
    hits = 0
    for _ in range(trials):
        table = random.normal(size=(seeds, 1)) + 4 * random.normal(size=(1, images))
        table = table + 2 * random.normal(size=(seeds, images))
        weights = random.multinomial(images, np.full(images, 1 / images), size=draws)
        found = resampled_interval(table.mean(axis=1), table @ weights.T / images, repeats=3)
        hits += found.low <= 0 <= found.high
    # 95 % is promised; the binomial spread of 300 trials is 1.3 points.
    assert 0.89 <= hits / trials <= 0.985


def test_the_mean_of_an_arm_has_the_interval_of_its_own_resamples():
    study = study_of(nflowjs=same_seeds("nflowjs", BETTER, spread=0.02))
    found = mean_interval(study, PLAN, "nflowjs", "jsd", ENDPOINTS[0])
    kept = study.arms["nflowjs"][0].measured.resampled.scores["jsd"]["whole"]["AP"]
    limits = np.quantile(kept, [0.025, 0.975])
    assert found.estimate == pytest.approx(0.20)
    assert (found.low, found.high) == pytest.approx(limits, abs=1e-3)


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 30, 200])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.95, 0.975, 0.999])
def test_students_quantile_is_scipys(share, freedom):
    expected = stats.t.ppf(share, freedom)
    assert student_quantile(share, freedom) == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(("share", "freedom"), [(0, 3), (1, 3), (0.5, 0)])
def test_students_quantile_refuses_what_has_none(share, freedom):
    with pytest.raises(ValueError, match="Student"):
        student_quantile(share, freedom)


def made_margin(shifts, **changes):
    ours = {s: make_result("nflowjs", s, mIoU=0.6 + d) for s, d in enumerate(shifts)}
    control = {s: make_result("control", s, mIoU=0.6) for s in range(len(shifts))}
    study = study_of(nflowjs=ours, control=control, **changes)
    return study, closed_set_margin(study, PLAN, "nflowjs")


def test_the_lower_limit_of_known_classes_is_scipys():
    shifts = [-0.002, 0.001, -0.003, 0.0, -0.001, 0.002, -0.002, -0.001]
    _, found = made_margin(shifts)
    test = stats.ttest_1samp(shifts, 0.0, alternative="greater")
    assert found.low_t == pytest.approx(test.confidence_interval(0.95).low)
    upper = stats.ttest_1samp(shifts, 0.0, alternative="less").confidence_interval(0.95).high
    assert found.high_t == pytest.approx(upper)
    assert found.mean == pytest.approx(np.mean(shifts))
    # Images fall out of the difference, so the bootstrap draws seven of the eight shifts.
    drawn = np.random.default_rng(0).choice(shifts, (200_000, 7)).mean(axis=1)
    assert found.low == pytest.approx(np.quantile(drawn, 0.05), abs=2e-4)
    assert found.high == pytest.approx(np.quantile(drawn, 0.95), abs=2e-4)


@pytest.mark.parametrize(
    ("centre", "holds", "broken", "words"),
    [
        (-0.001, True, False, "**not worse by 0.5 points or more**"),
        (-0.005, False, False, "**not shown to be within 0.5 points**"),
        (-0.020, False, True, "**worse by more than 0.5 points**"),
    ],
)
def test_the_margin_is_judged_by_both_limits(centre, holds, broken, words):
    study, found = made_margin([centre + 0.001 * (-1) ** seed for seed in range(8)])
    assert (found.holds, found.is_broken) == (holds, broken)
    assert words in margin_verdict(study, PLAN, found)


def test_either_limit_alone_does_not_carry_the_margin():
    limits = {"high_t": 0.0, "high": 0.0, "margin": 0.005}
    assert Margin("a", (0.0,) * 8, low_t=-0.004, low=-0.004, **limits).holds
    assert not Margin("a", (0.0,) * 8, low_t=-0.006, low=-0.004, **limits).holds
    assert not Margin("a", (0.0,) * 8, low_t=-0.004, low=-0.006, **limits).holds


def test_one_seed_or_few_give_no_verdict_on_known_classes():
    study, found = made_margin([0.001])
    assert math.isnan(found.low_t)
    assert not found.holds
    assert not found.is_broken
    assert "no verdict" in margin_verdict(study, PLAN, found)
    study, found = made_margin([0.001, 0.0015, 0.001])
    assert "exploratory: not worse" in margin_verdict(study, PLAN, found)
    assert closed_set_margin(study, PLAN, "gan") is None


def with_probe(result, before, after):
    images = ProbeImages(tuple(before), tuple(after))
    return dataclasses.replace(result, probe=dataclasses.replace(result.probe, images=images))


def test_the_extra_jump_is_that_of_a_slow_reckoning():
    random = np.random.default_rng(1)
    tables = {}
    for arm in ("nflowjs", "control"):
        tables[arm] = random.random((3, 2, 20))
        tables[arm][1, 1, 4] = math.nan  # an image without a place
    study = study_of(**{
        arm: {s: with_probe(make_result(arm, s), *table[s].tolist()) for s in range(3)}
        for arm, table in tables.items()
    })  # fmt: skip
    found = extra_jump(study, PLAN, "nflowjs")
    sums = []
    for seed in range(3):
        images = []
        for image in range(20):
            jumps = [
                tables[arm][seed][1][image] - tables[arm][seed][0][image]
                for arm in ("nflowjs", "control")
            ]
            if not math.isnan(jumps[0] - jumps[1]):
                images.append(jumps[0] - jumps[1])
        sums.append(np.mean(images))
    assert found.estimate == pytest.approx(np.mean(sums))
    assert found.low < found.estimate < found.high
    assert extra_jump(study, PLAN, "gan") is None


def test_a_constant_extra_jump_has_no_width():
    arms = {"nflowjs": make_arm("nflowjs", jump=0.15), "control": make_arm("control", jump=0.1)}
    found = extra_jump(study_of(**arms), PLAN, "nflowjs")
    assert (found.low, found.estimate, found.high) == pytest.approx((0.05,) * 3)
    unprobed = {0: make_result("nflowjs", probe=None)}
    assert extra_jump(study_of(nflowjs=unprobed, control=make_arm("c")), PLAN, "nflowjs") is None


def test_noise_is_better_where_it_is_and_nowhere_else():
    noise = (BETTER[0], BETTER[1], BETTER[2] + 0.1, BETTER[3])
    arms = {"nflowjs": make_arm("nflowjs", BETTER), "fractal_noise": make_arm("noise", noise)}
    study = study_of(**arms)
    gains = noise_gains(study, PLAN)
    assert gains == (ENDPOINTS[2],)
    assert "significantly better than Nflowjs in: **road AP**" in noise_verdict(study, PLAN, gains)
    worse = study_of(nflowjs=arms["fractal_noise"], fractal_noise=arms["nflowjs"])
    assert noise_gains(worse, PLAN) == ()
    assert "in no endpoint" in noise_verdict(worse, PLAN, ())
    assert noise_gains(study_of(nflowjs=arms["nflowjs"]), PLAN) is None


def test_words_follow_the_evidence():
    arms = {"nflowjs": make_arm("nflowjs", BETTER), "likelihood_only": make_arm("l", CONTROL)}

    def verdicts(study):
        comparison = compare(study, PLAN, "likelihood_only")
        return [difference_verdict(PLAN, comparison, one) for one in comparison.differences]

    def mean_shift(place):
        values = [study_of(**arms).values(arm, range(8), "jsd", ENDPOINTS[place]) for arm in arms]
        return f"{100 * abs(np.mean(values[0]) - np.mean(values[1])):.1f}"

    found = verdicts(study_of(**arms))
    assert found[0].startswith(f"improves whole-image AP by {mean_shift(0)} points [")
    assert found[0].endswith("] on the synthetic benchmark, sealed families")
    # A lower FPR95 is told by a positive amount, the smaller limit first.
    assert found[3].startswith("lowers road FPR95 by ")
    size, low, high = (
        float(one) for one in
        found[3].removeprefix("lowers road FPR95 by ").split("]")[0]
        .replace(" points [", ", ").split(", ")
    )  # fmt: skip
    assert 0 < low < size < high
    assert f"{size:.1f}" == mean_shift(3)

    worse = verdicts(study_of(nflowjs=arms["likelihood_only"], likelihood_only=arms["nflowjs"]))
    assert worse[0].startswith(f"worsens (lowers) whole-image AP by {mean_shift(0)} points")
    assert worse[1].startswith("worsens (raises) whole-image FPR95 by ")

    equal = verdicts(study_of(nflowjs=arms["nflowjs"], likelihood_only=make_arm("x", BETTER)))
    assert equal[2] == "shows no road AP difference"

    few = {arm: {seed: seeds[seed] for seed in range(7)} for arm, seeds in arms.items()}
    for study in (study_of(**few), study_of("development", **arms)):
        for text in verdicts(study):
            assert text.startswith("exploratory: ")
            assert "no claim" in text
            assert "improves" not in text


def test_a_difference_needs_both_p_and_interval():
    study = study_of(nflowjs=make_arm("nflowjs", BETTER), likelihood_only=make_arm("l", CONTROL))
    one = compare(study, PLAN, "likelihood_only").differences[0]
    assert one.is_significant(0.05)
    assert not dataclasses.replace(one, corrected=0.051).is_significant(0.05)
    around = Interval(0.1, -0.01, 0.2, 0.95, 400)
    assert not dataclasses.replace(one, interval=around).is_significant(0.05)


def test_orderings_are_told_by_direction():
    arms = {"nflowjs": make_arm("nflowjs", BETTER, seeds=3), "gan": make_arm("gan", seeds=3)}
    study = study_of(**arms)
    told = ordering_verdict(study, PLAN, Ordering("nflowjs", "gan", "table 8"))
    assert told == "same ordering as table 8 in all 4 endpoints"
    told = ordering_verdict(study, PLAN, Ordering("gan", "nflowjs", "table 8"))
    assert told == "not the ordering of table 8 in any endpoint"
    mixed = (BETTER[0], 0.9, BETTER[2], BETTER[3])
    study = study_of(nflowjs=make_arm("nflowjs", mixed, seeds=3), gan=arms["gan"])
    told = ordering_verdict(study, PLAN, Ordering("nflowjs", "gan", "table 8"))
    assert told.startswith("same ordering as table 8 in whole-image AP, road AP, road FPR95")
    assert told.endswith("not in whole-image FPR95")
    same_arm = Ordering("gan", "gan", "table 8", "jsd", "msp")
    assert "all 4" in ordering_verdict(study, PLAN, same_arm)
    assert ordering_verdict(study, PLAN, Ordering("nflowjs", "vos", "table 8")) is None


def test_aims_are_met_or_missed_by_what_lacks():
    ours = (0.12, 0.30, 0.45, 0.21)
    arms = {
        "nflowjs": same_seeds("nflowjs", ours, mIoU=0.597),
        "control": same_seeds("control", CONTROL),
        "fractal_noise": same_seeds("fractal_noise", CONTROL),
    }
    ap, fpr95, road, closed, noise = list_aims(study_of(**arms), PLAN)
    assert (ap.needed, ap.reached, ap.missed_by) == pytest.approx((0.15, 0.12, 0.03))
    assert (fpr95.needed, fpr95.reached) == pytest.approx((0.275, 0.30))
    assert fpr95.missed_by == pytest.approx(0.025)
    assert (road.needed, road.missed_by) == pytest.approx((0.20, 0.01))
    assert (closed.reached, closed.missed_by) == pytest.approx((-0.003, 0))
    assert (noise.reached, noise.missed_by) == (0, 0)
    arms["nflowjs"] = same_seeds("nflowjs", (0.16, 0.20, 0.20, 0.15), mIoU=0.59)
    ap, fpr95, road, closed, noise = list_aims(study_of(**arms), PLAN)
    assert ap.missed_by == fpr95.missed_by == road.missed_by == 0
    assert closed.missed_by == pytest.approx(0.005)
    assert noise.missed_by == 1  # noise has the better AP on the road
    assert not any(one.known for one in list_aims(study_of(control=arms["control"]), PLAN))
