"""Which regions are obstacles, and what is said about each."""

import dataclasses
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from open_set_seg.frame import Camera, Prediction, RangeMap
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.obstacles import ObstacleConfig, find_obstacles, find_regions

H, W = 96, 128
CAMERA = Camera(W, H, 100.0, 100.0, 63.5, 47.5)
ROAD = STREETHAZARDS.id_of("road")
CAR = STREETHAZARDS.id_of("car")
BUILDING = STREETHAZARDS.id_of("building")
EVERYWHERE = np.ones((H, W), np.bool_)
# Every region counts, whatever its size.
ANY_SIZE = ObstacleConfig(min_area_px=1, min_area_m2=0.0, min_blind_area_px=1, opening=False)


def prediction_of(anomaly, nearest=None, threshold=0.5):
    anomaly = np.asarray(anomaly, np.float32)
    nearest = np.full(anomaly.shape, ROAD, np.uint8) if nearest is None else nearest
    labels = np.where(anomaly > threshold, STREETHAZARDS.unknown_id, nearest).astype(np.uint8)
    return Prediction(labels, anomaly, nearest, threshold)


def flat_range(depth, sigma=0.1):
    depth = np.broadcast_to(np.asarray(depth, np.float32), (H, W)).copy()
    return RangeMap(depth, np.where(np.isnan(depth), np.nan, sigma).astype(np.float32))


def scene(*boxes, score=0.9):
    """An anomaly map with (top, bottom, left, right) boxes of one score."""
    anomaly = np.full((H, W), 0.1, np.float32)
    for top, bottom, left, right in boxes:
        anomaly[top:bottom, left:right] = score
    return anomaly


def find(anomaly, range_map=None, ground=EVERYWHERE, config=ANY_SIZE, nearest=None, **changes):
    config = dataclasses.replace(config, **changes)
    range_map = flat_range(10.0) if range_map is None else range_map
    prediction = prediction_of(anomaly, nearest)
    return find_obstacles(prediction, range_map, ground, CAMERA, STREETHAZARDS, config)


def full_mask(obstacle):
    mask = np.zeros((H, W), np.bool_)
    left, top, width, height = obstacle.box
    mask[top : top + height, left : left + width] = obstacle.mask
    return mask


def test_a_rectangle_gets_its_true_position_and_size():
    (obstacle,) = find(scene((30, 50, 70, 110)), flat_range(20.0))
    assert obstacle.kind == "unknown"
    assert obstacle.distance == pytest.approx(20.0, abs=0.15)
    # 40 x 20 px at 20 m with f = 100 px; its centre is 26 px right of and 8 px above the axis.
    assert obstacle.width == pytest.approx(8.0, rel=0.01)
    assert obstacle.height == pytest.approx(4.0, rel=0.01)
    assert obstacle.position == pytest.approx((5.2, -1.6, 20.0), rel=0.02)
    assert obstacle.box == (70, 30, 40, 20)
    assert obstacle.area_px == 800
    assert obstacle.valid_share == 1.0


def test_a_thread_hanging_from_an_obstacle_does_not_widen_it():
    anomaly = scene((20, 80, 40, 70))
    anomaly[45, 70:100] = 0.9
    (obstacle,) = find(anomaly)
    assert obstacle.box[2] == 60
    assert obstacle.width == pytest.approx(3.0, rel=0.05)


def test_scores_and_nearest_classes_are_those_of_the_region():
    anomaly = scene((10, 20, 10, 20), score=0.7)
    anomaly[10, 10] = 0.95
    nearest = np.full((H, W), ROAD, np.uint8)
    nearest[10:20, 10:13] = CAR
    (obstacle,) = find(anomaly, nearest=nearest)
    assert obstacle.mean_score == pytest.approx((99 * 0.7 + 0.95) / 100)
    assert obstacle.peak_score == pytest.approx(0.95)
    assert obstacle.nearest_classes == ((ROAD, 0.7), (CAR, 0.3))


def test_regions_are_those_of_an_independent_labelling():
    generator = np.random.default_rng(0)
    anomaly = generator.random((H, W)).astype(np.float32)
    obstacles = find(anomaly, config=dataclasses.replace(ANY_SIZE, max_obstacles=10_000))
    anomalous = prediction_of(anomaly).anomaly > 0.5
    expected, count = ndimage.label(anomalous, structure=np.ones((3, 3)))
    assert len(obstacles) == count
    union = np.zeros((H, W), np.int64)
    for obstacle in obstacles:
        mask = full_mask(obstacle)
        assert mask.sum() == obstacle.area_px
        assert len(np.unique(expected[mask])) == 1
        union += mask
    np.testing.assert_array_equal(union, anomalous)


