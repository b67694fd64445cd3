"""The simulated matcher: its defects follow the laws of real ones."""

import cv2
import numpy as np
import pytest

from open_set_seg.simulation import MatcherModel, render_still, sense_disparity
from open_set_seg.simulation.sensor import occluded


def textured(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, (height, width, 3), dtype=np.uint8)


def sense(disparity, image=None, key=(1, "test"), **settings):
    image = textured(*disparity.shape) if image is None else image
    model = MatcherModel(**settings)
    return sense_disparity(np.float32(disparity), image, 560.0, 0.22, key, model)


def test_values_are_sixteenths_and_invalid_is_minimum_minus_one():
    sensed = render_still(2, 192, 96).sensor_disparity
    valid = sensed.values >= sensed.min_disparity
    assert sensed.quantum == 1.0 / 16.0
    np.testing.assert_array_equal(
        sensed.values[valid] * 16.0, np.round(sensed.values[valid] * 16.0)
    )
    assert set(np.unique(sensed.values[~valid])) == {sensed.min_disparity - 1.0}
    assert sensed.values.max() <= sensed.max_disparity
    assert 0.3 < valid.mean() < 1.0


def test_calibration_is_that_of_the_rig():
    frame = render_still(2, 128, 64)
    assert frame.sensor_disparity.focal_length == frame.rig.camera.fx
    assert frame.sensor_disparity.baseline == frame.rig.baseline


def test_noise_is_unbiased_with_the_stated_deviation():
    exact = np.full((200, 300), 20.3)
    sensed = sense(exact, speckles=0.0)
    error = (sensed.values - exact)[:, 40:]
    error = error[sensed.values[:, 40:] >= 0.0]
    assert error.size > 50_000
    assert abs(error.mean()) < 0.02
    assert error.std() == pytest.approx(np.hypot(0.20, 1 / 16 / np.sqrt(12)), rel=0.1)


def test_neighbouring_errors_are_alike_but_not_equal():
    exact = np.full((200, 300), 20.0)
    error = sense(exact, speckles=0.0).values[:, 40:] - 20.0
    together = np.corrcoef(error[:, 1:].ravel(), error[:, :-1].ravel())[0, 1]
    apart = np.corrcoef(error[:, 20:].ravel(), error[:, :-20].ravel())[0, 1]
    assert 0.25 < together < 0.6
    assert abs(apart) < 0.1


def test_occlusion_against_brute_force():
    rng = np.random.default_rng(3)
    disparity = np.repeat(rng.integers(0, 12, (6, 8)), 8, axis=1).astype(np.float32)
    found = occluded(disparity)
    for row, line in enumerate(disparity):
        for x, own in enumerate(line):
            rivals = [
                other for at, other in enumerate(line)
                if at - other == x - own and other > own + 1.0
            ]  # fmt: skip
            assert found[row, x] == (x - own < 0 or bool(rivals))


def test_occluded_background_has_no_disparity():
    exact = np.full((60, 200), 5.0)
    exact[:, 100:140] = 25.0
    values = sense(exact, sigma=0.05, speckles=0.0).values
    # The near surface hides 20 columns of the far one on its left side.
    assert (values[:, 82:97] < 0.0).mean() > 0.95
    assert (values[:, 145:190] >= 0.0).mean() > 0.95
    assert (values[:, 30:75] >= 0.0).mean() > 0.95


def test_near_surfaces_grow_by_about_a_pixel():
    exact = np.full((60, 200), 5.0)
    exact[:, 100:140] = 25.0
    values = sense(exact, sigma=0.05, speckles=0.0).values
    assert (np.abs(values[:, 140] - 25.0) < 1.0).mean() == pytest.approx(0.7, abs=0.15)
    assert (np.abs(values[:, 142] - 25.0) < 1.0).mean() < 0.05


def test_textureless_areas_are_refused():
    image = textured(120, 240)
    image[30:90, 100:200] = 128
    values = sense(np.full((120, 240), 10.0), image).values
    assert (values[40:80, 112:188] < 0.0).mean() > 0.95
    assert (values[:, 210:] < 0.0).mean() < 0.05


def test_beyond_the_search_range_nothing_is_found():
    exact = np.full((40, 256), 10.0)
    maximum = MatcherModel().max_disparity(256)
    assert (maximum + 1.0) % 16.0 == 0.0
    exact[:, 150:] = maximum + 5.0
    values = sense(exact, speckles=0.0).values
    assert (values[:, 160:] < 0.0).all()
    assert (values[:, 60:100] >= 0.0).all()


def test_sky_is_invalid():
    frame = render_still(4, 192, 96)
    sky = cv2.erode((frame.disparity == 0.0).astype(np.uint8), np.ones((9, 9), np.uint8)) == 1
    assert sky.any()
    assert (frame.sensor_disparity.values[sky] < 0.0).mean() > 0.98


def test_speckles_are_few_and_wrong():
    exact = np.full((200, 300), 20.0)
    clean, dirty = (sense(exact, speckles=rate).values[:, 40:] for rate in (0.0, 400.0))
    wrong = (dirty >= 0.0) & (np.abs(dirty - 20.0) > 3.0)
    assert not ((clean >= 0.0) & (np.abs(clean - 20.0) > 3.0)).any()
    assert 0.0005 < wrong.mean() < 0.02


def test_another_key_gives_other_noise_and_the_same_key_the_same():
    exact = np.full((40, 120), 10.0)
    first, second, third = (sense(exact, key=(1, name)).values for name in ("a", "a", "b"))
    np.testing.assert_array_equal(first, second)
    assert (first != third).mean() > 0.5


def test_median_range_error_of_real_scenes_is_small():
    errors = []
    for seed in range(4):
        frame = render_still(seed, 256, 128)
        sensed, exact = frame.sensor_disparity.values, frame.disparity
        valid = (sensed > 0.0) & (exact > 4.0)
        errors.append((sensed - exact)[valid])
    error = np.concatenate(errors)
    assert abs(np.median(error)) < 0.03
    assert np.median(np.abs(error)) == pytest.approx(0.6745 * 0.2, rel=0.2)
