"""LostAndFound: masks, disparity and camera."""

from __future__ import annotations

import json

import anomaly_trees as trees
import numpy as np
import pytest

from training.datasets.frames import CorruptFileError, DatasetError
from training.datasets.registry import open_dataset


@pytest.fixture
def root(tmp_path):
    return trees.write_lost_and_found(tmp_path / "LostAndFound")


def expected_mask(name):
    """By the publisher's train ids: free road 0, obstacle 1, all else 255."""
    meaning = {0: 255, 1: 0, 2: 1, 255: 255}
    label_ids = trees.codes(name, range(44))
    return np.vectorize(lambda code: meaning[trees.LAF_TRAIN_ID[code]])(label_ids)


def test_frames_are_sorted_and_grouped_by_scene(root):
    dataset = open_dataset("lost_and_found", root)
    assert list(dataset.ids) == sorted(trees.TEST_FRAMES)
    frames = [dataset.load(index) for index in range(3)]
    assert [frame.id for frame in frames] == list(dataset.ids)
    assert [frame.group for frame in frames] == [trees.scene_of(name) for name in dataset.ids]
    train = open_dataset("lost_and_found", root, "train")
    assert list(train.ids) == [trees.TRAIN_FRAME]


@pytest.mark.parametrize("train_ids", [True, False])
def test_masks_follow_the_publishers_table_from_either_kind_of_ids(tmp_path, train_ids):
    root = trees.write_lost_and_found(tmp_path / "laf", train_ids=train_ids)
    dataset = open_dataset("lost_and_found", root)
    for index, name in enumerate(dataset.ids):
        frame = dataset.load(index)
        np.testing.assert_array_equal(frame.image, trees.picture(name))
        np.testing.assert_array_equal(frame.outliers, expected_mask(name))
        assert frame.labels is None
    assert dataset.label_space is None


def test_disparity_and_camera_are_as_stored(root):
    dataset = open_dataset("lost_and_found", root)
    disparity = dataset.load(1).disparity
    assert disparity.codes.dtype == np.uint16
    np.testing.assert_array_equal(disparity.codes, trees.disparity_of(dataset.ids[1]))
    assert disparity.baseline == 0.2
    camera = disparity.camera
    assert (camera.width, camera.height) == (trees.WIDTH, trees.HEIGHT)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (2300.5, 2305.25, 20.5, 11.25)


def test_without_the_folder_there_is_no_disparity(tmp_path):
    root = trees.write_lost_and_found(tmp_path / "laf", disparity=False)
    assert open_dataset("lost_and_found", root).load(0).disparity is None


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("{", "no camera file"),
        ("[1]", "extrinsic.baseline"),
        (json.dumps({**trees.CAMERA, "extrinsic": {}}), "extrinsic.baseline"),
        (json.dumps({**trees.CAMERA, "extrinsic": {"baseline": -0.2}}), "extrinsic.baseline"),
        (json.dumps({**trees.CAMERA, "intrinsic": {"fx": "2300"}}), "intrinsic.fx"),
        (json.dumps({**trees.CAMERA, "intrinsic": {"fx": float("nan")}}), "intrinsic.fx"),
    ],
)
def test_a_camera_that_cannot_be_one_is_named(root, content, wrong):
    dataset = open_dataset("lost_and_found", root)
    (path,) = root.glob(f"camera/test/*/{dataset.ids[0]}_camera.json")
    path.write_text(content)
    with pytest.raises(CorruptFileError, match=wrong) as caught:
        dataset.load(0)
    assert caught.value.path == path


def test_a_disparity_of_another_size_is_named(root):
    dataset = open_dataset("lost_and_found", root)
    (path,) = root.glob(f"disparity/test/*/{dataset.ids[0]}_disparity.png")
    trees.save(path, np.zeros((trees.HEIGHT, trees.WIDTH - 1), dtype=np.uint16))
    with pytest.raises(CorruptFileError, match="its image") as caught:
        dataset.load(0)
    assert caught.value.path == path


def test_a_code_that_the_publisher_does_not_use_is_named(root):
    dataset = open_dataset("lost_and_found", root)
    (path,) = root.glob(f"gtCoarse/test/*/{dataset.ids[0]}_gtCoarse_labelTrainIds.png")
    trees.save(path, np.full((trees.HEIGHT, trees.WIDTH), 3, dtype=np.uint8))
    with pytest.raises(CorruptFileError, match=r"\[3\]") as caught:
        dataset.load(0)
    assert caught.value.path == path
    assert dataset.load(1).outliers is not None


def test_an_image_without_labels_is_reported_when_opened(root):
    for path in root.glob("gtCoarse/test/04_*/*"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"2 of 3 label files are missing.*04_Maurener"):
        open_dataset("lost_and_found", root)


def test_cityscapes_with_coarse_labels_is_not_taken_for_it(tmp_path):
    trees.write_cityscapes(tmp_path / "cityscapes")
    with pytest.raises(DatasetError, match="gtCoarse"):
        open_dataset("lost_and_found", tmp_path)
    root = trees.write_lost_and_found(tmp_path / "dataset_LostAndFound")
    assert open_dataset("lost_and_found", tmp_path).ids == open_dataset("lost_and_found", root).ids
