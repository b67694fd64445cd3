"""Files from outside, whatever is in them: a result that makes sense, or one clear error."""

from __future__ import annotations

import json
import math
from itertools import chain

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from open_set_seg.bags.conversion import ConversionError, read_pair_calibration
from open_set_seg.bags.conversion.pictures import (
    read_disparity_codes,
    read_label_codes,
    read_picture,
)
from open_set_seg.cli.files import read_camera_file
from open_set_seg.stereo.stored import decode_stored_disparity, read_stored_camera

MANY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**63, 0])
    | st.floats()
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
NUMBERS = st.floats(0.01, 1e4) | VALUES


def keyed(*names):
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, NUMBERS)) | VALUES


CAMERA_FILES = st.fixed_dictionaries(
    {},
    optional={
        "intrinsic": keyed("fx", "fy", "u0", "v0"),
        "extrinsic": keyed("baseline", "x", "y", "z", "roll", "pitch", "yaw"),
    },
)
GOOD = {
    "intrinsic": {"fx": 2300.0, "fy": 2301, "u0": 1000.5, "v0": 500},
    "extrinsic": {"baseline": 0.2},
}


def assert_camera_or_value_error(path):
    try:
        stored = read_stored_camera(path, 20, 10)
    except ValueError as error:
        told = str(error)
    else:
        told = ""
    assert "\n" not in told
    assert len(told) < 300
    if told:
        return None
    camera, mount = stored.camera, stored.mount
    for number in (camera.fx, camera.fy, camera.cx, camera.cy, stored.baseline):
        assert math.isfinite(number)
        assert number > 0
    if mount is not None:
        assert all(map(math.isfinite, (mount.x, mount.y, mount.z, mount.roll, mount.yaw)))
    return stored


@MANY
@given(CAMERA_FILES | VALUES)
@example({**GOOD, "intrinsic": {**GOOD["intrinsic"], "fx": 10**400}})
@example({**GOOD, "intrinsic": {**GOOD["intrinsic"], "fx": True}})
def test_any_json_is_a_camera_or_a_clear_error(tmp_path, content):
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(content))
    assert_camera_or_value_error(path)


@MANY
@given(st.binary(max_size=60))
@example(b"[" * 100_000)
@example(b"\xff\xfe{")
@example(b"9" * 10_000)
def test_any_bytes_are_a_camera_or_a_clear_error(tmp_path, data):
    path = tmp_path / "camera.json"
    path.write_bytes(data)
    assert assert_camera_or_value_error(path) is None


def test_a_good_camera_file_is_taken(tmp_path):
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(GOOD))
    stored = assert_camera_or_value_error(path)
    assert (stored.camera.fx, stored.camera.cy, stored.mount) == (2300.0, 500.0, None)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("intrinsic", "fx", True), ("intrinsic", "u0", 10**400), ("extrinsic", "baseline", None)],
)
def test_what_is_wrong_is_named(tmp_path, section, key, value):
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({**GOOD, section: {**GOOD[section], key: value}}))
    with pytest.raises(ValueError, match=f"{section}.{key} is .*not a positive number"):
        read_stored_camera(path, 20, 10)


SIMPLE = ("f", "fx", "fy", "cx", "cy", "baseline", "width", "height")
MATRIX = st.lists(NUMBERS, max_size=14) | st.fixed_dictionaries(
    {"data": st.lists(st.floats(-1e3, 1e3), min_size=9, max_size=12) | VALUES}
)
ONE_CAMERA = st.fixed_dictionaries(
    {
        "image_width": st.integers(1, 60) | VALUES,
        "image_height": st.integers(1, 60) | VALUES,
        "camera_matrix": MATRIX,
        "projection_matrix": MATRIX,
    },
    optional={
        "distortion_coefficients": MATRIX,
        "rectification_matrix": MATRIX,
        "distortion_model": st.sampled_from(["plumb_bob", "equidistant", "odd"]) | VALUES,
    },
)


def assert_pair_or_error(paths, rectify):
    try:
        calibration = read_pair_calibration(paths, rectify)
        camera = calibration.camera or calibration.camera_for(64, 48)
    except ConversionError:
        return  # any other error is a failure
    assert camera.baseline > 0
    assert min(camera.left.fx, camera.left.fy, camera.right.fx) > 0
    assert math.isfinite(camera.left.cx + camera.right.cy)