def test_the_outline_encloses_the_region_in_image_coordinates():
    rows, columns = np.mgrid[:H, :W]
    disc = ((rows - 50) ** 2 + (columns - 80) ** 2 < 15**2).astype(np.float32)
    (obstacle,) = find(disc)
    assert obstacle.outline.dtype == np.int32
    assert obstacle.outline.shape[1] == 2
    outline = obstacle.outline.astype(float)
    x, y = outline[:, 0], outline[:, 1]
    shoelace = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert shoelace == pytest.approx(np.pi * 14.5**2, rel=0.05)
    assert full_mask(obstacle)[obstacle.outline[:, 1], obstacle.outline[:, 0]].all()


def test_only_regions_that_touch_the_ground_count_and_they_are_not_clipped():
    ground = np.zeros((H, W), np.bool_)
    ground[48:] = True
    apart, adjoining, overlapping = (10, 47, 5, 15), (20, 48, 40, 50), (20, 70, 80, 90)
    obstacles = find(scene(apart, adjoining, overlapping), ground=ground)
    assert sorted(obstacle.box for obstacle in obstacles) == [(40, 20, 10, 28), (80, 20, 10, 50)]


def test_obstacles_are_sorted_by_distance_with_unknown_ones_last_and_numbered():
    depth = np.full((H, W), np.nan, np.float32)
    depth[:, :30], depth[:, 30:60], depth[:, 60:90] = 30, 10, 20
    boxes = [(10, 40, left, left + 20) for left in (5, 35, 65)]
    obstacles = find(scene(*boxes, (10, 40, 100, 120)), flat_range(depth))
    distances = [obstacle.distance for obstacle in obstacles]
    assert distances[:3] == sorted(distances[:3])
    assert [obstacle.box[0] for obstacle in obstacles] == [35, 65, 5, 100]
    assert [obstacle.id for obstacle in obstacles] == [0, 1, 2, 3]
    unknown = obstacles[-1]
    assert math.isnan(unknown.distance)
    assert math.isnan(unknown.distance_sigma)
    assert all(map(math.isnan, (*unknown.position, unknown.width, unknown.height)))
    assert unknown.valid_share == 0.0


@pytest.mark.parametrize("missing", ["range", "camera"])
def test_without_range_or_camera_obstacles_stay_with_unknown_distance(missing):
    (obstacle,) = find_obstacles(
        prediction_of(scene((30, 50, 40, 60))),
        None if missing == "range" else flat_range(10.0),
        EVERYWHERE,
        None if missing == "camera" else CAMERA,
        STREETHAZARDS,
        ObstacleConfig(),
    )
    assert math.isnan(obstacle.distance)
    assert obstacle.area_px == 400


def test_a_few_valid_pixels_in_a_large_region_are_no_distance():
    depth = np.full((H, W), np.nan, np.float32)
    depth[40, 50:54] = 3.0
    config = ObstacleConfig(min_valid_share=0.05, min_valid_px=4)
    (obstacle,) = find(scene((30, 50, 40, 60)), flat_range(depth), config=config)
    assert math.isnan(obstacle.distance)
    assert obstacle.valid_share == pytest.approx(0.01)


def test_the_smallest_obstacle_is_the_same_in_metres_at_every_distance():
    # Just under 0.25 m2, which at f = 100 is 25 px at 10 m and 100 px at 5 m.
    limits = dataclasses.replace(ANY_SIZE, min_area_m2=0.249, min_blind_area_px=10**6)
    assert find(scene((10, 15, 10, 15)), flat_range(10.0), config=limits)
    assert not find(scene((10, 14, 10, 16)), flat_range(10.0), config=limits)
    assert find(scene((10, 20, 10, 20)), flat_range(5.0), config=limits)
    assert not find(scene((10, 19, 10, 20)), flat_range(5.0), config=limits)


def test_a_region_without_range_counts_by_its_pixels():
    limits = dataclasses.replace(ANY_SIZE, min_area_m2=0.25, min_blind_area_px=50)
    nothing = flat_range(np.nan)
    assert find(scene((10, 15, 10, 20)), nothing, config=limits)
    assert not find(scene((10, 15, 10, 19)), nothing, config=limits)


