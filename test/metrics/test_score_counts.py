"""Score counts: exact, and the same to the last bit however the work is split and stored."""

import math
import tracemalloc

import numpy as np
import pytest
from golden_frames import golden_frames
from hypothesis import given, settings
from hypothesis import strategies as st
from score_storage import MEMORY, storage
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from open_set_seg.metrics import PixelRule, ScoreCounts
from open_set_seg.metrics.score_counts import archive, store, table
from open_set_seg.metrics.score_counts.curve import accumulate, curve_metrics
from open_set_seg.metrics.score_counts.keys import decode, encode, narrow, widen

POINTS = ("at_least", "above", "above_thinned", "closest")
KINDS = sorted(MEMORY)

problems = st.tuples(
    st.integers(0, 2**32 - 1),  # seed
    st.sampled_from([2, 5, 50, 10**6]),  # levels
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.sampled_from([0.05, 0.3, 0.9]),  # share of outliers
)


def pixels(problem, count=150):
    """Scores with ties, of all signs, and labels with both classes."""
    seed, levels, dtype, share = problem
    generator = np.random.default_rng(seed)
    labels = (generator.random(count) < share).astype(np.uint8)
    labels[generator.random(count) < 0.2] = 255
    labels[:2] = 0, 1
    scores = generator.integers(-levels, levels + 1, count) * 7 / levels
    scores += generator.choice([0.0, 2.0]) * (labels == 1)
    return scores.astype(dtype), labels


def count(scores, labels, make=ScoreCounts):
    counts = make()
    counts.add(scores, labels)
    return counts


def every_figure(counts):
    """All that can be asked, as text: equal only if equal to the last bit."""
    curve = counts.curve(20)
    rules = [PixelRule(operating_point=point, tpr=tpr) for point in POINTS for tpr in (0.95, 0.5)]
    figures = [
        [counts.metrics(rule) for rule in rules],
        [counts.threshold_at_tpr(0.8), counts.threshold_at_tpr(0.8, strict=True)],
        [counts.threshold_at_fpr(0.1), counts.outliers, counts.inliers, counts.range()],
        [part.tolist() for part in counts.histogram([-8, -1, 0, 2.5, 9])],
        [curve.thresholds.tolist(), curve.true_positives.tolist(), curve.false_positives.tolist()],
    ]
    return repr(figures)


def scikit_learn_fpr(scores, labels, point, tpr):
    counted = labels != 255
    fprs, tprs, _ = roc_curve(
        labels[counted], scores[counted], drop_intermediate=point == "above_thinned"
    )
    reached = tprs >= tpr - 1e-12 if point == "at_least" else tprs > tpr + 1e-12
    return fprs[np.argmax(reached)]


def fpr_of_closest(scores, labels, tpr):
    """The rule of hendrycks/anomaly-seg by trying every threshold from the lowest up.

    Thresholds below the highest one that already finds all outliers do not count, and of equally
    close ones the first stays.
    """
    outliers, inliers = scores[labels == 1], scores[labels == 0]
    best, result = math.inf, None
    for threshold in np.unique(scores[labels != 255]):
        if threshold < outliers.min():
            continue
        recall = np.count_nonzero(outliers >= threshold) / outliers.size
        if abs(recall - tpr) < best:
            best = abs(recall - tpr)
            result = np.count_nonzero(inliers >= threshold) / inliers.size
    return result


@settings(max_examples=80, deadline=None)
@given(problems, st.sampled_from([0.95, 0.5, 0.9, 0.25]), st.sampled_from(KINDS))
def test_every_operating_point_agrees_with_an_oracle(problem, tpr, kind):
    scores, labels = pixels(problem)
    with storage(kind) as make:
        counts = count(scores, labels, make)
        for point in POINTS:
            found = counts.metrics(PixelRule(operating_point=point, tpr=tpr))["FPR95"]
            if point == "closest":
                expected = fpr_of_closest(scores, labels, tpr)
            else:
                expected = scikit_learn_fpr(scores, labels, point, tpr)
            assert found == pytest.approx(expected, abs=1e-12), point