@MANY
@given(keyed(*SIMPLE) | ONE_CAMERA, st.sampled_from([None, True, False]))
def test_any_simple_calibration_is_a_pair_or_a_clear_error(tmp_path, content, rectify):
    path = tmp_path / "pair.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert_pair_or_error([path], rectify)


def projection(f, tx):
    return [f, 0, 9, tx, 0, f, 9, 0, 0, 0, 1, 0]


@MANY
@given(ONE_CAMERA, ONE_CAMERA, st.sampled_from([None, True, False]), st.booleans())
def test_any_two_calibrations_are_a_pair_or_a_clear_error(tmp_path, left, right, rectify, near):
    if near:  # so that more of it is reached: sizes and projections that fit
        for content, tx in ((left, 0.0), (right, -60.0)):
            content.update(image_width=20, image_height=16)
            content.update(camera_matrix=[300, 0, 9, 0, 300, 9, 0, 0, 1])
            content.update(projection_matrix=projection(300, tx))
    paths = [tmp_path / "left.yaml", tmp_path / "right.yaml"]
    for path, content in zip(paths, (left, right), strict=True):
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert_pair_or_error(paths, rectify)


@MANY
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@example(b"f: 2001-99-99")
@example(b"[" * 1_000)
@example(b"f: 0x_")
@example(b"? [1]\n: 2")
@example(b"f: 1:99:99.9_")
@example(b"!!float ''")
@example(b"f: !!int _\n")
@example(b"f: !!timestamp x\n")
@example(b"f: !!bool maybe\n")
def test_any_bytes_are_a_calibration_or_a_clear_error(tmp_path, data):
    path = tmp_path / "pair.yaml"
    path.write_bytes(data)
    assert_pair_or_error([path], None)
    assert_pair_or_error([path, path], None)
    with pytest.raises(ValueError):
        read_camera_file(path)


@MANY
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=4), st.sampled_from([".png", ".jpg"]))
def test_damaged_pictures_are_whole_or_refused(tmp_path, at, change, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    data = bytearray(cv2.imencode(suffix, pixels)[1].tobytes())
    at %= len(data)
    data[at : at + len(change)] = change
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(data)
    for reader in (read_picture, read_label_codes, read_disparity_codes):
        try:
            found = reader(path)
        except ValueError:
            continue
        if reader is read_picture and suffix == ".png":
            # A PNG carries checksums: what is decoded is what was encoded.
            np.testing.assert_array_equal(found.pixels[..., ::-1], pixels)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures_cut_anywhere_are_refused(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    data = cv2.imencode(suffix, pixels)[1].tobytes()
    path = tmp_path / f"picture{suffix}"
    for length in chain(range(0, len(data) - 12, 37), range(len(data) - 30, len(data) - 8)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError):
            read_picture(path)


def test_every_code_is_a_disparity_without_rounding():
    codes = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    values = decode_stored_disparity(codes)
    assert values.dtype == np.float32
    assert values[0, 0] == -1
    expected = (codes.astype(object) - 1) * 1.0 / 256
    assert (values.reshape(-1)[1:] == expected.reshape(-1)[1:].astype(np.float64)).all()


def test_labels_are_codes_and_not_colours(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for name, pixels in (("grey", grey), ("same", np.dstack([grey] * 3))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
        np.testing.assert_array_equal(read_label_codes(tmp_path / f"{name}.png"), grey)
    cv2.imwrite(str(tmp_path / "colour.png"), np.dstack([grey, grey, grey + 1]))
    with pytest.raises(ValueError, match="colour"):
        read_label_codes(tmp_path / "colour.png")
    cv2.imwrite(str(tmp_path / "deep.png"), grey.astype(np.uint16))
    with pytest.raises(ValueError, match="8 bits"):
        read_label_codes(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="16 bits"):
        read_disparity_codes(tmp_path / "grey.png")
    with pytest.raises(ValueError, match="not of 8 bits"):
        read_picture(tmp_path / "deep.png")
