"""Component metrics: golden numbers, drawn masks, a slow oracle, and laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_connected import flood_fill
from test_pixels import golden_frames

from open_set_seg.metrics import ComponentCounts, component_metrics, component_threshold
from open_set_seg.metrics.component_matching import find_components
from open_set_seg.metrics.protocols import PROTOCOLS, ComponentRule, PixelRule

EVERYTHING = ComponentRule(min_predicted_px=1, min_true_px=1)
ANOMALY = PROTOCOLS["smiyc_anomaly"].components
OBSTACLE = PROTOCOLS["smiyc_obstacle"].components


def counted(frames, rule, threshold):
    counts = ComponentCounts(rule)
    for index, (scores, labels) in enumerate(frames):
        counts.add(f"frame {index}", scores, labels, threshold)
    return counts


def drawn(picture):
    """Scores and labels from rows of: T true, P predicted, B both, v void, V void and predicted."""
    pixels = np.array([list(row) for row in picture.split()])
    labels = np.where(np.isin(pixels, ["T", "B"]), 1, 0)
    labels[np.isin(pixels, ["v", "V"])] = 255
    return np.isin(pixels, ["P", "B", "V"]).astype(np.float32), labels.astype(np.uint8)


def at_tau(counts, tau):
    (row,) = [row for row in counts.by_tau() if row.tau == tau]
    return row.TP, row.FP, row.FN


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
class TestGoldenNumbers:
    """SegmentMeIfYouCan's code on two made-up frames."""

    def test_anomaly_track(self, dtype):
        counts = counted(golden_frames(dtype), ANOMALY, 0.498059)
        assert [at_tau(counts, tau) for tau in (0.25, 0.5, 0.75)] == [
            (2, 0, 2), (2, 0, 2), (0, 0, 4),
        ]  # fmt: skip
        assert counts.metrics() == pytest.approx(
            {"sIoU_gt": 0.3063739357, "PPV": 0.7854314613, "mean_F1": 0.4606060606}, abs=5.1e-11
        )
        one, two = (counts.frames[name] for name in counts.ids)
        assert one.siou == pytest.approx([0.62731092, 0], abs=5.1e-9)
        assert two.siou == pytest.approx([0.59818482, 0], abs=5.1e-9)
        assert one.precision == pytest.approx([0.79711692], abs=5.1e-9)
        assert two.precision == pytest.approx([0.773746], abs=5.1e-7)

    def test_obstacle_track(self, dtype):
        counts = counted(golden_frames(dtype), OBSTACLE, 0.498059)
        assert [at_tau(counts, tau) for tau in (0.25, 0.5, 0.75)] == [
            (2, 2, 5), (2, 2, 5), (0, 2, 7),
        ]  # fmt: skip
        assert counts.metrics() == pytest.approx(
            {"sIoU_gt": 0.2365359358, "PPV": 0.5464966343, "mean_F1": 0.2495867769}, abs=5.1e-11
        )
        one, two = (counts.frames[name] for name in counts.ids)
        assert one.siou == pytest.approx([0, 0.62731092, 0.22006472], abs=5.1e-9)
        assert two.siou == pytest.approx([0, 0.59818482, 0, 0.21019108], abs=5.1e-9)
        assert [size for _, size in one.predicted] == [1873, 77, 308]
        assert [size for _, size in two.predicted] == [1874, 80, 307]
        assert one.precision == pytest.approx([0.79711692, 0.88311688, 0], abs=5.1e-9)
        assert two.precision == pytest.approx([0.773746, 0.825, 0], abs=5.1e-7)

    def test_obstacle_track_at_a_high_threshold(self, dtype):
        counts = counted(golden_frames(dtype), OBSTACLE, 0.7)
        assert [at_tau(counts, tau) for tau in (0.25, 0.5, 0.75)] == [
            (2, 4, 5), (0, 6, 7), (0, 8, 7),
        ]  # fmt: skip
        assert np.mean([row.FP for row in counts.by_tau()]) == pytest.approx(5.9090909091)
        assert counts.metrics() == pytest.approx(
            {"sIoU_gt": 0.1011388693, "PPV": 0.6212988238, "mean_F1": 0.0839160839}, abs=5.1e-11
        )
        assert [len(frame.predicted) for frame in counts.frames.values()] == [9, 9]

    def test_anomaly_track_without_any_prediction(self, dtype):
        metrics = counted(golden_frames(dtype), ANOMALY, 0.7).metrics()
        assert math.isnan(metrics["PPV"])
        assert (metrics["mean_F1"], metrics["sIoU_gt"]) == (0, 0)

    def test_the_threshold_of_the_best_pixel_f1_gives_the_same(self, dtype):
        # The exact best F1 is reached *at* 0.4990, the published threshold lies just below.
        metrics = component_metrics(list(golden_frames(dtype)), "smiyc_obstacle")
        assert metrics["mean_F1"] == pytest.approx(0.2495867769, abs=5.1e-11)