def test_opening_removes_threads_but_nothing_three_pixels_thick():
    anomaly = scene((10, 40, 10, 12), (10, 13, 40, 43))
    (obstacle,) = find(anomaly, config=ANY_SIZE, opening=True)
    assert obstacle.box == (40, 10, 3, 3)


def test_chosen_known_classes_are_regions_of_their_own_kind():
    nearest = np.full((H, W), ROAD, np.uint8)
    nearest[20:40, 20:60] = CAR
    nearest[60:80, 20:60] = BUILDING
    anomaly = scene((20, 40, 40, 60))
    obstacles = find(anomaly, nearest=nearest, known_classes=("car",))
    by_kind = {obstacle.kind: obstacle.box for obstacle in obstacles}
    assert by_kind == {"car": (20, 20, 20, 20), "unknown": (40, 20, 20, 20)}
    assert {o.kind for o in find(anomaly, nearest=nearest)} == {"unknown"}


def test_of_too_many_regions_the_largest_are_listed_and_the_rest_counted():
    boxes = [(10 * row, 10 * row + 3 + row % 5, 10, 10 + 3 + row) for row in range(9)]
    config = dataclasses.replace(ANY_SIZE, max_obstacles=4)
    search = find_regions(
        prediction_of(scene(*boxes)), None, EVERYWHERE, None, STREETHAZARDS, config
    )
    everything = find(scene(*boxes))
    areas = sorted((obstacle.area_px for obstacle in everything), reverse=True)
    assert [region.area_px for region in search.regions] == areas[:4]
    assert search.left_out == 5


@st.composite
def random_scenes(draw):
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    smooth = ndimage.gaussian_filter(generator.random((H, W)), draw(st.floats(0.3, 4.0)))
    anomaly = (smooth - smooth.min()) / np.ptp(smooth)
    depth = generator.uniform(3, 40, (H, W))
    depth[generator.random((H, W)) < draw(st.floats(0, 1))] = np.nan
    ground = generator.random((H, W)) < draw(st.floats(0, 0.1))
    config = ObstacleConfig(
        min_area_px=draw(st.integers(1, 60)),
        min_area_m2=draw(st.floats(0, 5)),
        min_blind_area_px=draw(st.integers(1, 100)),
        opening=draw(st.booleans()),
        max_obstacles=10_000,
    )
    high, low = sorted(draw(st.tuples(st.floats(0, 1), st.floats(0, 1))), reverse=True)
    return anomaly, flat_range(depth), ground, config, high, low


@settings(max_examples=60, deadline=None)
@given(random_scenes())
def test_lowering_the_threshold_never_silences_an_alarm(drawn):
    anomaly, range_map, ground, config, high, low = drawn
    masks = []
    for threshold in (high, low):
        search = find_regions(
            prediction_of(anomaly, threshold=threshold),
            range_map, ground, CAMERA, STREETHAZARDS, config,
        )  # fmt: skip
        masks.append([full_mask(region) for region in search.regions])
    for alarm in masks[0]:
        containing = [mask for mask in masks[1] if mask[alarm].any()]
        assert len(containing) == 1
        assert containing[0][alarm].all()


def test_a_noisy_mask_of_two_megapixels_stays_fast():
    generator = np.random.default_rng(0)
    shape = (1024, 2048)
    camera = Camera(2048, 1024, 2000.0, 2000.0, 1023.5, 511.5)
    anomaly = generator.random(shape).astype(np.float32)
    depth = generator.uniform(5, 50, shape).astype(np.float32)
    config = dataclasses.replace(ANY_SIZE, min_area_px=12)
    prediction = prediction_of(anomaly, threshold=0.7)
    begin = time.perf_counter()
    search = find_regions(
        prediction, RangeMap(depth, depth), np.ones(shape, np.bool_), camera, STREETHAZARDS, config
    )
    assert time.perf_counter() - begin < 3.0
    assert len(search.regions) == config.max_obstacles
    assert search.left_out > 1000


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_area_px": 0},
        {"min_area_m2": -1.0},
        {"min_area_m2": math.nan},
        {"min_blind_area_px": 0},
        {"max_obstacles": 0},
        {"min_valid_px": 0},
        {"min_valid_share": 1.5},
        {"known_classes": ("unknown",)},
        {"known_classes": ("car", "car")},
    ],
)
def test_configuration_refuses_impossible_values(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ObstacleConfig(**wrong)


def test_a_class_that_the_network_does_not_know_is_refused():
    with pytest.raises(ValueError, match=r"zebra.*sky, building"):
        find(scene(), known_classes=("zebra",))
