"""Messages -> arrays, against images that were encoded independently."""

from __future__ import annotations

import array
import sys
import types

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from node_harness import make_camera_info, make_disparity
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from stereo_msgs.msg import DisparityImage

from open_set_seg.frame import Camera, DisparityMap
from open_set_seg.ros.messages import (
    MessageError,
    decode_camera,
    decode_compressed_image,
    decode_depth,
    decode_disparity,
    decode_image,
    decode_right_camera,
    fit_camera,
    shift_limits,
)
from open_set_seg.ros.messages.images import ENCODINGS

HEIGHT, WIDTH = 6, 8


def make_picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def to_message(pixels: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> Image:
    """An Image with ``padding`` bytes of rubbish behind every row."""
    kind = pixels.dtype.newbyteorder(">" if big else "<")
    rows = np.frombuffer(pixels.astype(kind).tobytes(), np.uint8).reshape(pixels.shape[0], -1)
    rows = np.hstack([rows, np.full((rows.shape[0], padding), 0xEE, np.uint8)])
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    message.step, message.is_bigendian = rows.shape[1], int(big)
    message.data = array.array("B", rows.tobytes())
    return message


def flat(colour) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (HEIGHT, WIDTH, 3))


@pytest.mark.parametrize("padding", [0, 1, 5])
@pytest.mark.parametrize(
    ("encoding", "arrange"),
    [
        ("rgb8", lambda p: p),
        ("bgr8", lambda p: p[..., ::-1]),
        ("8UC3", lambda p: p[..., ::-1]),
        ("rgba8", lambda p: np.dstack([p, p[..., :1]])),
        ("bgra8", lambda p: np.dstack([p[..., ::-1], p[..., :1]])),
    ],
)
def test_colour_encodings_come_out_as_rgb(encoding, arrange, padding):
    picture = make_picture()
    decoded = decode_image(to_message(arrange(picture), encoding, padding))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, picture)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_is_repeated_over_the_channels(encoding, padding):
    grey = make_picture()[..., 0]
    decoded = decode_image(to_message(grey, encoding, padding))
    np.testing.assert_array_equal(decoded, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
def test_16_bit_grey_is_scaled_from_its_full_range_in_either_byte_order(encoding, big, padding):
    values = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
    decoded = decode_image(to_message(values, encoding, padding, big))[..., 0]
    np.testing.assert_array_equal(decoded, np.floor(values / 257.0 + 0.5).astype(np.uint8))


@pytest.mark.parametrize("big", [False, True])
def test_float_images_are_intensities_from_0_to_1(big):
    values = np.array([[0.0, 0.5, 1.0, 2.0, -1.0, np.nan, np.inf, 0.25]], np.float32)
    decoded = decode_image(to_message(values, "32FC1", 0, big))[0, :, 0]
    assert decoded.tolist() == [0, 128, 255, 255, 0, 0, 255, 64]


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422", "UYVY"), ("uyvy", "UYVY"), ("yuv422_yuy2", "YUYV"), ("yuyv", "YUYV")],
)
@pytest.mark.parametrize("colour", [(200, 30, 40), (20, 180, 60), (30, 60, 220), (120, 120, 120)])
def test_yuv_422_of_a_flat_colour_comes_back(encoding, order, colour):
    red, green, blue = colour  # BT.601, studio range: the equations of the standard
    y = 16 + 0.257 * red + 0.504 * green + 0.098 * blue
    u = 128 - 0.148 * red - 0.291 * green + 0.439 * blue
    v = 128 + 0.439 * red - 0.368 * green - 0.071 * blue
    sample = {"Y": y, "U": u, "V": v}
    pair = np.array([sample[letter] for letter in order]).round().astype(np.uint8)
    pixels = np.tile(pair.reshape(2, 2), (HEIGHT, WIDTH // 2, 1))
    decoded = decode_image(to_message(pixels, encoding)).astype(int)
    assert np.abs(decoded - np.array(colour)).max() <= 3


@pytest.mark.parametrize(
    ("encoding", "tile"),
    [
        ("bayer_rggb8", "RGGB"),
        ("bayer_bggr8", "BGGR"),
        ("bayer_gbrg8", "GBRG"),
        ("bayer_grbg8", "GRBG"),
    ],
)
def test_bayer_patterns_name_the_first_two_rows_in_reading_order(encoding, tile):
    colour = {"R": 200, "G": 120, "B": 40}
    cell = np.array([colour[letter] for letter in tile], np.uint8).reshape(2, 2)
    decoded = decode_image(to_message(np.tile(cell, (HEIGHT // 2, WIDTH // 2)), encoding))
    np.testing.assert_array_equal(decoded, flat((200, 120, 40)))


def test_rgb8_is_not_copied():
    message = to_message(make_picture(), "rgb8")
    assert np.shares_memory(decode_image(message), np.frombuffer(message.data, np.uint8))


def test_every_promised_encoding_is_known():
    promised = (
        "rgb8 bgr8 rgba8 bgra8 mono8 mono16 8UC1 8UC3 16UC1 32FC1 yuv422 yuv422_yuy2 "
        "bayer_rggb8 bayer_bggr8 bayer_gbrg8 bayer_grbg8"
    )
    assert set(promised.split()) <= set(ENCODINGS)


def spoil(message: Image, **changes) -> Image:
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"height": 0}, "image.empty"),
        ({"width": 0}, "image.empty"),
        ({"step": 0}, "image.step"),
        ({"step": WIDTH}, "image.step"),
        ({"step": 3 * WIDTH + 4}, "image.truncated"),
        ({"height": 4_000_000_000}, "image.truncated"),
        ({"data": array.array("B", bytes(3 * WIDTH * HEIGHT - 1))}, "image.truncated"),
        ({"data": array.array("B")}, "image.truncated"),
        ({"encoding": "nonsense"}, "image.encoding"),
        ({"encoding": ""}, "image.encoding"),
    ],
)
def test_images_that_cannot_be_used_are_named(changes, code):
    with pytest.raises(MessageError) as caught:
        decode_image(spoil(to_message(make_picture(), "rgb8"), **changes))
    assert caught.value.code == code


def test_the_last_row_may_lack_its_padding():
    picture = make_picture()
    message = to_message(picture, "rgb8", padding=4)
    message.data = message.data[:-4]
    np.testing.assert_array_equal(decode_image(message), picture)


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (2, 2), (3, 3)])
def test_tiny_images_are_converted_or_refused(encoding, height, width):
    layout = ENCODINGS[encoding]
    size = layout.channels * np.dtype(layout.dtype).itemsize * width
    message = Image(height=height, width=width, encoding=encoding, step=size)
    message.data = array.array("B", bytes(size * height))
    try:
        assert decode_image(message).shape == (height, width, 3)
    except MessageError as error:
        print(error)