@settings(max_examples=60, deadline=None)
@given(problems, st.sampled_from(KINDS))
def test_areas_agree_with_scikit_learn_whatever_the_storage(problem, kind):
    scores, labels = pixels(problem)
    counted = labels != 255
    with storage(kind) as make:
        metrics = count(scores, labels, make).metrics()
    truth = labels[counted], scores[counted]
    assert metrics["AP"] == pytest.approx(average_precision_score(*truth), abs=1e-12)
    assert metrics["AUROC"] == pytest.approx(roc_auc_score(*truth), abs=1e-12)


def test_the_rules_differ_where_they_should():
    # 20 outliers: 19 above the first inliers, the last one below five of them. So TPR 0.95 is
    # reached with no false positive, and passed with five; a straight piece follows.
    scores = np.array([*range(40, 21, -1), 20, 19, 18, 17, 16, 15, 14, 13], np.float32)
    labels = np.array([1] * 19 + [0] * 5 + [1] + [0] * 2, np.uint8)
    counts = count(scores, labels)
    fprs = {p: counts.metrics(PixelRule(operating_point=p))["FPR95"] * 7 for p in POINTS}
    # Of the points with TPR 0.95, five false positives are the most.
    assert fprs == {"at_least": 0, "above": 5, "above_thinned": 5, "closest": 5}


def test_a_point_on_a_straight_piece_of_the_curve_is_thinned_out():
    # Every threshold finds one outlier and no inlier, until the last finds the inlier.
    scores = np.arange(41, 0, -1, dtype=np.float32)
    labels = np.array([1] * 40 + [0], np.uint8)
    counts = count(scores, labels)
    assert counts.metrics(PixelRule(operating_point="above"))["FPR95"] == 0
    assert counts.metrics(PixelRule(operating_point="above_thinned"))["FPR95"] == 0
    # Every threshold finds one of each: of this line only the ends are kept.
    scores = np.repeat(np.arange(40, 0, -1, dtype=np.float32), 2)
    labels = np.tile(np.array([0, 1], np.uint8), 40)
    counts = count(scores, labels)
    assert counts.metrics(PixelRule(operating_point="above"))["FPR95"] == 39 / 40
    assert counts.metrics(PixelRule(operating_point="above_thinned"))["FPR95"] == 1
    # The first end is kept too.
    rule = PixelRule(operating_point="above_thinned", tpr=0.01)
    assert counts.metrics(rule)["FPR95"] == 1 / 40


def test_of_equal_f1_the_highest_threshold_counts_wherever_the_curve_is_cut():
    # F1 = 2/3 with one of two outliers, and with both and two inliers.
    steps = [(1.0, 1, 0), (0.5, 1, 2), (0.25, 0, 5)]
    rows = [[np.array([value]) for value in step] for step in steps]
    whole = [tuple(np.concatenate(column) for column in zip(*rows, strict=True))]
    for cut in (rows, whole):
        metrics = curve_metrics(accumulate(cut), 2, 7, PixelRule())
        assert metrics["best_F1"] == pytest.approx(2 / 3)
        assert metrics["best_F1_threshold"] == 1.0


def test_a_straight_piece_of_the_curve_may_be_cut():
    steps = [tuple(np.array([value]) for value in (-float(i), 1, 1)) for i in range(40)]
    rule = PixelRule(operating_point="above_thinned", tpr=0.3)
    assert curve_metrics(accumulate(steps), 40, 40, rule)["FPR95"] == 1


@settings(max_examples=40, deadline=None)
@given(problems, st.sampled_from(POINTS), st.sampled_from([0.95, 0.5, 0.25]))
def test_cutting_the_curve_into_points_changes_nothing(problem, point, tpr):
    counts = count(*pixels(problem))
    rule = PixelRule(operating_point=point, tpr=tpr)
    steps = [
        tuple(column[index : index + 1] for column in (piece.scores, piece.outliers, piece.inliers))
        for piece in counts._pieces()
        for index in range(piece.scores.size)
    ]
    metrics = curve_metrics(accumulate(steps), counts.outliers, counts.inliers, rule)
    assert metrics == counts.metrics(rule)


MAPS = {
    "halved": lambda scores: scores * scores.dtype.type(0.5),
    "widened": lambda scores: scores.astype(np.float64),
    "ranks": lambda scores: np.unique(scores, return_inverse=True)[1].astype(np.float32),
    "spread": lambda scores: np.exp2(np.unique(scores, return_inverse=True)[1].astype(np.float64)),
}


