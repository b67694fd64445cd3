"""A camera that is frozen, dark, bright or blurred is found out; a healthy one is left alone."""

import time
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.monitoring import CameraHealth, CameraHealthConfig
from open_set_seg.monitoring.measurements import measure_change, measure_sharpness, take_sample

H, W = 128, 256
PERIOD = 100_000_000


def scene(seed=0, height=H, width=W):
    """A picture with structure of all sizes, levels around 40 to 210."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width), np.float32)
    for size in (2, 4, 16, 64):
        small = rng.random((height // size + 1, width // size + 1)).astype(np.float32)
        picture += cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.repeat((40 + 170 * picture / 4)[..., None], 3, axis=2)


def expose(picture, seed=0, noise=1.5):
    rng = np.random.default_rng(seed)
    noisy = picture + noise * rng.standard_normal(picture.shape[:2])[..., None]
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


@cache
def drive(seed=0):
    """A wide picture that a window moves over: the robot drives."""
    wide = scene(seed, H, 8 * W)
    return lambda number: wide[:, (4 * number) % (7 * W) :][:, :W]


def learned(picture_of, frames=40, noise=1.5):
    health = CameraHealth()
    for number in range(frames):
        report = health.update(expose(picture_of(number), number, noise), number * PERIOD)
        assert report.state == "ok", (number, report)
    return health


def feed(health, picture, begin, count):
    reports = [health.update(picture(n), (begin + n) * PERIOD) for n in range(count)]
    return reports[-1]


def test_a_repeated_picture_is_frozen_after_the_stated_times():
    health = learned(drive())
    same = expose(drive()(60), 60)
    states = [health.update(same, (60 + n) * PERIOD).frozen.state for n in range(25)]
    assert states == ["ok"] * 5 + ["warn"] * 15 + ["alarm"] * 5
    moving = health.update(expose(drive()(61), 61), 85 * PERIOD)
    assert (moving.frozen.state, moving.frozen.value) == ("ok", 0.0)


@pytest.mark.parametrize("noise", [0.3, 0.5, 1.5, 4.0])
def test_a_standing_robot_is_not_frozen_whether_it_drove_before_or_not(noise):
    for before in (drive(), lambda number: scene()):
        health = learned(before, noise=noise)
        report = feed(health, lambda n: expose(scene(), 1000 + n, noise), 60, 60)
        assert report.state == "ok"
        assert report.frozen.value == 0.0


def test_nearly_identical_pictures_are_frozen():
    """A driver that repeats a picture through a decoder that disagrees in one pixel of 1000."""
    health = learned(drive())
    same = expose(drive()(60), 60)

    def repeated(number):
        picture = same.copy()
        rng = np.random.default_rng(number)
        picture[rng.integers(0, H, 33), rng.integers(0, W, 33)] ^= 1
        return picture

    assert feed(health, repeated, 60, 30).frozen.state == "alarm"


def test_pictures_of_one_stamp_and_covered_lenses_are_not_called_frozen():
    health = learned(drive())
    same = expose(drive()(60), 60)
    for _ in range(50):
        assert health.update(same, 60 * PERIOD).frozen.state == "ok"
    black = np.zeros((H, W, 3), np.uint8)
    report = feed(health, lambda n: black, 61, 40)
    assert report.frozen.state == "ok"
    assert report.underexposed.state == "alarm"
    assert report.faults[0] == "underexposed"


@pytest.mark.parametrize(
    ("share", "state"), [(0.3, "ok"), (0.45, "warn"), (0.75, "alarm")], ids=str
)
def test_clipped_skies_count_by_their_share(share, state):
    health = learned(drive())

    def picture(number):
        bright = expose(drive()(number), number)
        bright[: round(share * H)] = 255
        return bright

    report = feed(health, picture, 60, 6)
    assert report.overexposed.state == state
    assert report.overexposed.value == pytest.approx(share, abs=0.02)


def test_dark_and_bright_pictures_are_told_from_their_level():
    for offset, name in ((-1.0, "underexposed"), (1.0, "overexposed")):
        health = learned(drive())
        level = 15.0 if offset < 0 else 245.0
        flat = np.full((H, W, 3), level, np.float32)
        report = feed(health, lambda n: expose(flat, n), 60, 6)  # noqa: B023
        assert getattr(report, name).state == "alarm"
        assert report.level == pytest.approx(level, abs=0.5)


def test_one_bad_picture_decides_nothing():
    health = learned(drive())
    white = np.full((H, W, 3), 255, np.uint8)
    assert health.update(white, 60 * PERIOD).overexposed.state == "ok"


@pytest.mark.parametrize(("radius", "least"), [(0.7, "warn"), (2.0, "alarm")])
def test_blur_is_found_and_what_is_not_blur_is_not(radius, least):
    health = learned(drive())

    def blurred(number):
        return expose(cv2.GaussianBlur(drive()(number), (0, 0), radius), number)

    report = feed(health, blurred, 60, 8)
    assert report.blurred.state == least
    assert report.faults == ("blurred",)


@pytest.mark.parametrize("contrast", [0.4, 0.7])
def test_loss_of_contrast_is_not_blur(contrast):
    health = learned(drive(), noise=0.5)
    report = feed(health, lambda n: expose(120 + contrast * (drive()(n) - 120), n, 0.5), 60, 30)
    assert report.blurred.state == "ok"


def test_a_long_blur_does_not_become_the_usual_picture():
    health = learned(drive())
    for number in range(150):
        picture = expose(cv2.GaussianBlur(drive()(number), (0, 0), 2.0), number)
        report = health.update(picture, (60 + number) * PERIOD)
    assert report.blurred.state == "alarm"


def test_blur_cannot_be_told_before_the_camera_is_known_and_after_a_reset():
    health = CameraHealth()
    assert np.isnan(health.update(expose(scene()), 0).blurred.value)
    health = learned(drive())
    health.reset()
    report = health.update(expose(scene()), 0)
    assert np.isnan(report.blurred.value)
    assert report.state == "ok"


@given(st.floats(0.1, 1.0), st.floats(-40.0, 40.0))
def test_sharpness_does_not_depend_on_contrast_and_level(contrast, level):
    picture = scene()
    changed = contrast * picture + level
    assert measure_sharpness(changed) == pytest.approx(measure_sharpness(picture), rel=1e-3)


def test_change_is_the_root_mean_square_where_nothing_is_clipped():
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 256, (2, 40, 50)).astype(np.uint8)
    usable = (np.minimum(before, after) > 5) & (np.maximum(before, after) < 250)
    expected = np.sqrt(np.mean((before.astype(int) - after)[usable] ** 2))
    assert measure_change(before, after) == pytest.approx(expected, rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(8, 40), st.integers(8, 40), st.integers(0, 255), st.integers(0, 5)),
        max_size=12,
    )
)
def test_pictures_of_any_size_and_level_and_stamps_of_any_order_are_taken(pictures):
    health = CameraHealth(CameraHealthConfig(learning_frames=2))
    for height, width, level, stamp in pictures:
        report = health.update(np.full((height, width, 3), level, np.uint8), stamp * PERIOD)
        assert report.state in ("ok", "warn", "alarm")
        assert 0 <= report.underexposed.value <= 1


def test_at_most_256_by_128_pixels_are_looked_at():
    for size in ((100, 200), (256, 512), (512, 1024), (1080, 1920)):
        sample = take_sample(np.zeros((*size, 3), np.uint8))
        assert sample.shape[0] <= 128
        assert sample.shape[1] <= 256
        assert sample.size >= 128 * 256 / 4.5 or size == (100, 200)


def test_a_picture_of_half_a_megapixel_costs_few_milliseconds():
    picture = expose(scene(0, 512, 1024))
    health = CameraHealth()
    times = []
    for number in range(20):
        begin = time.process_time()
        health.update(picture, number * PERIOD)
        times.append(time.process_time() - begin)
    # A millisecond on a quiet machine; the smallest of many on a busy one.
    assert min(times) < 3e-3


@pytest.mark.parametrize(
    "changes",
    [
        {"frozen_s": (2.0, 0.5)},
        {"black_share": (0.0, 0.5)},
        {"dark_level": (20.0, 35.0)},
        {"blur_ratio": (0.25, 0.5)},
        {"frozen_share": 1.0},
        {"frozen_change": -1.0},
        {"learning_frames": 1},
    ],
)
def test_impossible_configurations_are_refused(changes):
    with pytest.raises(ValueError):
        CameraHealthConfig(**changes)