def test_odd_widths_of_422_are_refused():
    with pytest.raises(MessageError, match="even width"):
        decode_image(to_message(np.zeros((4, 5, 2), np.uint8), "yuv422"))


def test_without_cv_bridge_an_unknown_encoding_lists_those_that_are_known():
    assert "cv_bridge" not in sys.modules
    with pytest.raises(MessageError, match=r"rgb8.*cv_bridge"):
        decode_image(to_message(make_picture(), "bayer_rggb16"))


def test_cv_bridge_is_asked_for_other_encodings_where_it_is_installed(monkeypatch):
    picture = make_picture()

    class CvBridge:
        def imgmsg_to_cv2(self, message, encoding):
            assert encoding == "rgb8"
            if message.encoding == "exotic":
                return picture
            raise RuntimeError("no conversion")

    monkeypatch.setitem(sys.modules, "cv_bridge", types.SimpleNamespace(CvBridge=CvBridge))
    np.testing.assert_array_equal(decode_image(to_message(picture, "exotic")), picture)
    with pytest.raises(MessageError, match="no conversion") as caught:
        decode_image(to_message(picture, "worse"))
    assert caught.value.code == "image.encoding"


@pytest.mark.parametrize("broken", [ImportError("numpy.core"), AttributeError("_ARRAY_API")])
def test_a_cv_bridge_that_cannot_be_imported_counts_as_absent(monkeypatch, broken):
    class Broken(types.ModuleType):
        def __getattr__(self, name):
            raise broken

    monkeypatch.setitem(sys.modules, "cv_bridge", Broken("cv_bridge"))
    with pytest.raises(MessageError, match="not usable"):
        decode_image(to_message(make_picture(), "exotic"))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([*ENCODINGS, "unknown"]),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 200),
    st.integers(0, 3000),
    st.integers(0, 1),
)
def test_whatever_comes_is_an_rgb_image_or_a_message_error(encoding, h, w, step, size, big):
    message = Image(height=h, width=w, encoding=encoding, step=step, is_bigendian=big)
    message.data = array.array("B", bytes(size))
    try:
        decoded = decode_image(message)
    except MessageError:
        return
    assert decoded.shape == (h, w, 3)
    assert decoded.dtype == np.uint8