@pytest.mark.parametrize(
    ("picture", "true", "predicted"),
    [
        # Half of one object, nothing besides.
        ("BBTT BBTT", [(4, 8)], [(4, 4)]),
        # Twice the object.
        ("BBPP BBPP", [(4, 8)], [(4, 8)]),
        # One prediction over two objects: for each, the other one's pixels are taken off.
        ("BBPBB BBPBB", [(4, 6), (4, 6)], [(8, 10)]),
        # Two predictions touch one object: they count together.
        ("BTB", [(2, 3)], [(1, 1), (1, 1)]),
        # A prediction beside an object touches it only where it covers some of it.
        ("TPP", [(0, 1)], [(0, 2)]),
        # Corners connect objects and predictions alike.
        ("T.. .B. ..P", [(1, 3)], [(1, 2)]),
        # Void pixels are not predicted, and may cut a prediction in two.
        ("PPVBB", [(2, 2)], [(0, 2), (2, 2)]),
        ("BBvTT", [(2, 2), (0, 2)], [(2, 2)]),
        ("....", [], []),
    ],
)
def test_drawn_masks(picture, true, predicted):
    frame = find_components(*drawn(picture), 0.5, EVERYTHING)
    assert frame.true == tuple(true)
    assert frame.predicted == tuple(predicted)


def test_small_predictions_are_removed_before_anything_is_compared():
    frame = find_components(*drawn("B.TTB ..... BPPP."), 0.5, ComponentRule(2, 1))
    assert frame.true == ((0, 1), (0, 3), (1, 4))
    assert frame.predicted == ((1, 4),)


def test_small_objects_become_void_after_the_predictions_were_sized():
    # The prediction has 4 pixels when it is sized; 2 of them vanish with the small object.
    scores, labels = drawn("PPBB. ..... .TTTT")
    assert find_components(scores, labels, 0.5, ComponentRule(4, 1)).predicted == ((2, 4),)
    frame = find_components(scores, labels, 0.5, ComponentRule(4, 3))
    assert frame.predicted == ((0, 2),)
    assert frame.true == ((0, 4),)


def test_the_rest_of_the_image_is_no_small_object():
    frame = find_components(*drawn("BBBBP"), 0.5, ComponentRule(1, 3))
    assert frame.predicted == ((4, 5),)


def test_a_prediction_inside_a_small_object_is_no_prediction_at_all():
    frame = find_components(*drawn("BB... ...TT ...TT"), 0.5, ComponentRule(1, 3))
    assert frame.predicted == ()


@pytest.mark.parametrize("tau", np.linspace(0.25, 0.75, 11))
def test_components_on_a_limit_are_judged_as_the_benchmark_does(tau):
    # Its limits are those of np.linspace; 0.6 is the one that rounds up, so 3 of 5 miss it.
    part = round(20 * tau)
    picture = "B" * part + "T" * (20 - part)
    (row,) = [
        row for row in counted([drawn(picture)], EVERYTHING, 0.5).by_tau() if row.tau == part / 20
    ]
    reached = part / 20 >= tau
    assert bool(row.TP) is bool(reached)
    assert reached == (part != 12)


def test_a_tau_is_reached_by_equality():
    # sIoU of exactly 0.7, precision of exactly 0.7: neither missed nor false at 0.7.
    both = counted([drawn("B" * 7 + "T" * 3), drawn("B" * 7 + "P" * 3)], EVERYTHING, 0.5)
    assert at_tau(both, 0.7) == (2, 0, 0)
    assert at_tau(both, 0.75) == (0, 1, 2)
    assert [row.tau for row in both.by_tau()] == [
        0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75,
    ]  # fmt: skip


