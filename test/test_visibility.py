"""What is said of the corridor agrees with what the search for obstacles really does."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.frame import Camera, FrameResult, Prediction, RangeMap
from open_set_seg.label_spaces import STREETHAZARDS, UNLABELLED
from open_set_seg.monitoring import VisibilityConfig, assess_visibility, fit_ground_plane
from open_set_seg.obstacles import ObstacleConfig, find_regions

W, H = 320, 200
CAMERA = Camera(W, H, 300.0, 290.0, 160.3, 60.2)
ROAD = STREETHAZARDS.id_of("road")
SIZES = (0.1, 0.2, 0.3, 0.5)
CONFIG = VisibilityConfig(object_sizes=SIZES)


def plane_depth(camera, height=1.4, pitch=0.0, roll=0.0):
    """Z of the plane in every pixel by its definition; NaN above the horizon or beyond 80 m."""
    normal = np.array([math.sin(roll), math.cos(roll) * math.cos(pitch), math.sin(pitch)])
    normal /= np.linalg.norm(normal)
    v, u = np.mgrid[: camera.height, : camera.width]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1)
    with np.errstate(divide="ignore"):
        depth = height / (rays @ normal)
    return np.where((depth > 0) & (depth < 80), depth, np.nan).astype(np.float32)


def result_of(depth, camera=CAMERA, ground=None, sigma=0.01, **changes):
    shape = (camera.height, camera.width)
    labels = np.full(shape, ROAD, np.uint8)
    prediction = Prediction(labels, np.zeros(shape, np.float32), labels, 0.5)
    ranges = None
    if depth is not None:
        ranges = RangeMap(depth, np.where(np.isnan(depth), np.nan, sigma).astype(np.float32))
    ground = np.ones(shape, np.bool_) if ground is None else ground
    made = FrameResult(0, "", prediction, (), True, ground, ranges, camera)
    return dataclasses.replace(made, **changes)


def is_found(size, distance, place, depth, rules, camera=CAMERA, height=1.4):
    """Render a square on the road and search: pixels whose centre it covers, with its range.

    ``place``: (columns, rows) by which it lies beside the optical axis and the road, [0, 1).
    """
    foot = camera.cy + camera.fy * height / distance + place[1]
    left = camera.cx + place[0] - camera.fx * size / distance / 2
    rows, columns = np.arange(camera.height), np.arange(camera.width)
    inside = (rows < foot) & (rows >= foot - camera.fy * size / distance)
    mask = inside[:, None] & (columns >= left) & (columns < left + camera.fx * size / distance)
    anomaly = np.where(mask, 0.9, 0.1).astype(np.float32)
    labels = np.full(mask.shape, ROAD, np.uint8)
    ranges = None
    if depth is not None:
        z = np.where(mask & ~np.isnan(depth), distance, depth).astype(np.float32)
        ranges = RangeMap(z, np.full_like(z, 0.1))
    prediction = Prediction(labels, anomaly, labels, 0.5)
    everywhere = np.ones(mask.shape, np.bool_)
    search = find_regions(prediction, ranges, everywhere, camera, STREETHAZARDS, rules)
    return len(search.regions) == 1


def found_everywhere(size, distance, depth, rules, **changes):
    """Anywhere on the pixel grid: some places, and the one where the fewest centres are covered."""
    left = CAMERA.cx - CAMERA.fx * size / distance / 2
    top = CAMERA.cy + CAMERA.fy * (1.4 - size) / distance
    fewest = (math.ceil(left) + 1e-6 - left, math.floor(top) + 1e-6 - top)
    places = [(column, row - 1.0) for column in (0.1, 0.8) for row in (0.3, 0.99)]
    return all(
        is_found(size, distance, each, depth, rules, **changes) for each in (fewest, *places)
    )


RULES = {
    "default": ObstacleConfig(),
    "no metres": ObstacleConfig(min_area_m2=0.0, min_area_px=30),
    "no opening": ObstacleConfig(min_area_m2=0.0, min_area_px=2, opening=False),
    "a metre": ObstacleConfig(min_area_m2=0.2),
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("with_range", [True, False])
@pytest.mark.parametrize("size", [0.1, 0.2, 0.5])
def test_the_stated_distance_is_where_rendered_squares_begin_to_be_missed(size, rules, with_range):
    # Range everywhere or nowhere, so that only the closed form speaks.
    depth = np.nan_to_num(plane_depth(CAMERA), nan=80.0) if with_range else None
    config = dataclasses.replace(CONFIG, camera_height=1.4)
    result = result_of(depth, ground=np.isfinite(plane_depth(CAMERA)))
    stated = assess_visibility(result, rules, config).detectable_distance_m[size]
    nearest = 1.4 / ((H - 1 - CAMERA.cy) / CAMERA.fy)
    if stated == 0.0:
        soon = np.linspace(nearest, nearest + 0.3, 31)
        assert not all(found_everywhere(size, distance, depth, rules) for distance in soon)
        return
    for distance in np.linspace(nearest + 1e-3, stated - 1e-3, 25):
        assert found_everywhere(size, distance, depth, rules), distance
    if stated < CONFIG.band_edges[-1]:
        beyond = np.linspace(stated + 1e-3, stated + 0.3, 31)
        assert not all(found_everywhere(size, distance, depth, rules) for distance in beyond)


def test_a_miss_of_millimetres_right_after_a_step_ends_the_statement():
    """Beyond 6 m 15 columns become 14, and that is too little for a few millimetres only."""
    camera = dataclasses.replace(CAMERA, fy=300.0)
    whole = np.nan_to_num(plane_depth(camera), nan=80.0)
    rules = ObstacleConfig(min_area_m2=0.09 * (14 / 15) ** 2 * 1.001)
    result = result_of(whole, camera, np.isfinite(plane_depth(camera)))
    config = dataclasses.replace(CONFIG, camera_height=1.4, object_sizes=(0.3,))
    stated = assess_visibility(result, rules, config).detectable_distance_m[0.3]
    assert stated == pytest.approx(6.0, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.0, 1.0),
    st.sampled_from(list(RULES.values())),
)
def test_larger_objects_are_seen_farther_whatever_ranges_are_missing(seed, share, rules):
    rng = np.random.default_rng(seed)
    depth = plane_depth(CAMERA)
    depth[rng.random(depth.shape) < share * rng.random((H, 1))] = np.nan
    config = dataclasses.replace(CONFIG, camera_height=1.4)
    stated = assess_visibility(result_of(depth), rules, config).detectable_distance_m
    distances = [stated[size] for size in SIZES]
    assert distances == sorted(distances)
    assert all(0 <= distance <= CONFIG.band_edges[-1] for distance in distances)


def test_a_hole_in_the_ranges_ends_the_distance_where_it_begins():
    depth = plane_depth(CAMERA)
    whole = assess_visibility(result_of(depth), ObstacleConfig(), CONFIG)
    hole = depth.copy()
    hole[(depth > 10.0) & (depth < 16.0)] = np.nan
    part = assess_visibility(result_of(hole), ObstacleConfig(), CONFIG)
    assert whole.detectable_distance_m[0.3] > 18.0
    assert 7.8 < part.detectable_distance_m[0.3] < 10.5
    # Before the statement ends the square is found, and in the hole it is not.
    inside = part.detectable_distance_m[0.3]
    assert found_everywhere(0.3, inside - 0.1, hole, ObstacleConfig())
    assert not all(
        found_everywhere(0.3, distance, hole, ObstacleConfig())
        for distance in np.arange(inside, 16.0, 0.1)
    )
    assert part.range_share < whole.range_share == pytest.approx(1.0)
    assert [(band.near, band.far) for band in part.blind_bands] == [(10.0, 15.0)]
    assert part.clear_until_m == 10.0
    assert whole.clear_until_m == 50.0


def test_shares_are_those_of_the_ground_that_was_seen():
    depth = plane_depth(CAMERA)
    labels = np.full((H, W), ROAD, np.uint8)
    # Left of the optical axis nothing was segmented, and beyond 30 m the gate is closed.
    labels[:, :160] = UNLABELLED
    prediction = Prediction(labels, np.zeros((H, W), np.float32), labels, 0.5)
    result = result_of(depth, prediction=prediction, ground=depth < 30.0)
    visibility = assess_visibility(result, ObstacleConfig(), CONFIG)
    by_band = {band.near: band for band in visibility.bands}
    for near in (5.0, 10.0, 15.0, 20.0):
        assert by_band[near].seen_share == pytest.approx(0.5, abs=0.06)
        assert by_band[near].range_share == pytest.approx(1.0, abs=0.01)
    assert by_band[30.0].seen_share < 0.05
    assert by_band[40.0].seen_share == 0.0
    lengths = [5, 5, 5, 10, 10, 10]
    shares = [band.seen_share for band in visibility.bands]
    assert visibility.corridor_share == pytest.approx(np.average(shares, weights=lengths))


def test_what_something_hides_was_not_seen():
    depth = plane_depth(CAMERA)
    hidden = depth.copy()
    # A wall 12 m ahead, across the whole image.
    hidden[~(depth < 12.0)] = 12.0
    visibility = assess_visibility(result_of(hidden), ObstacleConfig(), CONFIG)
    shares = {band.near: band.seen_share for band in visibility.bands}
    assert shares[5.0] == pytest.approx(1.0)
    assert 0.4 < shares[10.0] < 0.75
    assert shares[15.0] == shares[20.0] == shares[40.0] == 0.0
    assert visibility.clear_until_m <= 15.0
    assert visibility.detectable_distance_m[0.5] < 14.0


@pytest.mark.parametrize(
    "changes",
    [
        {"camera": None},
        {"range_map": None},
        {"ground": None, "examined": False},
        {"ground": np.zeros((H, W), np.bool_)},
    ],
    ids=["camera", "range", "not examined", "no ground"],
)
def test_where_nothing_can_be_said_everything_is_blind(changes):
    result = dataclasses.replace(result_of(plane_depth(CAMERA)), **changes)
    visibility = assess_visibility(result, ObstacleConfig(), CONFIG)
    assert visibility.plane is None
    assert visibility.plane_source is None
    assert math.isnan(visibility.corridor_share)
    assert math.isnan(visibility.range_share)
    assert math.isnan(visibility.clear_until_m)
    assert visibility.blind_bands == visibility.bands
    assert len(visibility.bands) == 6
    assert all(map(math.isnan, visibility.detectable_distance_m.values()))


def test_a_frame_that_was_not_searched_saw_nothing_even_with_a_known_ground():
    config = dataclasses.replace(CONFIG, camera_height=1.4)
    result = result_of(plane_depth(CAMERA), examined=False)
    visibility = assess_visibility(
        dataclasses.replace(result, ground=None), ObstacleConfig(), config
    )
    assert visibility.plane_source == "camera height"
    assert visibility.corridor_share == 0.0
    assert visibility.blind_bands == visibility.bands
    assert set(visibility.detectable_distance_m.values()) == {0.0}


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 2.0), st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.integers(0, 2**32 - 1))
def test_the_plane_is_found_under_noise_holes_and_things_that_stand_on_it(
    height, pitch, roll, seed
):
    rng = np.random.default_rng(seed)
    depth = plane_depth(CAMERA, height, pitch, roll)
    ground = np.isfinite(depth)
    # Stereo noise of 0.2 px at f T = 60, a third of all pixels blind, a fifth on other things.
    sigma = np.square(depth) * (0.2 / 60.0)
    noisy = 1.0 / (1.0 / depth + rng.standard_normal(depth.shape) * (0.2 / 60.0))
    noisy[:, 100:164] *= 0.5
    noisy[(rng.random(depth.shape) < 0.33) | ~(noisy > 0.1)] = np.nan
    result = result_of(noisy.astype(np.float32), ground=ground)
    ranges = RangeMap(noisy.astype(np.float32), sigma.astype(np.float32))
    plane = fit_ground_plane(dataclasses.replace(result, range_map=ranges))
    assert plane is not None
    assert plane.height == pytest.approx(height, rel=0.12)
    normal = np.array([math.sin(roll), math.cos(roll) * math.cos(pitch), math.sin(pitch)])
    normal /= np.linalg.norm(normal)
    assert math.degrees(math.acos(min(1.0, normal @ plane.normal))) < 2.0


@pytest.mark.parametrize("kind", ["wall", "noise", "few"])
def test_what_is_no_ground_gives_no_plane(kind):
    rng = np.random.default_rng(0)
    depth = {
        "wall": np.full((H, W), 7.0),
        "noise": rng.uniform(1.0, 60.0, (H, W)),
        "few": np.where(rng.random((H, W)) < 5e-4, plane_depth(CAMERA), np.nan),
    }[kind]
    assert fit_ground_plane(result_of(depth.astype(np.float32))) is None


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(8, 8), (33, 17), (200, 64)]))
def test_frames_of_any_content_are_assessed_without_an_exception(seed, size):
    rng = np.random.default_rng(seed)
    width, height = size
    camera = Camera(width, height, *rng.uniform(1.0, 500.0, 2), *rng.uniform(-50.0, 250.0, 2))
    depth = rng.choice([np.nan, 0.0, -1.0, 3.0, 50.0, np.inf], (height, width)).astype(np.float32)
    ground = rng.random((height, width)) < 0.5
    config = dataclasses.replace(CONFIG, camera_height=float(rng.uniform(0.1, 3.0)))
    result = result_of(depth, camera, ground)
    visibility = assess_visibility(result, ObstacleConfig(), config)
    assert 0 <= visibility.corridor_share <= 1
    assert 0 <= visibility.range_share <= 1


@pytest.mark.parametrize(
    "changes",
    [
        {"corridor_width": 0.0},
        {"band_edges": (5.0,)},
        {"band_edges": (5.0, 5.0)},
        {"band_edges": (0.0, 5.0)},
        {"object_sizes": (0.1, -0.2)},
        {"camera_height": math.nan},
        {"min_share": 0.0},
    ],
)
def test_impossible_configurations_are_refused(changes):
    with pytest.raises(ValueError):
        VisibilityConfig(**changes)