def compress(picture: np.ndarray, extension: str) -> CompressedImage:
    done, data = cv2.imencode(extension, picture[..., ::-1])
    assert done
    return CompressedImage(format=extension, data=array.array("B", data.tobytes()))


def test_png_comes_back_exactly():
    picture = make_picture()
    np.testing.assert_array_equal(decode_compressed_image(compress(picture, ".png")), picture)


def test_jpeg_keeps_the_order_of_colours():
    decoded = decode_compressed_image(compress(flat((220, 120, 20)).copy(), ".jpg"))
    assert np.abs(decoded.astype(int) - (220, 120, 20)).max() < 12


@pytest.mark.parametrize("extension", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_compressed_streams_that_were_cut_off_are_refused(extension, share):
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    message = compress(picture, extension)
    message.data = message.data[: int(share * len(message.data))]
    with pytest.raises(MessageError) as caught:
        decode_compressed_image(message)
    assert caught.value.code == "image.truncated"


@pytest.mark.parametrize(
    ("data", "code"), [(b"", "image.empty"), (b"not an image at all", "image.compressed")]
)
def test_compressed_rubbish_is_named(data, code):
    with pytest.raises(MessageError) as caught:
        decode_compressed_image(CompressedImage(format="jpeg", data=array.array("B", data)))
    assert caught.value.code == code


def test_padding_behind_a_jpeg_is_accepted():
    message = compress(make_picture(), ".jpg")
    message.data.extend(bytes(500))
    assert decode_compressed_image(message).shape == (HEIGHT, WIDTH, 3)


def disparity_message(values: np.ndarray, flagged_big=False, stored_big=False) -> DisparityImage:
    message = DisparityImage(f=100.0, t=0.25, min_disparity=1.0, max_disparity=64.0, delta_d=0.0625)
    message.image = to_message(values.astype(np.float32), "32FC1", 8, stored_big)
    message.image.is_bigendian = int(flagged_big)
    return message


@pytest.mark.parametrize("flagged_big", [False, True])
@pytest.mark.parametrize("stored_big", [False, True])
@pytest.mark.parametrize("invalid", [-1.0, 0.0, np.nan, np.inf])
def test_disparity_is_read_in_the_order_that_makes_sense_whatever_the_flag_says(
    flagged_big, stored_big, invalid
):
    values = np.random.default_rng(3).uniform(0.5, 120, (HEIGHT, WIDTH)).astype(np.float32)
    values[::3, ::2] = invalid
    decoded = decode_disparity(disparity_message(values, flagged_big, stored_big))
    np.testing.assert_array_equal(decoded.values, values)
    assert decoded.values.dtype == np.float32
    assert decoded.values.dtype.isnative
    assert (decoded.focal_length, decoded.baseline, decoded.quantum) == (100.0, 0.25, 0.0625)
    assert (decoded.min_disparity, decoded.max_disparity) == (1.0, 64.0)


def test_a_disparity_of_nothing_but_nan_stays_what_it_is():
    decoded = decode_disparity(disparity_message(np.full((HEIGHT, WIDTH), np.nan)))
    assert np.isnan(decoded.values).all()


def test_the_valid_window_of_a_disparity_is_not_looked_at():
    message = make_disparity(0)
    message.valid_window.width = message.valid_window.height = 4_294_967_281
    assert decode_disparity(message).values.shape == (16, 32)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"encoding": "16SC1"}, "disparity.encoding"),
        ({"step": 4}, "disparity.step"),
        ({"height": 0}, "disparity.empty"),
        ({"height": 17}, "disparity.truncated"),
    ],
)
def test_disparities_that_cannot_be_used_are_named(changes, code):
    message = make_disparity(0)
    spoil(message.image, **changes)
    with pytest.raises(MessageError) as caught:
        decode_disparity(message)
    assert caught.value.code == code