@settings(max_examples=40, deadline=None)
@given(problems, st.sampled_from(sorted(MAPS)), st.sampled_from(POINTS), st.sampled_from(KINDS))
def test_a_strictly_increasing_map_of_the_scores_changes_nothing(problem, name, point, kind):
    scores, labels = pixels(problem)
    mapped = MAPS[name](scores).reshape(scores.shape)
    rule = PixelRule(operating_point=point)
    expected = count(scores, labels).metrics(rule)
    with storage(kind) as make:
        metrics = count(mapped, labels, make).metrics(rule)
    at = np.flatnonzero(scores == expected.pop("best_F1_threshold"))[0]
    assert metrics.pop("best_F1_threshold") == mapped[at]
    assert metrics == expected


@settings(max_examples=30, deadline=None)
@given(problems, st.data())
def test_any_split_order_and_storage_gives_the_same_to_the_last_bit(
    tmp_path_factory, problem, data
):
    scores, labels = pixels(problem)
    expected = every_figure(count(scores, labels))
    order = np.random.default_rng(problem[0]).permutation(scores.size)
    # Void pixels may hold anything, and come and go.
    scores = np.append(scores[order], np.full(9, np.nan, scores.dtype))
    labels = np.append(labels[order], np.full(9, 255, np.uint8))
    cuts = sorted(data.draw(st.lists(st.integers(0, scores.size), max_size=8)))
    parts = list(zip(np.split(scores, cuts), np.split(labels, cuts), strict=True))
    with storage(data.draw(st.sampled_from(KINDS))) as make:
        accumulators = [make() for _ in range(data.draw(st.integers(1, 3)))]
        for part in parts:
            index = data.draw(st.integers(0, len(accumulators) - 1))
            accumulators[index].add(*part)
            if data.draw(st.booleans()):
                folder = tmp_path_factory.mktemp("counts")
                accumulators[index].save(folder)
                if data.draw(st.booleans()):
                    accumulators[index] = ScoreCounts.load(folder, make()._store._limit)
        merged = accumulators[0]
        for other in accumulators[1:]:
            merged.merge(other)
        assert every_figure(merged) == expected
        assert every_figure(merged) == expected  # asking changes nothing


def test_pages_and_scratch_files_are_really_used():
    scores = np.random.default_rng(0).random(4000, dtype=np.float32)
    labels = (scores > 0.7).astype(np.uint8)
    with storage("paged") as make:
        counts = make()
        for _ in range(2):
            counts.add(scores, labels)
        assert counts._store._table.run(0).size > 500
    with storage("spilled") as make:
        counts = count(scores, labels, make)
        runs = [run for _, run in counts._store._all_runs()]
        assert runs
        assert not any(run.memory for run in runs)


def test_runs_in_files_stay_when_those_in_memory_are_added_up():
    scores, labels = np.arange(2000, dtype=np.float32), np.tile(np.array([0, 1], np.uint8), 1000)
    frames = [(scores, labels)] + [(scores[i : i + 4] + 0.5, labels[:4]) for i in range(20)]
    with storage("spilled"):
        counts = ScoreCounts(memory_limit=4000)
        for frame in frames:
            counts.add(*frame)
            counts.range()  # counts what is pending
        runs = [run for _, run in counts._store._all_runs()]
        assert any(run.memory for run in runs)
        assert not all(run.memory for run in runs)
        whole = count(*(np.concatenate(part) for part in zip(*frames, strict=True)))
        assert every_figure(counts) == every_figure(whole)


def test_counts_outgrow_their_type_when_files_are_added_up():
    labels = np.repeat(np.array([0, 1], np.uint8), 10)
    with storage("spilled") as make:
        counts = make()
        for _ in range(60):
            counts.add(np.full(20, 0.25), labels)
        assert counts.histogram([0, 1])[0].tolist() == [600]