def test_figures_are_means_over_the_components_of_all_frames():
    counts = counted([drawn("BB.TT"), drawn("BP...")], EVERYTHING, 0.5)
    assert counts.metrics()["sIoU_gt"] == pytest.approx((1 + 0 + 1 / 2) / 3)
    assert counts.metrics()["PPV"] == pytest.approx((1 + 1 / 2) / 2)
    # Up to 0.5: TP 2, FN 1, FP 0; above, the second frame's object is missed, its finder false.
    assert counts.metrics()["mean_F1"] == pytest.approx((6 * 4 / 5 + 5 * 2 / 5) / 11)


def test_what_is_not_there_is_nan_and_what_is_missed_is_zero():
    nothing = counted([drawn("...")], EVERYTHING, 0.5).metrics()
    assert all(math.isnan(value) for value in nothing.values())
    assert all(math.isnan(value) for value in ComponentCounts(EVERYTHING).metrics().values())
    missed = counted([drawn("T..")], EVERYTHING, 0.5).metrics()
    assert (missed["sIoU_gt"], missed["mean_F1"]) == (0, 0)
    assert math.isnan(missed["PPV"])
    invented = counted([drawn("..P")], EVERYTHING, 0.5).metrics()
    assert (invented["PPV"], invented["mean_F1"]) == (0, 0)
    assert math.isnan(invented["sIoU_gt"])


def judged_slowly(scores, labels, threshold, rule):
    """The definition, one set of pixels a component."""

    def components(mask):
        marked, count = flood_fill(mask)
        return [set(zip(*np.nonzero(marked == one), strict=True)) for one in range(1, count + 1)]

    true = components(labels == 1)
    predicted = components((scores.astype(np.float64) > threshold) & (labels != 255))
    void = set().union(*(one for one in true if len(one) < rule.min_true_px))
    true = [one for one in true if len(one) >= rule.min_true_px]
    predicted = [one - void for one in predicted if len(one) >= rule.min_predicted_px]
    predicted = [one for one in predicted if one]
    everything_true = set().union(*true)
    siou = []
    for one in true:
        union = set().union(*(guess for guess in predicted if guess & one))
        common, others = len(one & union), len(union & (everything_true - one))
        siou.append(common / (len(one) + len(union) - common - others))
    return siou, [len(one & everything_true) / len(one) for one in predicted]


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.05, 0.6),
    st.floats(0.05, 0.6),
    st.integers(0, 8),
    st.integers(0, 8),
)
def test_agreement_with_sets_of_pixels(seed, true_share, predicted_share, smallest, least):
    generator = np.random.default_rng(seed)
    labels = (generator.random((14, 17)) < true_share).astype(np.uint8)
    labels[generator.random(labels.shape) < 0.1] = 255
    scores = generator.random(labels.shape)
    rule = ComponentRule(smallest, least)
    frame = find_components(scores, labels, 1 - predicted_share, rule)
    siou, precision = judged_slowly(scores, labels, 1 - predicted_share, rule)
    assert frame.siou == siou
    assert frame.precision == precision


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float16, np.float32, np.float64]))
def test_laws_of_invariance(seed, dtype):
    generator = np.random.default_rng(seed)
    labels = generator.choice(np.array([0, 1, 255], np.uint8), (16, 16), p=[0.6, 0.3, 0.1])
    scores = (generator.integers(0, 50, labels.shape) / 50).astype(dtype)
    threshold = float(scores.flat[7])
    frame = find_components(scores, labels, threshold, ComponentRule(3, 2))

    def same(scores, labels, threshold):
        other = find_components(scores, labels, threshold, ComponentRule(3, 2))
        assert sorted(other.true) == sorted(frame.true)
        assert sorted(other.predicted) == sorted(frame.predicted)

    # A strictly increasing map of scores and threshold, mirrors, and scores of void pixels.
    same(np.exp(3 * scores.astype(np.float64)), labels, math.exp(3 * threshold))
    same(scores[::-1], labels[::-1], threshold)
    same(scores.T, labels.T, threshold)
    same(np.where(labels == 255, np.nan, scores).astype(dtype), labels, threshold)


def random_counts(names, seed=0):
    generator = np.random.default_rng(seed)
    counts = ComponentCounts(ComponentRule(4, 3))
    for name in names:
        labels = generator.choice(np.array([0, 1, 255], np.uint8), (24, 24), p=[0.65, 0.3, 0.05])
        counts.add(name, generator.random(labels.shape) + 0.3 * (labels == 1), labels, 0.7)
    return counts