@pytest.mark.parametrize("big", [False, True])
def test_depth_is_metres_as_float_and_millimetres_as_integer(big):
    metres = np.array([[0.0, 1.5, 20.25, 65.535]], np.float32)
    depth = decode_depth(to_message(metres, "32FC1", 4, big)).values
    np.testing.assert_array_equal(depth, metres)
    millimetres = (metres * 1000).round().astype(np.uint16)
    for encoding in ("16UC1", "mono16"):
        depth = decode_depth(to_message(millimetres, encoding, 2, big)).values
        np.testing.assert_allclose(depth, metres, rtol=1e-6)
        assert depth.dtype == np.float32


def test_depth_of_another_encoding_is_refused():
    with pytest.raises(MessageError, match="16UC1"):
        decode_depth(to_message(make_picture()[..., 0], "mono8"))


def test_limits_of_the_matcher_follow_principal_points_that_differ():
    left, right = Camera(32, 16, 1, 1, 20.0, 8.0), Camera(32, 16, 1, 1, 17.0, 8.0)
    stated = DisparityMap(np.zeros((1, 1), np.float32), 100, 0.1, 5.0, 69.0)
    moved = shift_limits(stated, left, right)
    assert (moved.min_disparity, moved.max_disparity) == (2.0, 66.0)
    assert shift_limits(stated, left, left) == stated
    unstated = DisparityMap(np.zeros((1, 1), np.float32), 100, 0.1)
    assert shift_limits(unstated, left, right) is unstated


def test_the_camera_is_taken_from_p_and_not_from_k():
    message = make_camera_info(width=64, height=48)
    message.k = [1.0] * 9
    message.p = [90.0, 0.0, 30.0, 0.0, 0.0, 95.0, 20.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert decode_camera(message) == Camera(64, 48, 90.0, 95.0, 30.0, 20.0)


@pytest.mark.parametrize(("field", "index"), [("k", 0), ("p", 0), ("p", 5)])
@pytest.mark.parametrize("value", [0.0, float("nan"), -1.0])
def test_uncalibrated_cameras_are_refused(field, index, value):
    message = make_camera_info()
    getattr(message, field)[index] = value
    with pytest.raises(MessageError) as caught:
        decode_camera(message)
    assert caught.value.code == "camera_info.uncalibrated"


def test_a_camera_info_full_of_zeros_is_uncalibrated():
    with pytest.raises(MessageError, match="calibrate"):
        decode_camera(CameraInfo())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 3), st.integers(1, 3))
def test_region_and_binning_keep_the_rays(left, top, columns, rows):
    """A binned pixel looks along the mean ray of the sensor pixels that it is made of."""
    full = make_camera_info(width=128, height=96)
    region = make_camera_info(width=128, height=96)
    region.roi.x_offset, region.roi.y_offset = left, top
    region.roi.width, region.roi.height = 96, 60
    region.binning_x, region.binning_y = columns, rows
    camera, whole = decode_camera(region), decode_camera(full)
    assert (camera.width, camera.height) == (96 // columns, 60 // rows)
    u, v = 7, 5
    sensor_u = left + np.arange(u * columns, (u + 1) * columns).mean()
    sensor_v = top + np.arange(v * rows, (v + 1) * rows).mean()
    assert (u - camera.cx) / camera.fx == pytest.approx((sensor_u - whole.cx) / whole.fx)
    assert (v - camera.cy) / camera.fy == pytest.approx((sensor_v - whole.cy) / whole.fy)


def test_the_right_camera_gives_the_baseline():
    camera, baseline = decode_right_camera(make_camera_info(tx=-50.0))
    assert baseline == pytest.approx(0.5)
    assert camera.fx == 100.0


@pytest.mark.parametrize("tx", [0.0, 50.0])
def test_a_right_camera_without_positive_baseline_is_refused(tx):
    with pytest.raises(MessageError) as caught:
        decode_right_camera(make_camera_info(tx=tx))
    assert caught.value.code == "right_camera_info.baseline"


def test_a_camera_of_another_size_is_scaled_where_the_shape_agrees_and_refused_elsewhere():
    camera = decode_camera(make_camera_info(width=64, height=48))
    assert fit_camera(camera, 64, 48) is camera
    assert fit_camera(camera, 32, 24) == camera.scaled(32, 24)
    with pytest.raises(MessageError) as caught:
        fit_camera(camera, 64, 40)
    assert caught.value.code == "camera_info.size"
