"""The statistic of a frame against every threshold; that alarms are monotone in it at all."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.calibration import band_statistics, frame_statistic, statistic_of_result
from open_set_seg.frame import Camera, FrameResult, Prediction, RangeMap
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.obstacles import ObstacleConfig, find_obstacles

ROAD, CAR = STREETHAZARDS.id_of("road"), STREETHAZARDS.id_of("car")
SMALL = ObstacleConfig(min_area_px=1, min_area_m2=0.0, min_blind_area_px=1, opening=False)


@st.composite
def frames(draw):
    """Small images in which ties, borders, missing ranges and every rule for sizes matter."""
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([2, 5, 40, 400]))
    palette = np.sort(rng.random(levels).astype(np.float32))
    palette[:1] = draw(st.sampled_from([0.0, palette[0]]))
    palette[-1:] = draw(st.sampled_from([1.0, palette[-1]]))
    anomaly = palette[rng.integers(0, levels, (height, width))]
    if draw(st.booleans()):  # blobs, which an opening leaves
        anomaly = np.maximum(anomaly, np.roll(anomaly, 1, 0))
        anomaly = np.maximum(anomaly, np.roll(anomaly, 1, 1))
        anomaly = np.maximum(anomaly, np.roll(anomaly, 1, 1))
        anomaly = np.maximum(anomaly, np.roll(anomaly, 1, 0))
    depth = rng.uniform(2, 40, (height, width)).astype(np.float32)
    depth[rng.random((height, width)) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = np.nan
    range_map = RangeMap(depth, np.where(np.isnan(depth), np.nan, 0.1).astype(np.float32))
    camera = Camera(width, height, *rng.uniform(5, 60, 2).tolist(), width / 2, height / 2)
    ground = rng.random((height, width)) < draw(st.sampled_from([0.02, 0.3, 1.0]))
    nearest = rng.choice([ROAD, CAR], (height, width)).astype(np.uint8)
    config = ObstacleConfig(
        min_area_px=draw(st.integers(1, 20)),
        min_area_m2=draw(st.sampled_from([0.0, 0.5, 3.0, 50.0])),
        min_blind_area_px=draw(st.integers(1, 30)),
        opening=draw(st.booleans()),
        known_classes=draw(st.sampled_from([(), ("car",)])),
    )
    prediction = Prediction(nearest, anomaly, nearest, 0.5)
    return prediction, draw(st.sampled_from([range_map, None])), ground, camera, config


def unknown_at(threshold, prediction, range_map, ground, camera, config):
    """What the detector lists as unknown, measured and all."""
    searched = replace(prediction, threshold=threshold)
    config = replace(config, max_obstacles=100_000)
    found = find_obstacles(searched, range_map, ground, camera, STREETHAZARDS, config)
    return [obstacle for obstacle in found if obstacle.kind == "unknown"]


def thresholds(anomaly):
    """One of every interval in which no mask changes, on both sides of every score."""
    scores = np.unique(anomaly).astype(np.float64)
    below = np.nextafter(np.unique(anomaly), np.float32(-1)).astype(np.float64)
    between = (scores[1:] + scores[:-1]) / 2
    values = np.concatenate([[0.0, 1.0], scores, below, between])
    return np.unique(values[(values >= 0) & (values <= 1)])


@settings(max_examples=100, deadline=None)
@given(frames())
def test_a_frame_alarms_exactly_below_its_statistic(frame):
    prediction, *rest, config = frame
    statistic = frame_statistic(prediction, *rest, STREETHAZARDS, config)
    alarms = {t: bool(unknown_at(t, *frame)) for t in thresholds(prediction.anomaly).tolist()}
    # This is monotonicity as well: no alarm at or above the statistic, an alarm everywhere below.
    assert alarms == {t: statistic > t for t in alarms}
    assert statistic == 0 or statistic in prediction.anomaly


@settings(max_examples=100, deadline=None)
@given(frames(), st.integers(0, 2**32 - 1))
def test_more_anomaly_never_silences(frame, seed):
    prediction, *rest, config = frame
    rng = np.random.default_rng(seed)
    raised = np.maximum(prediction.anomaly, rng.random(prediction.anomaly.shape, np.float32))
    before = frame_statistic(prediction, *rest, STREETHAZARDS, config)
    after = frame_statistic(replace(prediction, anomaly=raised), *rest, STREETHAZARDS, config)
    assert after >= before


@settings(max_examples=50, deadline=None)
@given(frames(), st.lists(st.sampled_from([0.0, 3.0, 10.0, 11.0, 25.0, 60.0]), min_size=2))
def test_no_obstacle_lies_in_a_band_at_or_above_its_statistic(frame, borders):
    prediction, range_map, ground, _, config = frame
    edges = sorted(set(borders))
    bands = list(pairwise(edges))
    scores = band_statistics(*frame[:-1], STREETHAZARDS, config, bands)
    whole = frame_statistic(*frame[:-1], STREETHAZARDS, config)
    for (near, far), score in zip(bands, scores, strict=True):
        if range_map is None:
            assert score is None
            continue
        seen = ground & (range_map.depth >= near) & (range_map.depth < far)
        assert (score is None) == (seen.sum() < config.min_area_px)
        if score is None:
            continue
        assert score <= whole
        for t in thresholds(prediction.anomaly).tolist():
            inside = [o for o in unknown_at(t, *frame) if near <= o.distance < far]
            assert not inside or score > t


def blob(shape, box, score, base=0.1):
    anomaly = np.full(shape, base, np.float32)
    top, bottom, left, right = box
    anomaly[top:bottom, left:right] = score
    return anomaly


def see(anomaly, depth, nearest=None):
    nearest = np.full(anomaly.shape, ROAD, np.uint8) if nearest is None else nearest
    camera = Camera(*anomaly.shape[::-1], 100.0, 100.0, 0.0, 0.0)
    ranges = np.broadcast_to(np.float32(depth), anomaly.shape).copy()
    range_map = RangeMap(ranges, np.full(anomaly.shape, 0.1, np.float32))
    ground = np.ones(anomaly.shape, np.bool_)
    return Prediction(nearest, anomaly, nearest, 0.5), range_map, ground, camera


def test_the_size_of_an_obstacle_is_metric():
    config = replace(SMALL, min_area_m2=0.5)
    anomaly = blob((40, 40), (10, 20, 10, 20), 0.8, base=0.0)
    # 100 px of Z^2 / f^2 each: 0.25 m^2 at 5 m, 1 m^2 at 10 m.
    assert frame_statistic(*see(anomaly, 5.0), STREETHAZARDS, config) == 0
    assert frame_statistic(*see(anomaly, 10.0), STREETHAZARDS, config) == np.float32(0.8)


def test_a_band_knows_of_obstacles_at_its_distance_alone():
    anomaly = np.maximum(
        blob((40, 40), (5, 15, 5, 15), 0.8, 0.0), blob((40, 40), (25, 35, 25, 35), 0.6, 0.0)
    )
    depth = np.full((40, 40), 8.0)
    depth[20:] = 22.0
    bands = [(5.0, 10.0), (20.0, 25.0), (30.0, 40.0)]
    found = band_statistics(*see(anomaly, depth), STREETHAZARDS, SMALL, bands)
    assert found == (np.float32(0.8), np.float32(0.6), None)


def test_chosen_known_classes_break_monotonicity_and_are_left_aside():
    """A car of which the network doubts a corner: less threshold, less obstacle."""
    config = replace(SMALL, min_area_px=12, min_blind_area_px=12, known_classes=("car",))
    anomaly = blob((20, 20), (0, 3, 0, 2), 0.6, base=0.0)
    nearest = np.full((20, 20), ROAD, np.uint8)
    nearest[0:3, 0:5] = CAR
    frame = see(anomaly, 10.0, nearest)

    def listed(threshold):
        prediction = replace(frame[0], threshold=threshold)
        return len(find_obstacles(prediction, *frame[1:], STREETHAZARDS, config))

    assert listed(0.7) == 1  # 15 px of car
    assert listed(0.5) == 0  # 9 px of car, 6 px unknown: both too small
    assert frame_statistic(*frame, STREETHAZARDS, config) == 0


def test_a_frame_that_was_not_examined_says_nothing():
    prediction, range_map, ground, camera = see(blob((20, 20), (5, 15, 5, 15), 0.8), 10.0)
    result = FrameResult(7, "camera", prediction, (), True, ground, range_map, camera)
    found = statistic_of_result(result, STREETHAZARDS, SMALL, [(5.0, 20.0)], recording=2)
    assert (found.stamp_ns, found.recording) == (7, 2)
    assert found.score == np.float32(0.8)
    assert found.bands == (np.float32(0.8),)
    unseen = replace(result, ground=None, examined=False)
    assert statistic_of_result(unseen, STREETHAZARDS, SMALL) is None


@pytest.mark.parametrize("missing", [1, 3])
def test_bands_need_range_and_camera(missing):
    frame = list(see(blob((20, 20), (5, 15, 5, 15), 0.8), 10.0))
    frame[missing] = None
    assert band_statistics(*frame, STREETHAZARDS, SMALL, [(5.0, 20.0)]) == (None,)
