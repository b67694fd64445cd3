"""The binned curve against SegmentMeIfYouCan's recorded figures, and its own laws."""

import numpy as np
import pytest
from golden_frames import golden_frames
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.metrics import BinnedCurve, PixelRule, ScoreCounts, pixel_metrics

RULE = PixelRule(curve="smiyc_binned")

# Of the benchmark's own code on the golden frames.
GOLDEN = {
    np.float64: (0.5213886247, 0.8489210306, 0.8103559871, 0.6654618901, 0.49805858),
    np.float16: (0.5213873969, 0.8489213684, 0.8103559871, 0.6654618901, 0.49808512),
}
KEYS = ("AP", "AUROC", "FPR95", "best_F1", "best_F1_threshold")


@pytest.mark.parametrize("dtype", GOLDEN)
def test_golden_numbers(dtype):
    metrics = pixel_metrics(golden_frames(dtype), protocol="smiyc_anomaly_binned")
    assert [metrics[key] for key in KEYS[:4]] == pytest.approx(GOLDEN[dtype][:4], abs=1e-10)
    assert metrics["best_F1_threshold"] == pytest.approx(GOLDEN[dtype][4], abs=1e-8)


def test_uniform_bins_give_the_exact_figures_of_the_golden_frames():
    curve, exact = BinnedCurve("uniform"), ScoreCounts()
    for frame in golden_frames(np.float64):
        curve.add(*frame)
        exact.add(*frame)
    binned, counted = curve.metrics(RULE), exact.metrics()
    for key in KEYS[:4]:
        assert binned[key] == pytest.approx(counted[key], abs=1e-10)


def frames_of(seed, count=4):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        labels = generator.choice(np.array([0, 1, 255], np.uint8), 200, p=[0.7, 0.2, 0.1])
        labels[:2] = 0, 1
        scores = generator.integers(0, 60, 200) / 60 + 0.2 * (labels == 1)
        yield scores.astype(np.float32), labels


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["quantiles", "uniform"]), st.data())
def test_any_split_and_order_gives_the_same_to_the_last_bit(tmp_path_factory, seed, bins, data):
    frames = list(frames_of(seed))
    whole, parts = BinnedCurve(bins), [BinnedCurve(bins) for _ in range(2)]
    for frame in frames:
        whole.add(*frame)
    for index in data.draw(st.permutations(range(len(frames)))):
        parts[data.draw(st.integers(0, 1))].add(*frames[index])
    folder = tmp_path_factory.mktemp("curve")
    parts[1].save(folder)
    merged = BinnedCurve.load(folder)
    merged.merge(parts[0])
    assert merged.metrics(RULE) == whole.metrics(RULE)
    assert (merged.outliers, merged.inliers) == (whole.outliers, whole.inliers)
    for one, other in zip(
        vars(merged.curve(30)).values(), vars(whole.curve(30)).values(), strict=True
    ):
        assert np.array_equal(one, other)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_one_small_frame_is_exact(seed):
    # Fewer pixels of a class than quantiles: every score is a threshold.
    scores, labels = next(frames_of(seed))
    curve, exact = BinnedCurve(), ScoreCounts()
    curve.add(scores, labels)
    exact.add(scores, labels)
    expected = exact.metrics()
    # But what numpy's quantiles round may lie a hair beside its score.
    for key in KEYS[:4]:
        assert curve.metrics(RULE)[key] == pytest.approx(expected[key], abs=0.02), key


def test_thresholds_are_numpy_quantiles():
    generator = np.random.default_rng(0)
    scores = generator.standard_normal(5000) ** 3
    labels = (generator.random(5000) < 0.3).astype(np.uint8)
    curve = BinnedCurve()
    curve.add(scores, labels)
    low, high = scores.min(), scores.max()
    margin = max(0.01, 0.01 * (high - low))
    edges = np.unique(
        np.concatenate(
            [
                [low - margin, high + margin],
                np.quantile(scores[labels == 1], np.linspace(0, 1, 384)),
                np.quantile(scores[labels == 0], np.linspace(0, 1, 384)),
            ]
        )
    )
    table = curve._table()[::-1]
    assert np.array_equal(table[:, 0], edges[:-1])
    for column, kind in ((1, 0), (2, 1)):
        assert np.array_equal(table[:, column], np.histogram(scores[labels == kind], edges)[0])


def test_scores_beyond_the_uniform_range_count_below_every_threshold():
    scores = np.array([2.0, 0.5, -3.0, 0.4, 5.0])
    labels = np.array([0, 1, 1, 0, 0], np.uint8)
    curve = BinnedCurve("uniform")
    curve.add(scores, labels)
    metrics = curve.metrics(RULE)
    # Half the outliers are found with no false positive, the rest only with everything.
    assert metrics["AP"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 5)
    assert metrics["FPR95"] == 1.0
    # The upper end itself belongs to the range.
    curve = BinnedCurve("uniform")
    curve.add(np.array([1.01, 0.5]), np.array([1, 0], np.uint8))
    assert curve.metrics(RULE)["AP"] == 1.0


def test_frames_of_one_class_only_and_constant_scores():
    curve = BinnedCurve()
    curve.add(np.full(10, 0.3), np.zeros(10, np.uint8))
    with pytest.raises(ValueError, match="there are 0 and 10"):
        curve.metrics(RULE)
    curve.add(np.full(5, 0.3), np.ones(5, np.uint8))
    curve.add(np.full(5, 0.9), np.full(5, 255, np.uint8))
    metrics = curve.metrics(RULE)
    assert metrics["AP"] == pytest.approx(1 / 3)
    assert metrics["AUROC"] == 0.5


@pytest.mark.parametrize("size", [1.0, 1e20, -1e20])
def test_no_pixel_is_lost_where_the_margin_is_lost_in_rounding(size):
    labels = np.array([0, 0, 0, 1, 1], np.uint8)
    constant = BinnedCurve()
    constant.add(np.full(5, size), labels)
    assert constant.metrics(RULE)["AUROC"] == 0.5
    assert constant.metrics(RULE)["AP"] == pytest.approx(2 / 5)
    # An inlier has the highest score, so no threshold finds an outlier alone.
    scores = np.array([np.nextafter(size, np.inf), size, size, size, size])
    curve, exact = BinnedCurve(), ScoreCounts()
    for counts in (curve, exact):
        counts.add(scores, labels)
    for key in ("AP", "AUROC", "FPR95", "best_F1"):
        assert curve.metrics(RULE)[key] == pytest.approx(exact.metrics()[key])


def test_what_cannot_be_binned_is_refused():
    curve = BinnedCurve()
    labels = np.array([0, 1], np.uint8)
    with pytest.raises(ValueError, match="infinite"):
        curve.add(np.array([0.0, np.inf]), labels)
    with pytest.raises(ValueError, match="NaN"):
        curve.add(np.array([0.0, np.nan]), labels)
    with pytest.raises(ValueError, match="quantiles or uniform"):
        BinnedCurve("log")
    with pytest.raises(ValueError, match="uniform bins"):
        curve.merge(BinnedCurve("uniform"))
    curve.add(np.array([0.0, 1.0]), labels)
    with pytest.raises(ValueError, match="exact"):
        curve.metrics(PixelRule())
