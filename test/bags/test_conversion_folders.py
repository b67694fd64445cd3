"""Folders of left and right images: calibrations, rectification, matching."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import stereo_trees as trees
import yaml

from open_set_seg import cli
from open_set_seg.bags import read_frames, read_messages
from open_set_seg.bags.conversion import (
    ConversionConfig,
    ConversionError,
    StereoFolders,
    convert,
    read_pair_calibration,
)
from open_set_seg.simulation import render_still
from open_set_seg.stereo import RangeConfig, estimate_range

NAMES = ("frame2", "frame9", "frame10")


@pytest.fixture(scope="module")
def scene():
    return render_still(715, 320, 160, right=True)


@pytest.fixture
def folders(tmp_path, scene):
    for name in NAMES:
        trees.save(tmp_path / "left" / f"{name}.png", scene.left[..., ::-1])
        trees.save(tmp_path / "right" / f"{name}.bmp", scene.right[..., ::-1])
    return tmp_path


def matrix(rows, cols, data):
    return {"rows": rows, "cols": cols, "data": [float(value) for value in data]}


def ros_calibration(camera, baseline=0.0, **changes):
    fx, fy, cx, cy = camera.fx, camera.fy, camera.cx, camera.cy
    content = {
        "image_width": camera.width,
        "image_height": camera.height,
        "camera_name": "camera",
        "camera_matrix": matrix(3, 3, [fx, 0, cx, 0, fy, cy, 0, 0, 1]),
        "distortion_model": "plumb_bob",
        "distortion_coefficients": matrix(1, 5, [0] * 5),
        "rectification_matrix": matrix(3, 3, np.eye(3).reshape(-1)),
        "projection_matrix": matrix(3, 4, [fx, 0, cx, -fx * baseline, 0, fy, cy, 0, 0, 0, 1, 0]),
    }
    return {**content, **changes}


def write_pair(folder, scene, left=None, right=None, rig=None):
    camera, baseline = scene.rig.camera, scene.rig.baseline
    paths = [folder / "left.yaml", folder / "right.yaml"]
    paths[0].write_text(yaml.safe_dump(ros_calibration(camera, **(left or {}))))
    paths[1].write_text(yaml.safe_dump(ros_calibration(rig or camera, baseline, **(right or {}))))
    return paths


def write_simple(folder, scene, **changes):
    camera = scene.rig.camera
    numbers = {
        "fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy,
        "baseline": scene.rig.baseline, **changes,
    }  # fmt: skip
    path = folder / "pair.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in numbers.items() if v is not None}))
    return [path]


def frames_of(folders, calibration, name="bag", **options):
    source = StereoFolders(folders / "left", folders / "right", calibration, **options)
    assert convert(source, folders / name, ConversionConfig(10.0)).complete
    return list(read_frames(folders / name))


def depth_of(frame):
    camera = frame.camera
    ranges, problems = estimate_range(
        frame.range_input, frame.image.shape[:2], camera, RangeConfig(), frame.right_baseline
    )
    assert problems == ()
    return ranges.depth


def assert_near_truth(depth, scene):
    """Half the pixels within half a pixel of disparity."""
    found = np.isfinite(depth) & np.isfinite(scene.depth)
    assert found.mean() > 0.4
    reach = scene.rig.camera.fx * scene.rig.baseline
    assert np.median(np.abs(reach / depth[found] - reach / scene.depth[found])) < 0.5


def test_matching_finds_the_distances_of_the_scene(folders, scene):
    simple = frames_of(folders, read_pair_calibration(write_simple(folders, scene)))
    assert [frame.stamp_ns - 10**18 for frame in simple] == [0, 10**8, 2 * 10**8]
    assert_near_truth(depth_of(simple[0]), scene)
    np.testing.assert_array_equal(simple[0].image, scene.left)
    assert simple[0].camera == scene.rig.camera
    pair = frames_of(folders, read_pair_calibration(write_pair(folders, scene)), "two")
    np.testing.assert_array_equal(pair[0].range_input.values, simple[0].range_input.values)
    assert pair[0].camera == simple[0].camera
    assert pair[0].right_baseline == pytest.approx(simple[0].right_baseline)
    names = [
        message.data for _, _, message in read_messages(folders / "bag", ["/dataset/frame_id"])
    ]
    assert names == list(NAMES)


def test_principal_points_may_differ(folders, scene):
    # A right camera that sees everything 7 pixels further left: x_r = x_l - d - 7.
    moved = np.zeros_like(scene.right)
    moved[:, :-7] = scene.right[:, 7:]
    for name in NAMES:
        trees.save(folders / "right" / f"{name}.bmp", moved[..., ::-1])
    rig = replace(scene.rig.camera, cx=scene.rig.camera.cx - 7)
    calibration = read_pair_calibration(write_pair(folders, scene, rig=rig))
    (frame, *_) = frames_of(folders, calibration, searched_px=48)
    assert frame.range_input.min_disparity == -7.0  # shifted with the values by the reader
    assert (frame.range_input.values[frame.range_input.values < -7] == -8).all()
    assert_near_truth(depth_of(frame), scene)


def test_raw_images_are_rectified(folders, scene):
    # Raw images whose centre is 5 columns and 3 rows off: rectifying moves them back.
    camera = scene.rig.camera
    raw = [camera.fx, 0, camera.cx + 5, 0, camera.fy, camera.cy + 3, 0, 0, 1]
    for side, suffix in (("left", "png"), ("right", "bmp")):
        image = np.roll(getattr(scene, side), (3, 5), axis=(0, 1))
        for name in NAMES:
            trees.save(folders / side / f"{name}.{suffix}", image[..., ::-1])
    changed = {"camera_matrix": matrix(3, 3, raw)}
    paths = write_pair(folders, scene, left=changed, right=changed)
    with pytest.raises(ConversionError, match=r"--rectify.*--rectified"):
        read_pair_calibration(paths)
    (frame, *_) = frames_of(folders, read_pair_calibration(paths, rectify=True))
    inside = np.s_[3:-3, 5:-5]
    np.testing.assert_array_equal(frame.image[inside], scene.left[inside])
    assert frame.camera == camera
    assert_near_truth(depth_of(frame), scene)
    (as_is, *_) = frames_of(folders, read_pair_calibration(paths, rectify=False), "as_is")
    np.testing.assert_array_equal(as_is.image, np.roll(scene.left, (3, 5), axis=(0, 1)))


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [("plumb_bob", [-0.3, 0.1, 0.001, -0.002, 0.0]), ("equidistant", [0.05, -0.02, 0.003, 0.0])],
)
def test_distortion_is_undone(folders, scene, model, coefficients):
    camera, d = scene.rig.camera, np.array(coefficients)
    changes = {
        "distortion_model": model,
        "distortion_coefficients": matrix(1, len(d), d),
    }
    paths = write_pair(folders, scene, left=changes, right=changes)
    rectification = read_pair_calibration(paths, rectify=True).rectifications[0]
    # The models by their formulas, at one pixel.
    u, v = 40, 25
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    r = np.hypot(x, y)
    if model == "plumb_bob":
        k1, k2, p1, p2, _ = d
        radial = 1 + k1 * r**2 + k2 * r**4
        seen = (
            x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x * x),
            y * radial + p1 * (r**2 + 2 * y * y) + 2 * p2 * x * y,
        )
    else:
        angle = np.arctan(r)
        bent = angle * (1 + d[0] * angle**2 + d[1] * angle**4 + d[2] * angle**6)
        seen = (x * bent / r, y * bent / r)
    assert rectification.columns[v, u] == pytest.approx(seen[0] * camera.fx + camera.cx, abs=1e-3)
    assert rectification.rows[v, u] == pytest.approx(seen[1] * camera.fy + camera.cy, abs=1e-3)


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        ({}, {"projection_matrix": matrix(3, 4, [9, 0, 1, 0, 0, 9, 1, 0, 0, 0, 1, 0])}, "baseline"),
        ({}, {"image_width": 99}, "different sizes"),
        ({"image_width": 0}, {}, "width is 0"),
        ({"camera_matrix": matrix(3, 3, [0] * 9)}, {}, "uncalibrated"),
        ({"camera_matrix": {"data": "none"}}, {}, "camera_matrix"),
        ({"projection_matrix": matrix(3, 4, [1] * 11)}, {}, "11 instead of 12"),
        ({"projection_matrix": None}, {}, "projection_matrix"),
        (
            {"projection_matrix": matrix(3, 4, [300, 0, 1, -5, 0, 300, 1, 0, 0, 0, 1, 0])},
            {},
            r"P\[3\] of the left one is -5",
        ),
    ],
)
def test_calibrations_that_are_not_of_a_pair_are_refused(tmp_path, scene, left, right, told):
    with pytest.raises(ConversionError, match=told):
        read_pair_calibration(write_pair(tmp_path, scene, left, right))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"baseline": None}, "baseline is missing"),
        ({"baseline": -0.2}, "positive"),
        ({"fx": "wide"}, "fx holds 'wide'"),
        ({"cx": [1]}, "cx holds list"),
        ({"width": 320}, "height is missing"),
    ],
)
def test_simple_calibrations_need_their_numbers(tmp_path, scene, changes, told):
    with pytest.raises(ConversionError, match=re.escape(told)):
        read_pair_calibration(write_simple(tmp_path, scene, **changes))


def test_one_file_of_two_is_said_to_be_one(tmp_path, scene):
    with pytest.raises(ConversionError, match="right camera's file"):
        read_pair_calibration(write_pair(tmp_path, scene)[:1])


def test_pairs_that_are_not_whole_are_named_and_the_rest_converted(folders, scene, capsys):
    (folders / "left" / "frame9.png").unlink()
    (folders / "right" / "frame10.bmp").unlink()
    trees.save(folders / "left" / "frame77.png", np.zeros((8, 9, 3), np.uint8))
    trees.save(folders / "right" / "frame77.bmp", np.zeros((8, 9, 3), np.uint8))
    (calibration,) = write_simple(folders, scene, width=320, height=160)
    arguments = [
        "bag", "from-stereo-folders", folders / "left", folders / "right", "--calibration",
        calibration, "-o", folders / "bag",
    ]  # fmt: skip
    assert cli.main(list(map(str, arguments))) == 1
    told = capsys.readouterr()
    assert f"{folders / 'left' / 'frame9.png'}: is missing" in told.err
    assert f"{folders / 'right' / 'frame10.png'}: is missing" in told.err
    assert "frame77.png: has 9 x 8 pixels, the calibration is for 320 x 160" in told.err
    assert "converted 2 of 4 frames" in told.out
    frames = list(read_frames(folders / "bag"))
    assert [frame.range_input is not None for frame in frames] == [True, False]
    assert [frame.stamp_ns - 10**18 for frame in frames] == [0, 2 * 10**8]


def test_images_too_small_to_match_lose_their_disparity_alone(tmp_path, scene):
    for side in ("left", "right"):
        trees.save(tmp_path / side / "a.png", np.zeros((8, 9, 3), np.uint8))
    calibration = read_pair_calibration(write_simple(tmp_path, scene))
    faults = []
    source = StereoFolders(tmp_path / "left", tmp_path / "right", calibration)
    convert(source, tmp_path / "bag", ConversionConfig(10.0), faults.append)
    assert [(fault.kind, "too small" in fault.reason) for fault in faults] == [("disparity", True)]


def test_folders_that_are_none_are_refused(tmp_path, folders, scene):
    calibration = read_pair_calibration(write_simple(folders, scene))
    with pytest.raises(ConversionError, match="no folder"):
        StereoFolders(folders / "left", folders / "nowhere", calibration)
    with pytest.raises(ConversionError, match="none"):
        StereoFolders(folders / "left", folders / "right", calibration, searched_px=0)
    (folders / "left" / "frame2.jpg").write_bytes(cv2.imencode(".jpg", scene.left)[1].tobytes())
    with pytest.raises(ConversionError, match="one name"):
        StereoFolders(folders / "left", folders / "right", calibration)
