"""Files are decoded by what they hold, and damaged ones are named."""

import contextlib
import io
import zlib

import cv2
import numpy as np
import pytest
from anomaly_trees import picture
from driving_trees import save_palette, segment_colours
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from training.datasets.files import (
    read_codes16,
    read_labels,
    read_panoptic,
    read_rgb,
    read_rgb16,
)
from training.datasets.frames import CorruptFileError

RGB = picture("files")
GREY = RGB[..., 0]
CODES16 = RGB[..., 0].astype(np.uint16) * 257 + 3
READERS = (read_rgb, read_labels, read_codes16, read_rgb16, read_panoptic)


def encode(values, kind, **options):
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


def put(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".txt", ""])
def test_the_content_decides_not_the_suffix(tmp_path, suffix):
    path = put(tmp_path / f"image{suffix}", encode(RGB, "PNG"))
    assert (read_rgb(path) == RGB).all()
    path = put(tmp_path / f"image{suffix}", encode(RGB, "JPEG", quality=95))
    expected = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    # Two builds of the same decoder, compared through another library.
    assert np.abs(read_rgb(path).astype(int) - expected[..., ::-1]).max() <= 2


def test_orientation_tags_do_not_turn_the_picture(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    path = put(tmp_path / "turned.jpg", encode(RGB, "JPEG", exif=exif))
    plain = put(tmp_path / "plain.jpg", encode(RGB, "JPEG"))
    assert (read_rgb(path) == read_rgb(plain)).all()


def test_gamma_chunks_do_not_change_values(tmp_path):
    data = encode(RGB, "PNG")
    head, rest = data[:33], data[33:]  # signature and the first chunk
    body = b"gAMA" + (220_000).to_bytes(4, "big")
    chunk = (4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    assert (read_rgb(put(tmp_path / "gamma.png", head + chunk + rest)) == RGB).all()


def test_grey_is_repeated_and_transparency_is_dropped(tmp_path):
    grey = read_rgb(put(tmp_path / "grey.png", encode(GREY, "PNG")))
    assert (grey == GREY[..., None]).all()
    assert grey.shape == RGB.shape
    clear = np.dstack([RGB, np.zeros_like(GREY)])
    assert (read_rgb(put(tmp_path / "clear.png", encode(clear, "PNG"))) == RGB).all()


def test_palette_images_give_indices_as_labels_and_colours_as_pictures(tmp_path):
    path = save_palette(tmp_path / "palette.png", GREY)
    assert (read_labels(path) == GREY).all()
    with Image.open(path) as image:
        palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    assert (read_rgb(path) == palette[GREY]).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_of_few_bits_are_not_spread_over_0_to_255(tmp_path, bits):
    values = GREY % 2**bits
    path = tmp_path / "few.png"
    cv2.imwrite(str(path), values)  # 8 bits
    assert (read_labels(path) == values).all()
    # No library here writes grey of 2 and 4 bits, so the samples are packed by hand.
    rows = np.zeros((len(values), 1 + values.shape[1] * bits // 8), np.uint8)
    for column in range(values.shape[1]):
        place = column * bits
        rows[:, 1 + place // 8] |= (values[:, column] << (8 - bits - place % 8)).astype(np.uint8)
    put(path, png(values.shape, bits, rows.tobytes()))
    assert (read_labels(path) == values).all()


def png(shape, bits, raw):
    def chunk(kind, body):
        check = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + check

    height, width = shape
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0])
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_labels_with_equal_colours_pass_and_others_do_not(tmp_path):
    path = put(tmp_path / "equal.png", encode(np.dstack([GREY] * 3), "PNG"))
    assert (read_labels(path) == GREY).all()
    with pytest.raises(CorruptFileError, match=r"one channel.*RGB"):
        read_labels(put(tmp_path / "colour.png", encode(RGB, "PNG")))


def test_16_bit_codes_come_whole_and_8_bit_ones_are_refused(tmp_path):
    path = put(tmp_path / "codes.png", encode(CODES16, "PNG"))
    codes = read_codes16(path)
    assert codes.dtype == np.uint16
    assert (codes == CODES16).all()
    with pytest.raises(CorruptFileError, match="16 bits expected"):
        read_codes16(put(tmp_path / "grey.png", encode(GREY, "PNG")))
    with pytest.raises(CorruptFileError, match="8-bit picture expected"):
        read_rgb(path)
    with pytest.raises(CorruptFileError, match="8 bits expected"):
        read_labels(path)


def test_tiffs_of_three_16_bit_channels_are_not_clipped(tmp_path):
    path = tmp_path / "deep.tiff"
    deep = RGB.astype(np.uint16) * 5
    cv2.imwrite(str(path), deep[..., ::-1])
    found = read_rgb16(path)
    assert found.dtype == np.uint16
    assert (found == deep).all()
    assert found.max() > 255
    put(path, encode(RGB, "TIFF"))
    assert (read_rgb16(path) == RGB).all()
    with pytest.raises(CorruptFileError, match="RGB of 8 or 16 bits expected"):
        read_rgb16(put(path, encode(GREY, "TIFF")))


@given(st.lists(st.integers(0, 2**24 - 1), min_size=6, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_segment_ids_are_red_plus_256_green_plus_65536_blue(tmp_path, ids):
    values = np.array(ids).reshape(2, 3)
    path = put(tmp_path / "segments.png", encode(segment_colours(values), "PNG"))
    assert (read_panoptic(path) == values).all()
    opaque = np.dstack([segment_colours(values), np.full(values.shape, 9, np.uint8)])
    assert (read_panoptic(put(path, encode(opaque, "PNG"))) == values).all()
    with pytest.raises(CorruptFileError, match="in RGB expected, found mode L"):
        read_panoptic(put(path, encode(GREY, "PNG")))


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_image_is_named(tmp_path, read):
    contents = {
        "empty.png": b"",
        "text.png": b"Not found",
        "zeros.png": bytes(99),
        "icon.png": encode(RGB, "ICO"),
    }
    for name, data in contents.items():
        path = put(tmp_path / name, data)
        with pytest.raises(CorruptFileError, match=name) as caught:
            read(path)
        assert caught.value.path == path
    with pytest.raises(CorruptFileError, match="No such file"):
        read(tmp_path / "missing.png")
    with pytest.raises(CorruptFileError, match="directory"):
        read(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_file_cut_short_is_refused_wherever_it_is_cut(tmp_path, kind):
    data = encode(RGB, kind)
    path = tmp_path / "cut"
    for end in range(0, len(data) - 20, 13):
        with pytest.raises(CorruptFileError, match="cut"):
            read_rgb(put(path, data[:end]))


def test_a_deep_tiff_cut_short_is_refused(tmp_path):
    path = tmp_path / "deep.tiff"
    cv2.imwrite(str(path), RGB.astype(np.uint16) * 5)
    data = path.read_bytes()
    for end in range(0, len(data) - 20, 97):
        with pytest.raises(CorruptFileError, match=r"deep\.tiff"):
            read_rgb16(put(path, data[:end]))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_damage_gives_an_image_or_one_kind_of_error(tmp_path, data):
    # A reader must never fail in another way, whatever a decoder makes of a damaged file.
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF"]))
    content = bytearray(encode(RGB[:9, :8], kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = put(tmp_path / "damaged", bytes(content))
    for read in READERS:
        with contextlib.suppress(CorruptFileError):
            assert read(path).ndim in (2, 3)