@pytest.mark.parametrize("kind", ["paged", "spilled"])
def test_every_place_of_a_run_is_found(kind):
    generator = np.random.default_rng(2)
    scores = (generator.integers(0, 3000, 500) / 1000).astype(np.float32)
    with storage(kind) as make:
        counts = make()
        for _ in range(3):
            counts.add(scores, (scores > 2).astype(np.uint8))
        for _, run in counts._store._all_runs():
            keys = run.keys[:]
            for key in generator.permutation(np.concatenate([keys, keys + np.uint32(1)]))[:50]:
                assert run.position(key) == np.searchsorted(keys, key)
                start, stop = sorted(generator.integers(0, keys.size + 1, 2))
                assert np.array_equal(run.keys[start:stop], keys[start:stop])


def test_a_table_that_may_overflow_is_emptied_in_time(monkeypatch):
    generator = np.random.default_rng(1)
    labels = np.tile(np.array([0, 1, 1], np.uint8), 100)
    frames = [generator.integers(0, 9, 300).astype(np.float32) for _ in range(20)]
    expected = every_figure(count(np.concatenate(frames), np.tile(labels, 20)))
    with storage("paged") as make:
        monkeypatch.setattr(table, "LARGEST", 1000)
        counts = make()
        for scores in frames:
            counts.add(scores, labels)
        in_table = counts._store._table.run(1).counts[:].sum()
        assert 0 < in_table <= 1000
        assert every_figure(counts) == expected


def test_memory_stays_bounded_while_the_pixels_grow():
    # Every score is another one, so nothing can be saved by counting: it has to go to the file.
    def peak(frames):
        tracemalloc.start()
        counts = ScoreCounts(memory_limit=2**20)
        for frame in range(frames):
            bits = np.arange(frame, 2**28, 2**28 // 2**14, dtype=np.uint32) + np.uint32(2**29)
            counts.add(bits.view(np.float32), (bits % 5 == 0).astype(np.uint8))
        counts.metrics()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert counts.outliers + counts.inliers == frames * 2**14
        return most

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "MOST_FILE_RUNS", 8)
        assert peak(120) < 1.1 * peak(30) < 8 * 2**20


def test_scores_of_different_precision_mix():
    half = np.tile(np.array([0.1, 0.25, 0.3], np.float16), 9)
    single = np.tile(np.array([0.1, 0.25, 0.5], np.float32), 9)
    double = np.tile(np.array([0.1, 0.25, 1e-60]), 9)
    labels = np.tile(np.array([0, 1, 1], np.uint8), 9)
    parts = [half, single, double]
    parts += parts  # so that every one finds what the others left
    expected = every_figure(
        count(np.concatenate([part.astype(np.float64) for part in parts]), np.tile(labels, 6))
    )
    for kind in KINDS:
        for order in ([0, 1, 2, 3, 4, 5], [2, 1, 0, 5, 3, 4], [0, 3, 1, 4, 2, 5]):
            with storage(kind) as make:
                counts = make()
                for index in order:
                    counts.add(parts[index], labels)
                assert every_figure(counts) == expected


def test_signed_zeros_tie_and_subnormals_and_infinities_do_not():
    tiny = np.float32(1e-45)
    scores = np.array([-0.0, 0.0, tiny, -tiny, np.inf, -np.inf], np.float32)
    keys = encode(scores)
    assert keys[0] == keys[1]
    assert np.array_equal(np.argsort(keys[1:], kind="stable"), np.argsort(scores[1:]))
    labels = np.array([1, 0, 255, 255, 255, 255], np.uint8)
    assert count(scores, labels).metrics()["AUROC"] == 0.5
    labels = np.array([255, 0, 1, 255, 255, 255], np.uint8)
    assert count(scores, labels).metrics()["AUROC"] == 1.0
    labels = np.array([255, 0, 255, 255, 1, 0], np.uint8)
    assert count(scores, labels).range() == (-math.inf, math.inf)
    assert count(scores, labels).range(finite=True) == (0.0, 0.0)
    labels = np.array([255, 255, 1, 0, 0, 1], np.uint8)
    assert count(scores, labels).range(finite=True) == (-tiny, tiny)


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=32), min_size=1))
def test_keys_keep_order_and_value_of_every_float(values):
    scores = np.array(values, np.float32)
    keys = encode(scores)
    assert np.array_equal(decode(keys), scores)
    assert np.array_equal(np.less.outer(keys, keys), np.less.outer(scores, scores))
    wide = encode(scores.astype(np.float64))
    assert np.array_equal(widen(keys), wide)
    assert np.array_equal(narrow(wide), keys)


