"""Recall, false obstacles and distance error by band."""

import math

import numpy as np
import pytest

from open_set_seg.frame import Obstacle
from open_set_seg.metrics import (
    MatchRule,
    ObjectCounts,
    TrueObject,
    match_objects,
    object_metrics,
)

H, W = 60, 80


def mask_of(top, bottom, left, right):
    mask = np.zeros((H, W), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def detection(mask, distance, sigma=0.5):
    rows, columns = np.nonzero(mask)
    top, left = int(rows.min()), int(columns.min())
    height, width = int(rows.max()) + 1 - top, int(columns.max()) + 1 - left
    nan = math.nan
    return Obstacle(
        id=0, kind="unknown", distance=distance, distance_sigma=sigma, valid_share=1.0,
        position=(nan, nan, nan), width=nan, height=nan, mean_score=0.9, peak_score=0.9,
        nearest_classes=(), box=(left, top, width, height), area_px=int(mask.sum()),
        outline=np.zeros((0, 2), np.int32), mask=mask[top : top + height, left : left + width],
    )  # fmt: skip


THING = mask_of(20, 40, 20, 40)


def band_at(metrics, distance):
    (band,) = [one for one in metrics.bands if one.band[0] <= distance < one.band[1]]
    return band


def test_an_exact_detection_is_found_in_its_band():
    metrics = object_metrics([([detection(THING, 12.5)], [TrueObject(THING, 12.0)])])
    band = band_at(metrics, 12.0)
    assert (band.objects, band.found, band.recall) == (1, 1, 1.0)
    assert band.median_relative_error == pytest.approx(0.5 / 12)
    assert band.bias == pytest.approx(0.5)
    assert band.bias_in_sigmas == pytest.approx(1.0)
    assert metrics.false_per_frame == 0
    assert sum(one.objects for one in metrics.bands) == 1
    assert math.isnan(band_at(metrics, 30.0).recall)


@pytest.mark.parametrize(("rows", "found"), [(5, True), (4, False)])
def test_a_quarter_of_the_object_must_be_covered(rows, found):
    part = mask_of(20, 20 + rows, 20, 40)
    metrics = object_metrics([([detection(part, 12.0)], [TrueObject(THING, 12.0)])])
    assert metrics.overall.found == found
    assert metrics.false_per_frame == 0


@pytest.mark.parametrize(("columns", "is_false"), [(40, False), (41, True)])
def test_a_detection_that_floods_the_road_is_false_and_finds_nothing(columns, is_false):
    flood = mask_of(10, 50, 20, 20 + columns)
    metrics = object_metrics([([detection(flood, 8.0)], [TrueObject(THING, 12.0)])])
    assert metrics.overall.found == (not is_false)
    assert band_at(metrics, 8.0).false_per_frame == is_false


def test_one_detection_may_find_two_objects_that_it_merges():
    one, two = mask_of(20, 40, 20, 30), mask_of(20, 40, 30, 40)
    frame = ([detection(THING, 10.0)], [TrueObject(one, 10.0), TrueObject(two, 11.0)])
    assert object_metrics([frame]).overall.found == 2


def test_of_two_detections_the_one_that_covers_more_gives_the_distance():
    low, high = mask_of(20, 26, 20, 40), mask_of(26, 40, 20, 40)
    for obstacles in (
        [detection(low, 30.0), detection(high, 12.1)],
        [detection(high, 12.1), detection(low, 30.0)],
    ):
        metrics = object_metrics([(obstacles, [TrueObject(THING, 12.0)])])
        assert metrics.overall.bias == pytest.approx(0.1)
        assert metrics.false_per_frame == 0


def test_matching_names_the_finder_of_every_object():
    elsewhere, part = mask_of(0, 10, 60, 70), mask_of(20, 26, 20, 40)
    obstacles = [detection(elsewhere, 9.0), detection(part, 12.0), detection(THING, 12.0)]
    objects = [TrueObject(mask_of(50, 60, 0, 10), 20.0), TrueObject(THING, 12.0)]
    matching = match_objects(obstacles, objects)
    assert matching.true == (False, True, True)
    assert matching.finders == (None, 2)
    assert matching.asked == (True, True)


def test_false_detections_are_counted_by_their_own_distance():
    elsewhere = mask_of(0, 10, 60, 70)
    frames = [
        ([detection(elsewhere, 7.0), detection(elsewhere, math.nan)], []),
        ([detection(elsewhere, 70.0)], [TrueObject(THING, 33.0)]),
    ]
    metrics = object_metrics(frames)
    assert metrics.frames == 2
    assert metrics.false_per_frame == 1.5
    assert metrics.false_of_unknown_distance_per_frame == 0.5
    assert band_at(metrics, 7.0).false_per_frame == 0.5
    assert metrics.overall.false_per_frame == 0.5
    assert (metrics.overall.objects, metrics.overall.found) == (1, 0)


def test_an_object_found_without_distance_counts_for_recall_only():
    metrics = object_metrics([([detection(THING, math.nan, math.nan)], [TrueObject(THING, 12.0)])])
    assert (metrics.overall.found, metrics.overall.measured) == (1, 0)
    assert math.isnan(metrics.overall.median_relative_error)


def test_objects_too_small_to_be_asked_for_are_neither_missed_nor_false_when_found():
    speck = mask_of(20, 23, 20, 23)
    rule = MatchRule(min_visible_px=10)
    missed = object_metrics([([], [TrueObject(speck, 12.0)])], rule)
    assert missed.overall.objects == 0
    found = object_metrics([([detection(speck, 12.0)], [TrueObject(speck, 12.0)])], rule)
    assert found.false_per_frame == 0


def test_bias_and_spread_are_those_of_the_errors():
    generator = np.random.default_rng(0)
    errors = generator.normal(0.2, 0.4, 2000)
    frames = [([detection(THING, 12.0 + e, 0.4)], [TrueObject(THING, 12.0)]) for e in errors]
    band = band_at(object_metrics(frames), 12.0)
    assert band.bias == pytest.approx(0.2, abs=0.04)
    assert band.spread == pytest.approx(0.4, rel=0.08)
    assert band.bias_in_sigmas == pytest.approx(0.5, abs=0.1)
    assert band.spread_in_sigmas == pytest.approx(1.0, rel=0.08)


def test_nothing_to_judge_and_gaping_bands_are_refused():
    with pytest.raises(ValueError, match="no frame"):
        object_metrics([])
    with pytest.raises(ValueError, match="adjoin"):
        object_metrics([([], [])], bands=[(5.0, 10.0), (11.0, 15.0)])


def size_of(metrics, pixels):
    (size,) = [one for one in metrics.sizes if one.band[0] <= pixels < one.band[1]]
    return size


def test_objects_are_sorted_by_visible_pixels_and_false_detections_by_their_area():
    small, large = mask_of(0, 5, 0, 10), mask_of(20, 50, 20, 60)
    frames = [
        ([detection(large, 61.0), detection(mask_of(0, 10, 60, 75), math.nan)],
         [TrueObject(small, 12.0), TrueObject(large, 60.0)]),
        ([detection(small, 12.6)], [TrueObject(small, 12.0)]),
    ]  # fmt: skip
    metrics = object_metrics(frames)
    assert (size_of(metrics, 50).objects, size_of(metrics, 50).found) == (2, 1)
    assert size_of(metrics, 50).bias == pytest.approx(0.6)
    # Beyond the last distance band, yet of a size.
    assert size_of(metrics, 1200).recall == 1.0
    assert size_of(metrics, 1200).bias == pytest.approx(1.0)
    # The false one has 150 pixels and no distance.
    assert size_of(metrics, 150).false_per_frame == 0.5
    assert sum(one.false_per_frame for one in metrics.sizes) == 0.5
    assert math.isnan(size_of(metrics, 150).recall)
    assert sum(one.objects for one in metrics.sizes) == 3


def test_sizes_are_half_open_and_have_no_end():
    assert [one.band[0] for one in object_metrics([([], [])]).sizes] == [0, 100, 400, 1600, 6400]
    exactly = mask_of(0, 10, 0, 10)
    metrics = object_metrics([([], [TrueObject(exactly, 12.0)])])
    assert [one.objects for one in metrics.sizes] == [0, 1, 0, 0, 0]
    assert metrics.sizes[-1].band[1] == math.inf


def random_frames(seed, count):
    generator = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        objects, obstacles = [], []
        for _ in range(generator.integers(0, 4)):
            top, left = generator.integers(0, 40), generator.integers(0, 60)
            mask = mask_of(top, top + generator.integers(2, 20), left, left + 15)
            distance = float(generator.uniform(4, 52))
            if generator.random() < 0.9:
                objects.append(TrueObject(mask, distance))
            if generator.random() < 0.6:
                measured = distance + generator.normal() if generator.random() < 0.8 else math.nan
                obstacles.append(detection(mask, measured))
        frames.append((obstacles, objects))
    return frames


def counted(frames, ids, rule=None):
    counts = ObjectCounts(rule)
    for name, frame in zip(ids, frames, strict=True):
        counts.add(name, *frame)
    return counts


def test_splitting_merging_and_saving_change_nothing(tmp_path):
    frames, rule = random_frames(0, 30), MatchRule(min_visible_px=40)
    ids = [f"{index:02d}" for index in range(30)]
    together = counted(frames, ids, rule)
    one = counted(frames[20:], ids[20:], rule)
    two = counted(frames[:20][::-1], ids[:20][::-1], rule)
    two.save(tmp_path)
    one.merge(ObjectCounts.load(tmp_path))
    assert one.ids == ids
    # As text: NaN is not equal to itself.
    assert repr(one.metrics()) == repr(together.metrics()) == repr(object_metrics(frames, rule))
    assert repr(one.metrics()) == repr(one.metrics())


def test_what_does_not_add_up_is_refused():
    counts = counted([([], [])], ["a"])
    with pytest.raises(ValueError, match="'a'"):
        counts.add("a", [], [])
    with pytest.raises(ValueError, match="'a'"):
        counts.merge(counted([([], [])], ["a"]))
    with pytest.raises(ValueError, match="min_visible_px=9"):
        counts.merge(ObjectCounts(MatchRule(min_visible_px=9)))
    with pytest.raises(ValueError, match="adjoin"):
        counts.metrics(sizes=[])


def test_weighted_statistics_are_those_of_the_repeated_frames():
    frames = random_frames(2, 6)
    assert 0 < object_metrics(frames, bands=[(0.0, 1e9)]).overall.recall < 1
    counts = counted(frames, "abcdef")
    weights = np.array([[1, 1, 1, 1, 1, 1], [3, 0, 0, 2, 1, 0]])
    statistics = counts.statistics(weights)
    # Without limits of distance.
    everything = [(0.0, 1e9)]
    for row, drawn in enumerate(weights):
        repeated = [frame for frame, times in zip(frames, drawn, strict=True) for _ in range(times)]
        metrics = object_metrics(repeated, bands=everything)
        assert statistics["recall"][row] == pytest.approx(metrics.overall.recall)
        assert statistics["false_per_frame"][row] == pytest.approx(metrics.false_per_frame)
        error = metrics.overall.median_relative_error
        assert statistics["median_relative_error"][row] == pytest.approx(error, nan_ok=True)
        by_band = object_metrics(repeated)
        strata = [*((one, {"band": one.band}) for one in by_band.bands),
                  *((one, {"size": one.band}) for one in by_band.sizes)]  # fmt: skip
        for expected, stratum in strata:
            for key, values in counts.statistics(weights, **stratum).items():
                figure = getattr(expected, key)
                assert values[row] == pytest.approx(figure, nan_ok=True), (key, stratum)
    assert np.isnan(counted([([], [])], "a").statistics(np.array([[1]]))["recall"]).all()
    with pytest.raises(ValueError, match="6 frames"):
        counts.statistics(np.ones((2, 5), np.int64))