def test_splitting_merging_and_saving_change_nothing(tmp_path):
    together = random_counts("abcdefg")
    parts = [ComponentCounts(together.rule) for _ in range(2)]
    for index, name in enumerate("gbeadcf"):
        parts[index % 2].frames[name] = together.frames[name]
    (tmp_path / "part").mkdir()
    parts[1].save(tmp_path / "part")
    parts[0].merge(ComponentCounts.load(tmp_path / "part"))
    assert parts[0].ids == list("abcdefg")
    assert parts[0].frames == together.frames
    assert parts[0].metrics() == together.metrics()
    assert parts[0].by_tau() == together.by_tau()


def test_what_does_not_add_up_is_refused():
    counts = random_counts("ab")
    with pytest.raises(ValueError, match="'b'"):
        counts.merge(random_counts("bc"))
    with pytest.raises(ValueError, match="'a'"):
        counts.add("a", *drawn("BB"), 0.5)
    with pytest.raises(ValueError, match="min_predicted_px"):
        counts.merge(ComponentCounts(EVERYTHING))


def test_weighted_statistics_are_those_of_the_repeated_frames():
    counts = random_counts("abcd")
    weights = np.array([[1, 1, 1, 1], [0, 3, 1, 0], [2, 0, 0, 2]])
    statistics = counts.statistics(weights)
    for row, drawn_frames in enumerate(weights):
        repeated = ComponentCounts(counts.rule)
        for name, times in zip(counts.ids, drawn_frames, strict=True):
            for copy in range(times):
                repeated.frames[f"{name}{copy}"] = counts.frames[name]
        for name, value in repeated.metrics().items():
            assert statistics[name][row] == pytest.approx(value, abs=1e-12)
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        counts.statistics(np.ones((1, 3), np.int64))


def test_statistics_of_frames_without_components_are_nan():
    counts = counted([drawn("..."), drawn("BB.")], EVERYTHING, 0.5)
    statistics = counts.statistics(np.array([[2, 0], [1, 1]]))
    for values in statistics.values():
        np.testing.assert_array_equal(values, [np.nan, 1])


def test_a_map_of_zero_and_one_is_not_lost_at_its_own_threshold():
    scores, labels = drawn("BB.. BB.T")
    metrics = component_metrics([(scores, labels)] * 2, "smiyc_anomaly", threshold=0.5)
    assert math.isnan(metrics["PPV"])  # 4 pixels are below the 500 of the protocol
    frames = [(np.kron(scores, np.ones((20, 20))), np.kron(labels, np.ones((20, 20), np.uint8)))]
    assert component_metrics(frames)["PPV"] == 1.0


def test_thresholds_of_the_binned_curve_are_taken_as_they_are():
    assert component_threshold(0.5, PixelRule(curve="smiyc_binned")) == 0.5
    below = component_threshold(0.5, PixelRule())
    assert below < 0.5
    for dtype in (np.float16, np.float32, np.float64):
        labels = np.array([[1, 0]], np.uint8)
        scores = np.array([[0.5, np.nextafter(dtype(0.5), dtype(0))]], dtype)
        assert find_components(scores, labels, below, EVERYTHING).predicted == ((1, 1),)


def test_frames_that_can_be_read_only_once_are_refused_where_they_are_read_twice():
    frames = list(golden_frames(np.float32))
    with pytest.raises(ValueError, match="twice"):
        component_metrics(iter(frames))
    once = component_metrics(iter(frames), threshold=0.498059)
    assert once == component_metrics(frames, threshold=0.498059)


@pytest.mark.parametrize("protocol", ["fishyscapes", "mine"])
def test_protocols_without_components_are_refused(protocol):
    with pytest.raises(ValueError, match="smiyc_anomaly"):
        component_metrics([], protocol)


@pytest.mark.parametrize(
    ("scores", "labels", "threshold", "message"),
    [
        ([[0.1, np.nan]], [[0, 1]], 0.5, "NaN"),
        ([[0.1, 0.2]], [[0, 1]], np.nan, "threshold"),
        ([[0.1, 0.2]], [[0, 2]], 0.5, "labels"),
        ([[0.1, 0.2]], [[0]], 0.5, "shape"),
        ([0.1, 0.2], [0, 1], 0.5, r"\(H, W\)"),
    ],
)
def test_what_cannot_be_judged_is_refused(scores, labels, threshold, message):
    with pytest.raises(ValueError, match=message):
        find_components(np.array(scores), np.array(labels, np.uint8), threshold, EVERYTHING)
