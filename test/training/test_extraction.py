"""Frames of a recorded incident become hard examples that the training's own readers take."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from incident_frames import (
    CAMERA,
    LEFT,
    SECOND,
    Recording,
    bags_in,
    configure,
    frame,
    part,
    picture,
    scene,
    sighting,
)

from open_set_seg.bags import BagError, BagWriter, building, read_frames
from open_set_seg.bags.extraction import encode_disparity, extract_frames
from open_set_seg.cli import main
from open_set_seg.frame import DisparityMap
from open_set_seg.stereo.stored import decode_stored_disparity
from training.datasets import open_dataset
from training.datasets.crop_sets import open_crop_set


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The recorder's own folder: one incident of 2 s at 10 Hz, with the detector's labels."""
    folder = tmp_path_factory.mktemp("recorder")
    with Recording(configure(folder), {"model_hash": "abc"}) as it:
        for n in range(40):
            labels = np.full((20, 40), n % 13, np.uint8)
            stamp = n * SECOND // 10
            extra = (part("/detector/segmentation", building.image(labels, stamp, LEFT)),)
            seen = [sighting(1)] if n >= 15 else []
            it.recorder.add(frame(stamp, n, extra), seen, lambda one: scene(one.id))
        it.wait(lambda status: status.written == 1)
    return folder


def test_the_training_reads_what_was_extracted(recorded, tmp_path, capsys):
    root = tmp_path / "hard"
    assert main(["bag", "extract", str(recorded), "-o", str(root), "--spacing", "0.5"]) == 0
    assert "5 frames" in capsys.readouterr().out
    (bag,) = bags_in(recorded)
    # The incident begins at 1.5 s: 0.5 to 2.5 s are recorded.
    kept = [one for one in read_frames(bag) if one.stamp_ns % (SECOND // 2) == 0]
    dataset = open_dataset("lost_and_found", root, "train")
    assert len(dataset.ids) == len(kept) == 5
    for index, one in enumerate(kept):
        loaded = dataset.load(index)
        np.testing.assert_array_equal(loaded.image, one.image)
        np.testing.assert_array_equal(loaded.image, picture(5 + 5 * index))
        assert (loaded.outliers == 255).all(), "nothing is claimed to be true"
        assert loaded.disparity.baseline == 0.25
        assert loaded.disparity.camera == CAMERA
        values = decode_stored_disparity(loaded.disparity.codes)
        np.testing.assert_allclose(values, one.range_input.values, atol=1 / 512)
    where = root / "predicted" / "train" / f"00_{bag.name}"
    assert json.loads((where / "incident.json").read_text())["model_hash"] == "abc"
    predicted = cv2.imread(str(where / f"00_{bag.name}_000000_000002_labels.png"), -1)
    assert predicted.shape == (20, 40)
    assert (predicted == 15 % 13).all()


def test_the_flow_trains_on_crops_of_what_was_extracted(recorded, tmp_path):
    (bag,) = bags_in(recorded)
    extract_frames(bag, tmp_path, spacing_s=1.0)
    crops = open_crop_set(
        [SimpleNamespace(name="lost_and_found", root=str(tmp_path), split="train")],
        size=16,
        mirror=0.0,
    )
    crop = crops.load(0, np.random.default_rng(0))
    whole = picture(5)
    windows = np.lib.stride_tricks.sliding_window_view(whole, (16, 16, 3)).reshape(-1, 16, 16, 3)
    assert (windows == crop).all(axis=(1, 2, 3)).any()


def test_labels_that_were_drawn_are_never_written_over(recorded, tmp_path, capsys):
    (bag,) = bags_in(recorded)
    extract_frames(bag, tmp_path)
    drawn = next((tmp_path / "gtCoarse").rglob("*.png"))
    drawn.write_bytes(b"labels")
    with pytest.raises(BagError, match="remove it first"):
        extract_frames(bag, tmp_path)
    assert drawn.read_bytes() == b"labels"
    assert main(["bag", "extract", str(tmp_path / "none"), "-o", str(tmp_path)]) == 2
    assert "no recording" in capsys.readouterr().err


def test_frames_without_a_disparity_get_an_empty_one_beside_others(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        for n in range(4):
            now = n * SECOND
            bag.write("/camera_info", now, building.camera_info(CAMERA, now, LEFT))
            bag.write("/image", now, building.image(picture(n), now, LEFT))
            if n % 2:
                values = np.full((20, 40), 3.0, np.float32)
                stereo = DisparityMap(values, 50.0, 0.25, 0.5, 64.0)
                bag.write("/disparity", now, building.disparity_image(stereo, now, LEFT))
    done = extract_frames(tmp_path / "bag", tmp_path / "out")
    assert (done.frames, done.with_range, done.with_prediction) == (4, 2, 0)
    dataset = open_dataset("lost_and_found", tmp_path / "out", "train")
    found = [dataset.load(n).disparity.codes.max() for n in range(4)]
    assert found == [0, 3 * 256 + 1, 0, 3 * 256 + 1]


def test_a_recording_without_ranges_gives_images_alone(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("/image", 0, building.image(picture(0), 0, LEFT))
    extract_frames(tmp_path / "bag", tmp_path / "out")
    assert open_dataset("lost_and_found", tmp_path / "out", "train").load(0).disparity is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.floats(width=32) | st.sampled_from([0.0, -1.0, 0.5, 64.0, 255.99, 256.0]),
        min_size=1, max_size=20,
    ),
    st.sampled_from([(0.0, 0.0), (0.5, 64.0), (-2.0, 300.0)]),
)  # fmt: skip
def test_codes_hold_what_is_valid_within_a_512th(values, limits):
    row = np.array([values], np.float32)
    codes = encode_disparity(DisparityMap(row, 50.0, 0.2, *limits))
    for value, code in zip(row[0].astype(float), codes[0], strict=True):
        inside = limits == (0.0, 0.0) or limits[0] <= value <= limits[1]
        if np.isfinite(value) and 0 < value <= 65534 / 256 and inside:
            assert abs((int(code) - 1) / 256 - value) <= 1 / 512
        else:
            assert code == 0
