"""WildDash 2, BSB-aerial and BSB-OOD, read from small trees in their layouts."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from anomaly_trees import picture, save
from driving_trees import (
    WILDDASH,
    deep_picture,
    entries,
    segment_colours,
    write_bsb,
    write_wilddash,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from open_set_seg.label_spaces import BSB, BSB_OOD, CITYSCAPES
from training.datasets import open_dataset
from training.datasets.frames import CorruptFileError, DatasetError
from training.datasets.panoptic import translate_segments

# Boat is 7, harbor is 5.
BSB_FRAMES = {
    "train": {"1": (0, 1, 2), "2": (1, 7), "10": tuple(range(15))},
    "val": {"1": (6, 13), "2": (5, 3)},
    "test": {"1": (1, 2), "2": (4, 7, 5)},
}


def by_category(truth, lookup):
    """Labels of categories by pixel, where -1 is no segment."""
    return np.array([*lookup, 255], np.uint8)[truth]


@given(st.data())
def test_segments_are_translated_one_by_one(data):
    segments = data.draw(
        st.dictionaries(st.integers(0, 2**24 - 1), st.sampled_from([3, 8, 9]), max_size=9)
    )
    labels = {3: 0, 8: 255, 9: 254}
    known = sorted({0, *segments})
    ids = np.array(data.draw(st.lists(st.sampled_from(known), min_size=4, max_size=4)), np.uint32)
    listed = np.array([*segments.items()], np.int64).reshape(-1, 2)
    found = translate_segments(ids.reshape(2, 2), listed, labels, Path("x.png"))
    assert found.dtype == np.uint8
    expected = [labels[segments[i]] if i in segments else 255 for i in ids.tolist()]
    assert found.reshape(-1).tolist() == expected


@pytest.mark.parametrize("name", ["wilddash2", "wilddash2_unizg"])
def test_every_category_of_wilddash_is_read_by_its_name(tmp_path, name):
    truth = write_wilddash(tmp_path)
    dataset = open_dataset(name, tmp_path)
    assert dataset.ids == ("aa0001_100000", "zz0001_100000")
    classes = [
        "car" if entry == "pickup" and name == "wilddash2_unizg" else label
        for entry, label in entries(WILDDASH)
    ]
    lookup = [255 if label is None else CITYSCAPES.id_of(label) for label in classes]
    for index, frame_id in enumerate(dataset.ids):
        frame = dataset.load(index)
        labels = by_category(truth[frame_id], lookup)
        assert (frame.labels == labels).all()
        assert (frame.outliers == np.where(labels == 255, 255, 0)).all()
        assert frame.outliers.dtype == np.uint8


def test_blanks_hyphens_and_cityscapes_names_mean_the_same(tmp_path):
    names = ["Traffic Light", "street-light", "road-marking", "train", "rectification border"]
    names += ["ego vehicle"] * 30  # the tree uses ids up to 34
    truth = write_wilddash(tmp_path, names)
    labels = open_dataset("wilddash2", tmp_path).load(1).labels
    lookup = [6, 255, 0, 16, 255, *[255] * 30]
    assert (labels == by_category(truth["zz0001_100000"], lookup)).all()


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["categories"][3].update(name="unicorn"), "unknown category 'unicorn'"),
        (lambda c: c["categories"].pop(7), "segment of unknown category 7"),
        (lambda c: c["annotations"][0]["segments_info"][0].update(id=2**24), "the id 16777216"),
        (lambda c: c.pop("annotations"), "COCO panoptic annotations expected"),
        (lambda c: c.update(annotations=[3]), "COCO panoptic annotations expected"),
        (lambda c: c.update(annotations=[]), "no frames were found"),
    ],
)
def test_a_strange_annotation_file_is_refused(tmp_path, change, message):
    write_wilddash(tmp_path)
    edit(tmp_path / "panoptic.json", change)
    with pytest.raises(DatasetError, match=message):
        open_dataset("wilddash2", tmp_path)


def test_an_annotation_file_cut_short_is_named(tmp_path):
    write_wilddash(tmp_path)
    path = tmp_path / "panoptic.json"
    path.write_text(path.read_text()[:-9])
    with pytest.raises(DatasetError, match=r"panoptic\.json: COCO panoptic annotations expected"):
        open_dataset("wilddash2", tmp_path)


def test_segments_that_are_not_listed_are_named(tmp_path):
    write_wilddash(tmp_path)
    png = tmp_path / "panoptic" / "aa0001_100000.png"
    save(png, segment_colours(np.full((24, 40), 77)))
    with pytest.raises(CorruptFileError, match="1 segment ids that are not listed, first 77"):
        open_dataset("wilddash2", tmp_path).load(0)
    save(png, segment_colours(np.full((12, 40), 0)))
    with pytest.raises(CorruptFileError, match="is 40 x 12, its image is 40 x 24 pixels"):
        open_dataset("wilddash2", tmp_path).load(0)


def test_missing_images_and_pngs_are_counted(tmp_path):
    write_wilddash(tmp_path)
    (tmp_path / "panoptic" / "aa0001_100000.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 images or PNGs are missing, first .*aa0001"):
        open_dataset("wilddash2", tmp_path)
    (tmp_path / "images" / "zz0001_100000.jpg").unlink()
    with pytest.raises(DatasetError, match=r"2 of 2 images or PNGs are missing, first .*zz0001"):
        open_dataset("wilddash2", tmp_path)


def test_bsb_is_read_in_14_classes_from_deep_tiffs(tmp_path):
    truth = write_bsb(tmp_path, BSB_FRAMES)
    for split, shown in BSB_FRAMES.items():
        dataset = open_dataset("bsb_aerial", tmp_path, split)
        assert dataset.label_space == BSB
        assert dataset.ids == tuple(sorted(shown))
        for index, frame_id in enumerate(dataset.ids):
            frame = dataset.load(index)
            labels = by_category(truth[f"{split}/{frame_id}"], [255, *range(14)])
            assert (frame.labels == labels).all()
            assert (frame.outliers == np.where(labels == 255, 255, 0)).all()
            shown_as = np.clip(deep_picture(frame_id).astype(float) / 300, 0, 1) * 255
            assert deep_picture(frame_id).max() > 300
            assert frame.image.dtype == np.uint8
            assert np.abs(frame.image - shown_as).max() <= 0.5


def test_tiffs_of_8_bits_are_taken_as_they_are(tmp_path):
    write_bsb(tmp_path, BSB_FRAMES)
    path = tmp_path / "image_test" / "1.tiff"
    Image.fromarray(picture("eight")).save(path)
    assert (open_dataset("bsb_aerial", tmp_path).load(0).image == picture("eight")).all()


def test_bsb_ood_sorts_frames_by_boat_and_harbor(tmp_path):
    truth = write_bsb(tmp_path, BSB_FRAMES)
    ids = {
        "train": ("train/1",),
        "val": ("val/1",),
        "test": ("test/2", "train/10", "train/2", "val/2"),
    }
    lookup = [255, 0, 1, 2, 3, 12, 4, 12, 5, 6, 7, 8, 9, 10, 11]
    for split, expected in ids.items():
        dataset = open_dataset("bsb_ood", tmp_path, split)
        assert dataset.label_space == BSB_OOD
        assert dataset.ids == expected
        for index, frame_id in enumerate(expected):
            frame = dataset.load(index)
            categories = truth[frame_id]
            assert (frame.labels == by_category(categories, lookup)).all()
            assert ((frame.outliers == 1) == np.isin(categories, (5, 7))).all()
            assert ((frame.outliers == 255) == np.isin(categories, (-1, 0))).all()


def test_a_category_that_bsb_does_not_have_is_refused(tmp_path):
    write_bsb(tmp_path, BSB_FRAMES)
    path = tmp_path / "annotations" / "panoptic_test.json"
    edit(path, lambda c: c["categories"].append({"id": 15, "name": "zoo"}))
    with pytest.raises(DatasetError, match=r"categories 0\.\.14 expected, found \[15\]"):
        open_dataset("bsb_aerial", tmp_path)


def test_panoptic_data_sets_travel_to_worker_processes(tmp_path):
    write_bsb(tmp_path / "bsb_dataset", BSB_FRAMES)
    write_wilddash(tmp_path / "wd_public_v2p0")
    for name in ("bsb_aerial", "bsb_ood", "wilddash2", "wilddash2_unizg"):
        dataset = open_dataset(name, tmp_path)
        one, other = dataset.load(0), pickle.loads(pickle.dumps(dataset)).load(0)
        assert (one.image == other.image).all()
        assert (one.labels == other.labels).all()