def test_golden_numbers_under_every_rule():
    counts = ScoreCounts()
    for frame in golden_frames(np.float64):
        counts.add(*frame)
    assert (counts.outliers, counts.inliers) == (4680, 40170)
    metrics = counts.metrics()
    assert metrics["AP"] == pytest.approx(0.5215598749, abs=1e-10)
    assert metrics["AUROC"] == pytest.approx(0.8489056659, abs=1e-10)
    assert metrics["FPR95"] == pytest.approx(0.8103559871, abs=1e-10)
    assert metrics["best_F1"] == pytest.approx(0.6657455628, abs=1e-10)
    assert metrics["best_F1_threshold"] == pytest.approx(0.49900990, abs=1e-8)


def test_the_threshold_of_the_open_set_golden_numbers():
    row, column = np.mgrid[:24, :32]
    scores = ((5 * row + 3 * column) % 29) / 29
    scores[4:9, 6:12] += 0.6
    scores[18:21, 22:30] += 0.5
    scores[12:14, 2:6] += 0.7
    labels = np.zeros(scores.shape, np.uint8)
    labels[4:10, 5:12] = labels[18:22, 20:30] = 1
    labels[0] = 255
    counts = count(scores, labels)
    threshold = counts.threshold_at_tpr(0.95, strict=True)
    assert threshold == pytest.approx(0.1724137931, abs=1e-10)
    assert np.mean(scores[labels == 1] >= threshold) == pytest.approx(0.9634146341, abs=1e-10)
    fpr = counts.metrics(PixelRule(operating_point="above"))["FPR95"]
    assert fpr == pytest.approx(0.8287461774, abs=1e-10)


@settings(max_examples=60, deadline=None)
@given(problems, st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0]), st.sampled_from(KINDS))
def test_thresholds_are_those_that_trying_all_would_find(problem, rate, kind):
    scores, labels = pixels(problem)
    outliers, inliers = scores[labels == 1], scores[labels == 0]
    tried = np.unique(scores[labels != 255])[::-1]
    tprs = np.array([np.count_nonzero(outliers >= t) / outliers.size for t in tried])
    fprs = np.array([np.count_nonzero(inliers >= t) / inliers.size for t in tried])
    with storage(kind) as make:
        counts = count(scores, labels, make)
        found = counts.threshold_at_tpr(rate)
        assert found == tried[(tprs >= rate - 1e-12) & (tprs > 0)][0]
        if rate < 1:
            assert counts.threshold_at_tpr(rate, strict=True) == tried[tprs > rate + 1e-12][0]
        allowed = tried[fprs <= rate + 1e-12]
        assert counts.threshold_at_fpr(rate) == (allowed[-1] if allowed.size else math.inf)


def test_an_fpr_that_is_met_exactly_is_allowed():
    counts = ScoreCounts()
    counts.add(np.arange(100.0), np.zeros(100, np.uint8))
    found = [counts.threshold_at_fpr(percent / 100) for percent in range(1, 101)]
    assert found == list(range(99, -1, -1))


@settings(max_examples=40, deadline=None)
@given(problems, st.integers(4, 40), st.sampled_from(KINDS))
def test_a_thinned_curve_keeps_the_ends_and_lies_on_the_curve(problem, points, kind):
    scores, labels = pixels(problem)
    with storage(kind) as make:
        curve = count(scores, labels, make).curve(points)
    counted = scores[labels != 255]
    assert 1 <= curve.thresholds.size <= points
    assert (curve.thresholds[0], curve.thresholds[-1]) == (counted.max(), counted.min())
    assert np.all(np.diff(curve.thresholds) < 0)
    for threshold, true, false in zip(
        curve.thresholds, curve.true_positives, curve.false_positives, strict=True
    ):
        assert true == np.count_nonzero(scores[labels == 1] >= threshold)
        assert false == np.count_nonzero(scores[labels == 0] >= threshold)
    if points == 40 and problem[1] == 10**6:
        assert np.diff(curve.true_positives / curve.outliers).max() <= 1 / 19 + 1 / curve.outliers


