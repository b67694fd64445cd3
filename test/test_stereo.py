"""Range from disparity and depth, and what becomes of inputs that lie."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from open_set_seg.frame import Camera, DepthMap, DisparityMap
from open_set_seg.stereo import RangeConfig, back_project, estimate_range, point_map, project

H, W = 6, 8
FOCAL, BASELINE = 500.0, 0.2
CAMERA = Camera(W, H, FOCAL, FOCAL, 3.5, 2.5)


def disparity_map(values=10.0, **changes):
    values = np.broadcast_to(np.asarray(values, np.float32), (H, W)).copy()
    return dataclasses.replace(DisparityMap(values, FOCAL, BASELINE), **changes)


def estimate(range_input, right_baseline=None, **config):
    return estimate_range(range_input, (H, W), CAMERA, RangeConfig(**config), right_baseline)


def codes(problems):
    return [problem.code for problem in problems]


def test_depth_is_focal_length_times_baseline_over_disparity():
    values = np.linspace(2, 100, H * W, dtype=np.float32).reshape(H, W)
    range_map, problems = estimate(disparity_map(values))
    assert problems == ()
    np.testing.assert_allclose(range_map.depth, FOCAL * BASELINE / values, rtol=1e-6)
    assert range_map.depth.dtype == range_map.sigma.dtype == np.float32


def test_sigma_is_the_spread_of_depth_under_noisy_disparity():
    noise = np.random.default_rng(0).normal(0, 0.25, 100_000)
    simulated = np.std(FOCAL * BASELINE / (10 + noise))
    range_map, _ = estimate(disparity_map(10), disparity_sigma=0.25)
    assert range_map.sigma[0, 0] == pytest.approx(simulated, rel=0.02)


def test_sigma_includes_the_rounding_to_the_stated_quantum():
    # Uniform rounding error of 1 px beside a Gaussian one of 0.3 px.
    generator = np.random.default_rng(0)
    error = generator.normal(0, 0.3, 100_000) + generator.uniform(-0.5, 0.5, 100_000)
    range_map, _ = estimate(disparity_map(20, quantum=1.0), disparity_sigma=0.3)
    assert range_map.sigma[0, 0] == pytest.approx(np.std(100 / (20 + error)), rel=0.02)


@pytest.mark.parametrize(
    ("value", "stated", "valid"),
    [
        (10.0, {}, True),
        (0.0, {}, False),
        (-1.0, {}, False),
        (math.nan, {}, False),
        (math.inf, {}, False),
        (-math.inf, {}, False),
        (1e-42, {}, False),
        (3e38, {}, False),
        (100 / 80.5, {}, False),
        (100 / 79.5, {}, True),
        (100 / 0.51, {}, True),
        (100 / 0.49, {}, False),
        (10.0, {"min_disparity": 10.5}, False),
        (10.0, {"min_disparity": 9.5}, True),
        (10.0, {"min_disparity": -20.0, "max_disparity": 9.0}, False),
        (10.0, {"max_disparity": 9.0}, False),
        (10.0, {"min_disparity": 0.0, "max_disparity": 0.0}, True),
        (10.0, {"max_disparity": math.inf}, True),
        (10.0, {"min_disparity": math.nan, "max_disparity": math.nan}, True),
    ],
)
def test_which_disparities_are_believed(value, stated, valid):
    values = np.full((H, W), 5.0, np.float32)
    values[0, 0] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        range_map, _ = estimate(disparity_map(values, **stated))
    believed = range_map is not None and bool(np.isfinite(range_map.depth[0, 0]))
    assert believed == valid


# Each lie, its name, and the parameter that answers it (with the true value).
LIES = [
    ({"baseline": 0.0}, None, "disparity.baseline", {"baseline_override": BASELINE}),
    ({"baseline": -0.0}, None, "disparity.baseline", {"baseline_override": BASELINE}),
    ({"baseline": -BASELINE}, None, "disparity.baseline", {"baseline_override": BASELINE}),
    ({"baseline": math.nan}, None, "disparity.baseline", {"baseline_override": BASELINE}),
    ({"baseline": math.inf}, None, "disparity.baseline", {"baseline_override": BASELINE}),
    ({"baseline": 0.002}, 0.2, "disparity.baseline_mismatch", {"baseline_override": BASELINE}),
    ({"baseline": 20.0}, 0.2, "disparity.baseline_mismatch", {"baseline_override": BASELINE}),
    ({"baseline": 0.212}, 0.2, "disparity.baseline_mismatch", {"baseline_override": BASELINE}),
    ({"baseline": 0.002}, None, "disparity.baseline_implausible", {"baseline_override": BASELINE}),
    ({"baseline": 20.0}, None, "disparity.baseline_implausible", {"baseline_override": BASELINE}),
    ({"focal_length": 0.0}, None, "disparity.focal_length", {"focal_override": FOCAL}),
    ({"focal_length": math.nan}, None, "disparity.focal_length", {"focal_override": FOCAL}),
    ({"focal_length": 470.0}, None, "disparity.focal_length_mismatch", {"focal_override": FOCAL}),
    ({"focal_length": 1000.0}, None, "disparity.focal_length_mismatch", {"focal_override": FOCAL}),
]


@pytest.mark.parametrize(("lie", "right_baseline", "code", "remedy"), LIES)
def test_a_lying_message_is_named_and_refused_and_overridden_by_its_parameter(
    lie, right_baseline, code, remedy
):
    honest, _ = estimate(disparity_map())
    lying = disparity_map(**lie)
    range_map, problems = estimate(lying, right_baseline)
    assert range_map is None
    assert codes(problems) == [code]
    assert problems[0].severity == "error"
    range_map, problems = estimate(lying, right_baseline, **remedy)
    assert problems == ()
    np.testing.assert_array_equal(range_map.depth, honest.depth)


def test_small_disagreement_of_calibrations_is_tolerated():
    range_map, problems = estimate(disparity_map(baseline=0.205, focal_length=510.0), 0.2)
    assert range_map is not None
    assert problems == ()


def test_an_unusual_baseline_is_believed_when_the_right_camera_confirms_it():
    range_map, problems = estimate(disparity_map(baseline=8.0, values=100), right_baseline=8.0)
    assert problems == ()
    assert range_map.depth[0, 0] == pytest.approx(40)


def test_a_right_camera_without_projection_is_no_second_opinion():
    for nothing in (0.0, math.nan, math.inf):
        assert estimate(disparity_map(), nothing)[1] == ()


def test_swapped_cameras_are_named():
    range_map, problems = estimate(disparity_map(), right_baseline=-BASELINE)
    assert range_map is None
    assert codes(problems) == ["disparity.swapped"]


def test_an_override_that_contradicts_the_cameras_is_used_but_told():
    range_map, problems = estimate(
        disparity_map(), BASELINE, baseline_override=0.4, focal_override=600.0
    )
    assert range_map.depth[0, 0] == pytest.approx(24)
    assert {problem.severity for problem in problems} == {"warning"}
    assert codes(problems) == ["disparity.focal_length_mismatch", "disparity.baseline_mismatch"]


@pytest.mark.parametrize("baseline", [BASELINE, -BASELINE])
def test_negative_disparities_are_named_and_flipped_by_the_scale(baseline):
    values = -np.linspace(5, 20, H * W, dtype=np.float32).reshape(H, W)
    range_map, problems = estimate(disparity_map(values, baseline=baseline))
    assert range_map is None
    assert "disparity.sign" in codes(problems)
    message = next(problem.message for problem in problems if problem.code == "disparity.sign")
    assert "disparity_scale to -1" in message
    range_map, problems = estimate(
        disparity_map(values, baseline=baseline), disparity_scale=-1, baseline_override=BASELINE
    )
    assert problems == ()
    np.testing.assert_allclose(range_map.depth, -FOCAL * BASELINE / values, rtol=1e-6)


def test_negative_invalid_markers_are_not_taken_for_a_flipped_sign():
    values = np.full((H, W), -1.0, np.float32)
    assert codes(estimate(disparity_map(values))[1]) == ["disparity.empty"]
    values[2] = 7
    assert estimate(disparity_map(values))[1] == ()


@pytest.mark.parametrize("value", [math.nan, 0.0, math.inf, 0.5, 5000.0])
def test_disparity_without_a_single_usable_pixel_is_refused(value):
    range_map, problems = estimate(disparity_map(value))
    assert range_map is None
    assert codes(problems) == ["disparity.empty"]


def test_fixed_point_disparities_are_scaled():
    range_map, problems = estimate(disparity_map(160.0), disparity_scale=1 / 16)
    assert problems == ()
    assert range_map.depth[0, 0] == pytest.approx(10)


def test_limits_of_the_matcher_are_in_the_message_own_units():
    values = np.full((H, W), 160.0, np.float32)
    values[0] = 15
    range_map, _ = estimate(
        disparity_map(values, min_disparity=16.0, max_disparity=1600.0), disparity_scale=1 / 16
    )
    assert np.isnan(range_map.depth[0]).all()
    assert np.isfinite(range_map.depth[1:]).all()


def test_an_impossible_quantum_is_told_and_ignored():
    for quantum in (-1.0, math.nan, math.inf, 100.0):
        range_map, problems = estimate(disparity_map(quantum=quantum))
        assert codes(problems) == ["disparity.quantum"]
        np.testing.assert_array_equal(range_map.sigma, estimate(disparity_map())[0].sigma)


@pytest.mark.parametrize("kind", [DepthMap, lambda values: DisparityMap(values, FOCAL, BASELINE)])
@pytest.mark.parametrize("shape", [(H, W + 1), (H // 2, W // 2), (2 * H, 2 * W), (0, 0), (W, H)])
def test_a_map_of_another_size_is_refused(kind, shape):
    range_map, problems = estimate(kind(np.ones(shape, np.float32)))
    assert range_map is None
    assert problems[0].code.endswith(".size")
    assert problems[0].severity == "error"


def test_depth_is_believed_inside_the_limits_and_its_sigma_grows_with_its_square():
    values = np.full((H, W), 20.0, np.float32)
    values[0, :6] = [0, -1, math.nan, math.inf, 0.4, 81]
    values[1, :2] = [0.6, 79]
    range_map, problems = estimate(DepthMap(values), depth_sigma_per_m2=0.001)
    assert problems == ()
    assert np.isnan(range_map.depth[0, :6]).all()
    assert np.isnan(range_map.sigma[0, :6]).all()
    assert np.isfinite(range_map.depth).sum() == H * W - 6
    assert range_map.sigma[5, 5] == pytest.approx(0.4)


def test_millimetres_by_mistake_are_named_and_scaled_by_the_parameter():
    values = np.linspace(1500, 40_000, H * W, dtype=np.float32).reshape(H, W)
    range_map, problems = estimate(DepthMap(values))
    assert range_map is None
    assert codes(problems) == ["depth.unit"]
    range_map, problems = estimate(DepthMap(values), depth_scale=0.001)
    assert problems == ()
    np.testing.assert_allclose(range_map.depth, values / 1000, rtol=1e-6)


def test_a_far_plane_in_the_sky_is_not_taken_for_millimetres():
    values = np.full((H, W), 10_000.0, np.float32)
    values[H // 2 :] = 12.0
    assert estimate(DepthMap(values))[1] == ()


@pytest.mark.parametrize("value", [math.nan, 0.0, -3.0, math.inf, 0.01])
def test_depth_without_a_single_usable_pixel_is_refused(value):
    range_map, problems = estimate(DepthMap(np.full((H, W), value, np.float32)))
    assert range_map is None
    assert codes(problems) == ["depth.empty"]


anything = st.floats(width=32)


@settings(max_examples=150, deadline=None)
@given(
    values=hnp.arrays(np.float32, (H, W), elements=anything),
    focal=anything,
    baseline=anything,
    limits=st.tuples(anything, anything, anything),
    right_baseline=st.none() | anything,
    scale=st.sampled_from([1.0, -1.0, 1 / 16, 1e30]),
)
def test_no_input_warns_raises_or_gives_a_distance_outside_the_limits(
    values, focal, baseline, limits, right_baseline, scale
):
    config = RangeConfig(disparity_scale=scale, focal_override=FOCAL, baseline_override=BASELINE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sent in (DisparityMap(values, focal, baseline, *limits), DepthMap(values)):
            for chosen in (config, RangeConfig()):
                range_map, problems = estimate_range(sent, (H, W), CAMERA, chosen, right_baseline)
                assert (range_map is None) == any(p.severity == "error" for p in problems)
                if range_map is not None:
                    known = np.isfinite(range_map.depth)
                    assert known.any()
                    np.testing.assert_array_equal(known, np.isfinite(range_map.sigma))
                    depth = range_map.depth[known]
                    assert (depth > chosen.min_range * 0.999).all()
                    assert (depth < chosen.max_range * 1.001).all()
                    assert (range_map.sigma[known] > 0).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_range": 0.0},
        {"min_range": 90.0},
        {"max_range": math.inf},
        {"max_range": math.nan},
        {"focal_override": 0.0},
        {"baseline_override": -0.1},
        {"baseline_override": math.nan},
        {"disparity_scale": 0.0},
        {"disparity_scale": math.inf},
        {"disparity_sigma": 0.0},
        {"disparity_sigma": math.nan},
        {"depth_scale": -1.0},
        {"tolerance": 0.0},
    ],
)
def test_configuration_refuses_impossible_numbers(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        RangeConfig(**wrong)


def test_projection_undoes_back_projection():
    camera = Camera(640, 480, 500.0, 510.0, 311.5, 244.0)
    generator = np.random.default_rng(1)
    columns, rows = generator.uniform(0, 640, 50), generator.uniform(0, 480, 50)
    depth = generator.uniform(1, 60, 50)
    seen = project(*back_project(columns, rows, depth, camera), camera)
    np.testing.assert_allclose(seen, [columns, rows])


def test_back_projection_follows_the_optical_frame():
    # 100 px right of and 50 px below the principal point, at 10 m, f = 500.
    x, y, z = back_project(103.5, 52.5, 10.0, CAMERA)
    assert (x, y, z) == (pytest.approx(2.0), pytest.approx(1.0), 10.0)


def test_points_behind_the_camera_have_no_pixel():
    u, v = project(1.0, 1.0, np.array([0.0, -5.0, math.nan]), CAMERA)
    assert np.isnan(u).all()
    assert np.isnan(v).all()


def test_point_map_agrees_with_back_projection_and_keeps_nan():
    depth = np.random.default_rng(2).uniform(1, 60, (H, W)).astype(np.float32)
    depth[0, 0] = np.nan
    rows, columns = np.mgrid[:H, :W]
    points = point_map(depth, CAMERA)
    assert points.shape == (H, W, 3)
    assert points.dtype == np.float32
    assert np.isnan(points[0, 0]).all()
    expected = np.stack(back_project(columns, rows, depth, CAMERA), axis=-1)
    np.testing.assert_allclose(points, expected, rtol=1e-5, atol=1e-5)


def test_scaling_camera_and_image_together_leaves_points_where_they_are():
    # The centre of pixel (3, 2) of the image lies at (6.5, 4.5) in one of twice the size.
    small = back_project(3, 2, 7.0, CAMERA)
    large = back_project(6.5, 4.5, 7.0, CAMERA.scaled(2 * W, 2 * H))
    np.testing.assert_allclose(small, large)
