"""Drives: independence of workers, stamps, progress, and the way to disk and back."""

import dataclasses
import json

import numpy as np
import pytest

from open_set_seg.simulation import (
    DriveConfig,
    StereoFrame,
    load_drive,
    render_drive,
    render_frame,
    save_drive,
)

CONFIG = DriveConfig(seed=12, frames=4, rate_hz=5.0, width=96, height=48, right=True, start_ns=77)


@pytest.fixture(scope="module")
def drive():
    return render_drive(CONFIG, workers=1)


def assert_equal_frames(first: StereoFrame, second: StereoFrame) -> None:
    assert first.stamp_ns == second.stamp_ns
    assert first.rig == second.rig
    for name in ("left", "right", "labels", "disparity"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for field in dataclasses.fields(first.sensor_disparity):
        np.testing.assert_array_equal(
            getattr(first.sensor_disparity, field.name),
            getattr(second.sensor_disparity, field.name),
        )
    assert len(first.obstacles) == len(second.obstacles)
    for one, other in zip(first.obstacles, second.obstacles, strict=True):
        for field in dataclasses.fields(one):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_two_workers_render_what_one_renders(drive):
    calls = []
    parallel = render_drive(CONFIG, workers=2, progress=lambda done, of: calls.append((done, of)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for first, second in zip(drive, parallel, strict=True):
        assert_equal_frames(first, second)


def test_any_frame_can_be_rendered_alone(drive):
    assert_equal_frames(render_frame(CONFIG, 2), drive[2])


def test_stamps_follow_the_rate(drive):
    assert [frame.stamp_ns for frame in drive] == [77 + index * 200_000_000 for index in range(4)]


def test_sensor_noise_differs_between_frames_and_eyes():
    still = DriveConfig(seed=12, frames=2, speed=0.0, width=96, height=48, right=True)
    first, second = render_drive(still, workers=1)
    sky = (first.labels == 0) & (second.labels == 0)
    assert (first.left[sky] != second.left[sky]).mean() > 0.3
    assert (first.left[sky] != first.right[sky]).mean() > 0.3


def test_the_car_drives_towards_things():
    config = DriveConfig(seed=12, frames=5, rate_hz=4.0, width=96, height=48)
    frames = render_drive(config, workers=1)
    tracks: dict[int, list[float]] = {}
    for frame in frames:
        for obstacle in frame.obstacles:
            tracks.setdefault(obstacle.id, []).append(obstacle.position[2])
    long = [track for track in tracks.values() if len(track) == 5]
    assert long
    for track in long:
        np.testing.assert_allclose(np.diff(track), -2.0, atol=1e-9)


def test_saved_drives_come_back_bit_for_bit(drive, tmp_path):
    save_drive(drive, tmp_path / "drive")
    for first, second in zip(drive, load_drive(tmp_path / "drive"), strict=True):
        assert_equal_frames(first, second)


def test_a_drive_without_right_images_comes_back_without(tmp_path):
    config = dataclasses.replace(CONFIG, frames=1, right=False)
    save_drive(render_drive(config, workers=1), tmp_path)
    assert load_drive(tmp_path)[0].right is None


def test_foreign_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_drive(tmp_path)
    (tmp_path / "drive.json").write_text(json.dumps({"format": "something else"}))
    with pytest.raises(ValueError, match="format"):
        load_drive(tmp_path)


def test_no_workers_are_refused():
    with pytest.raises(ValueError, match="workers"):
        render_drive(CONFIG, workers=0)
