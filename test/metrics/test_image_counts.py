"""Counts for resampling: every resample must be what counting its pixels would give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.metrics import ImageCounts, PixelRule, ScoreCounts

METRICS = ("AP", "FPR95", "AUROC", "best_F1")


def images(seed, count=12, pixels=3000, shift=2.0):
    """Images that differ in difficulty; some without outliers."""
    generator = np.random.default_rng(seed)
    for index in range(count):
        share = 0.0 if index % 4 == 3 else generator.uniform(0.005, 0.1)
        labels = (generator.random(pixels) < share).astype(np.uint8)
        labels[generator.random(pixels) < 0.1] = 255
        scores = generator.standard_normal(pixels) + generator.normal()
        scores += shift * generator.uniform(0.5, 1.5) * (labels == 1)
        yield f"{index:02d}", scores.astype(np.float32), labels


def counted(frames, rule=None):
    counts = ImageCounts(rule)
    for frame in frames:
        counts.add(*frame)
    return counts


def exactly(frames, weights, rule=None):
    counts = ScoreCounts()
    for (_, scores, labels), times in zip(frames, weights, strict=True):
        for _ in range(times):
            counts.add(scores, labels)
    return counts.metrics(rule)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 4.0))
def test_resamples_agree_with_counting_their_pixels(seed, shift):
    frames = list(images(seed, shift=shift))
    counts = counted(frames)
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(len(frames), np.full(len(frames), 1 / len(frames)), 3)
    weights[:, 0] += 1  # an image with outliers
    found = counts.statistics(weights)
    for row in range(3):
        expected = exactly(frames, weights[row])
        for key in METRICS:
            assert found[key][row] == pytest.approx(expected[key], abs=5e-3), key


def test_scores_on_the_grid_are_exact_where_there_are_bins_enough():
    generator = np.random.default_rng(5)
    frames = []
    for index in range(6):
        labels = generator.choice(np.array([0, 1, 255], np.uint8), 500, p=[0.7, 0.2, 0.1])
        scores = generator.integers(0, 64, 500) / 64 + 0.25 * (labels == 1)
        frames.append((str(index), scores.astype(np.float32), labels))
    weights = generator.integers(0, 4, (5, 6))
    for point in ("at_least", "above"):
        rule = PixelRule(operating_point=point)
        found = counted(frames, rule).statistics(weights)
        for row in range(5):
            expected = exactly(frames, weights[row], rule)
            for key in METRICS:
                assert found[key][row] == pytest.approx(expected[key], abs=1e-12), key


def test_a_rate_that_is_met_exactly_counts_as_reached_but_not_as_passed():
    scores = np.append(np.arange(40, 20, -1.0), 21.5)
    labels = np.append(np.ones(20), 0).astype(np.uint8)
    for point, fpr in (("at_least", 0.0), ("above", 1.0)):
        counts = counted([("0", scores, labels)], PixelRule(operating_point=point))
        assert counts.statistics(np.ones((1, 1), int))["FPR95"] == fpr


def test_many_ties_are_not_tied_with_what_lies_above_them():
    # Half of the inliers have one score, just below all of the outliers.
    scores = np.concatenate(
        [np.linspace(1.1, 1.9, 1000), np.full(1000, 1.0), np.linspace(-1, 0.9, 999)]
    )
    labels = np.repeat(np.array([1, 0], np.uint8), [1000, 1999])
    found = counted([("0", scores, labels)]).statistics(np.ones((1, 1), int), bins=32)
    assert found["FPR95"] == 0
    assert found["AUROC"] == 1


def test_single_outliers_are_not_tied_with_the_inliers_below_them():
    # Every score is alone in its cell; every outlier passes a level.
    scores = np.exp(np.linspace(0, 4, 2000))
    labels = np.zeros(2000, np.uint8)
    labels[[1998, 1990, 1900, 1000]] = 1
    frame = ("0", scores, labels)
    found = counted([frame]).statistics(np.ones((1, 1), int), bins=32)
    assert found["AP"][0] == pytest.approx(exactly([frame], [1])["AP"], abs=1e-12)


def test_a_resample_does_not_depend_on_the_others_nor_on_the_order_of_adding():
    frames = list(images(7))
    counts = counted(frames)
    backwards = counted(frames[::-1])
    weights = np.random.default_rng(0).integers(0, 3, (1500, len(frames)))
    together = counts.statistics(weights)
    assert counts.ids == backwards.ids == sorted(name for name, _, _ in frames)
    for key in METRICS:
        assert together[key].shape == (1500,)
        assert np.array_equal(backwards.statistics(weights)[key], together[key])
        alone = counts.statistics(weights[1234:1235])[key]
        assert alone[0] == pytest.approx(together[key][1234], abs=1e-12)


def test_save_load_and_merge_give_the_same_to_the_last_bit(tmp_path):
    frames = list(images(8))
    weights = np.random.default_rng(1).integers(0, 3, (20, len(frames)))
    expected = counted(frames).statistics(weights)
    odd, even = counted(frames[1::2]), counted(frames[::2])
    odd.save(tmp_path)
    merged = ImageCounts.load(tmp_path)
    merged.merge(even)
    for key in METRICS:
        assert np.array_equal(merged.statistics(weights)[key], expected[key])
    with pytest.raises(ValueError, match="added before"):
        merged.merge(even)
    with pytest.raises(ValueError, match="above"):
        merged.merge(ImageCounts(PixelRule(operating_point="above")))


def test_a_resample_that_lacks_a_class_is_nan():
    frames = list(images(9))
    weights = np.zeros((3, len(frames)), int)
    weights[1, 3] = 2  # without outliers
    weights[2] = 1
    found = counted(frames).statistics(weights)
    for key in METRICS:
        assert np.isnan(found[key][:2]).all()
        assert 0 < found[key][2] < 1
    nothing = ImageCounts().statistics(np.zeros((2, 0), int))
    assert np.isnan(nothing["AP"]).all()
    assert counted(frames).statistics(weights[:0])["AP"].shape == (0,)


def test_cells_are_a_two_thousandth_wide_and_no_pixel_is_lost():
    frame = next(images(10, pixels=10**4))
    labels = frame[2]
    table = counted([frame])._images["00"]
    assert table[:, 2].sum() == np.count_nonzero(labels == 1)
    assert table[:, 1].sum() == np.count_nonzero(labels == 0)
    counts = counted([("near", np.array([0.75, 0.75 * (1 + 2**-13)]), np.array([0, 1], np.uint8))])
    assert len(counts._images["near"]) == 1
    counts = counted([("far", np.array([0.75, 0.75 * (1 + 2**-10)]), np.array([0, 1], np.uint8))])
    assert len(counts._images["far"]) == 2


def test_scores_beyond_single_precision_keep_their_side():
    scores = np.array([1e300, 2.0, -1e300, 1.0])
    counts = counted([("huge", scores, np.array([1, 1, 0, 0], np.uint8))])
    assert counts.statistics(np.ones((1, 1), int))["AUROC"] == [1.0]


def test_what_makes_no_sense_is_refused():
    frames = list(images(11, count=2))
    counts = counted(frames)
    for weights in (np.ones((1, 3), int), np.ones(2, int), -np.ones((1, 2), int)):
        with pytest.raises(ValueError, match="weights"):
            counts.statistics(weights)
    with pytest.raises(ValueError, match="added before"):
        counts.add(*frames[0])
    with pytest.raises(ValueError, match="NaN"):
        counts.add("new", np.array([np.nan]), np.array([0], np.uint8))
