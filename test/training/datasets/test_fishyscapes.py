"""Fishyscapes: masks over other data sets' pictures, and the repacked folders."""

from __future__ import annotations

import shutil

import anomaly_trees as trees
import numpy as np
import pytest

from training.datasets.fishyscapes import add_overlay
from training.datasets.frames import CorruptFileError, DatasetError
from training.datasets.registry import open_dataset


@pytest.fixture
def data(tmp_path):
    """A folder of all data sets, as people keep them."""
    trees.write_lost_and_found(tmp_path / "LostAndFound")
    trees.write_cityscapes(tmp_path / "Cityscapes")
    trees.write_fishyscapes_lost_and_found(tmp_path / "fishyscapes_lostandfound")
    trees.write_fishyscapes_static(tmp_path / "fs_val_v3")
    return tmp_path


def test_lost_and_found_takes_pictures_of_both_splits(data):
    dataset = open_dataset("fishyscapes_lost_and_found", data)
    names = [trees.TEST_FRAMES[1], trees.TRAIN_FRAME]
    assert list(dataset.ids) == [f"{number:04d}_{name}" for number, name in enumerate(names)]
    for index, name in enumerate(names):
        frame = dataset.load(index)
        np.testing.assert_array_equal(frame.image, trees.picture(name))
        np.testing.assert_array_equal(frame.outliers, trees.codes(name, (0, 1, 255)))
        assert frame.group == trees.scene_of(name)


def test_static_adds_the_difference_and_clips(data):
    dataset = open_dataset("fishyscapes_static", data)
    assert len(dataset.ids) == len(trees.CITYSCAPES_FRAMES)
    for index, name in enumerate(trees.CITYSCAPES_FRAMES):
        frame = dataset.load(index)
        expected = [
            min(max(a + b, 0), 255)
            for a, b in zip(
                trees.picture(name).ravel().tolist(), trees.overlay_of(name).ravel(), strict=True
            )
        ]
        assert min(expected) == 0
        assert max(expected) == 255
        np.testing.assert_array_equal(frame.image.ravel(), expected)
        np.testing.assert_array_equal(frame.outliers, trees.codes(name, (0, 1, 255)))
        assert frame.group == name.split("_")[0]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.uint8, np.uint64])
def test_differences_of_any_whole_type_are_added_without_overflow(tmp_path, dtype):
    image = np.full((2, 3, 3), 200, dtype=np.uint8)
    for step in {100, 55, 0, np.iinfo(dtype).min, np.iinfo(dtype).max}:
        np.savez(tmp_path / "a.npz", rgb=np.full((2, 3, 3), step, dtype=dtype))
        expected = min(max(200 + int(step), 0), 255)
        assert (add_overlay(image, tmp_path / "a.npz") == expected).all()


def test_a_folder_of_both_parts_finds_the_pictures_above_it(data):
    for part in ("fishyscapes_lostandfound", "fs_val_v3"):
        shutil.move(data / part, data / "fishyscapes" / part)
    for name in ("fishyscapes_lost_and_found", "fishyscapes_static"):
        assert open_dataset(name, data / "fishyscapes").load(0).outliers is not None


def test_repacked_lost_and_found_ignores_code_two(tmp_path):
    dataset = open_dataset(
        "fishyscapes_lost_and_found", trees.write_repacked_lost_and_found(tmp_path)
    )
    names = [trees.TRAIN_FRAME, trees.TEST_FRAMES[1]]
    assert list(dataset.ids) == names
    for index, name in enumerate(names):
        frame = dataset.load(index)
        codes = trees.codes(name, (0, 1, 2))
        np.testing.assert_array_equal(frame.image, trees.picture(name))
        np.testing.assert_array_equal(frame.outliers, np.where(codes == 2, 255, codes))


def test_repacked_static_reads_the_composed_pictures(tmp_path):
    dataset = open_dataset("fishyscapes_static", trees.write_repacked_static(tmp_path))
    assert list(dataset.ids) == ["0", "1"]
    for index, name in enumerate(dataset.ids):
        frame = dataset.load(index)
        assert np.abs(frame.image.astype(int) - 40 * (index + 1)).max() <= 2
        np.testing.assert_array_equal(frame.outliers, trees.codes(name, (0, 1, 255)))


@pytest.mark.parametrize(
    ("name", "base"),
    [("fishyscapes_lost_and_found", "LostAndFound"), ("fishyscapes_static", "Cityscapes")],
)
def test_pictures_that_are_not_there_are_asked_for(data, name, base):
    shutil.rmtree(data / base)
    with pytest.raises(DatasetError, match=base) as caught:
        open_dataset(name, data)
    assert "leftImg8bit/" in str(caught.value)


def test_a_single_missing_picture_is_named(data):
    (data / "Cityscapes/leftImg8bit/val/lindau/lindau_000001_000019_leftImg8bit.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 images of Cityscapes are missing.*lindau"):
        open_dataset("fishyscapes_static", data)


def test_a_mask_without_difference_is_named(data):
    next((data / "fs_val_v3").glob("0001_*_rgb.npz")).unlink()
    with pytest.raises(DatasetError, match="0001"):
        open_dataset("fishyscapes_static", data)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("kind", ["cut", "pickled", "key", "size", "fractions", "text"])
def test_a_difference_that_cannot_be_used_is_named(data, kind, capsys):
    dataset = open_dataset("fishyscapes_static", data)
    (path,) = (data / "fs_val_v3").glob("0000_*_rgb.npz")
    whole = path.read_bytes()
    shape = (trees.HEIGHT, trees.WIDTH, 3)
    match kind:
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "pickled":
            np.savez(path, rgb=np.array([Evil()], dtype=object))
        case "key":
            np.savez(path, image=np.zeros(shape, dtype=np.int16))
        case "size":
            np.savez(path, rgb=np.zeros(shape[:2], dtype=np.int16))
        case "fractions":
            np.savez(path, rgb=np.zeros(shape))
        case "text":
            path.write_text("not an archive")
    with pytest.raises(CorruptFileError) as caught:
        dataset.load(0)
    assert caught.value.path == path
    assert "executed" not in capsys.readouterr().out
    assert dataset.load(1).image.shape == shape