@settings(max_examples=40, deadline=None)
@given(problems, st.sampled_from(KINDS))
def test_histograms_agree_with_numpy(problem, kind):
    scores, labels = pixels(problem)
    edges = [-6.5, -1, 0, 0.5, 7]
    with storage(kind) as make:
        inliers, outliers = count(scores, labels, make).histogram(edges)
    wide = scores.astype(np.float64)
    assert np.array_equal(inliers, np.histogram(wide[labels == 0], edges)[0])
    assert np.array_equal(outliers, np.histogram(wide[labels == 1], edges)[0])


def test_an_empty_accumulator_says_so():
    counts = ScoreCounts()
    with pytest.raises(ValueError, match="there are 0 and 0"):
        counts.metrics()
    with pytest.raises(ValueError, match="nothing was counted"):
        counts.range()
    with pytest.raises(ValueError, match="needs outliers"):
        counts.threshold_at_tpr(0.95)
    assert counts.curve().thresholds.size == 0
    assert [part.tolist() for part in counts.histogram([0, 1])] == [[0], [0]]


def test_what_makes_no_sense_is_refused():
    counts = count(np.array([0.0, 1.0]), np.array([0, 1], np.uint8))
    for rate, strict in ((1.5, False), (-0.1, False), (1.0, True)):
        with pytest.raises(ValueError, match="TPR"):
            counts.threshold_at_tpr(rate, strict)
    with pytest.raises(ValueError, match="FPR"):
        counts.threshold_at_fpr(-0.1)
    with pytest.raises(ValueError, match="smiyc_binned"):
        counts.metrics(PixelRule(curve="smiyc_binned"))
    with pytest.raises(ValueError, match="four points"):
        counts.curve(3)
    with pytest.raises(ValueError, match="ascending"):
        counts.histogram([1.0, 0.0])
    with pytest.raises(ValueError, match="int64"):
        counts.add(np.array([1, 2]), np.array([0, 1], np.uint8))
    with pytest.raises(ValueError, match="positive"):
        ScoreCounts(memory_limit=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: np.save(folder / "0_keys.npy", np.array([5, 4, 3], np.uint32)), "ascend"),
        (lambda folder: np.save(folder / "0_counts.npy", np.array([1, 0, 1], np.uint8)), "zero"),
        (lambda folder: np.save(folder / "0_counts.npy", np.array([1], np.uint8)), "1 counts"),
        (lambda folder: np.save(folder / "0_keys.npy", np.zeros(3)), "float64"),
        (lambda folder: (folder / archive.FILE).write_text('{"format": 9}'), "format 9"),
        (lambda folder: (folder / "0_keys.npy").write_bytes(
            (folder / "0_keys.npy").read_bytes()[:-2]), "ends too early"),
    ],
)  # fmt: skip
def test_damaged_files_are_refused(tmp_path, change, message):
    count(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 0, 1], np.uint8)).save(tmp_path)
    change(tmp_path)
    with pytest.raises((ValueError, OSError), match=message):
        ScoreCounts.load(tmp_path)


def test_order_is_checked_across_the_parts_that_are_read(tmp_path):
    scores = np.arange(1.0, 13.0, dtype=np.float32)
    count(scores, np.tile(np.array([0], np.uint8), 12)).save(tmp_path)
    keys = np.load(tmp_path / "0_keys.npy")
    keys[5:] = keys[:7]
    np.save(tmp_path / "0_keys.npy", keys)
    with storage("spilled"), pytest.raises(ValueError, match="ascend"):
        ScoreCounts.load(tmp_path)


def test_the_scratch_file_is_nameless_and_the_saved_counts_stand_alone(tmp_path):
    scratch, saved = tmp_path / "scratch", tmp_path / "saved"
    scratch.mkdir()
    saved.mkdir()
    scores, labels = pixels((5, 50, np.float32, 0.3))
    counts = ScoreCounts(memory_limit=1, scratch=scratch)
    counts.add(scores, labels)
    counts.save(saved)
    assert not list(scratch.iterdir())
    loaded = ScoreCounts.load(saved)
    for file in saved.iterdir():
        file.unlink()
    assert every_figure(loaded) == every_figure(counts)
