"""SegmentMeIfYouCan: official splits, exclusions and codes."""

from __future__ import annotations

import anomaly_trees as trees
import numpy as np
import pytest

from training.datasets.frames import CorruptFileError, DatasetError
from training.datasets.registry import open_dataset
from training.datasets.smiyc import EMPTY_FRAMES


def test_anomaly_track_has_labelled_and_hidden_frames(tmp_path):
    trees.write_anomaly_track(tmp_path / "dataset_AnomalyTrack")
    validation = open_dataset("smiyc_anomaly", tmp_path)
    assert list(validation.ids) == ["validation0000", "validation0001", "validation0002"]
    for index, name in enumerate(validation.ids):
        frame = validation.load(index)
        np.testing.assert_array_equal(frame.outliers, trees.codes(name, (0, 1, 255)))
        assert frame.image.shape == (trees.HEIGHT, trees.WIDTH, 3)
    test = open_dataset("smiyc_anomaly", tmp_path, "test")
    assert list(test.ids) == ["airplane0001", "cow0000"]
    assert test.load(0).outliers is None
    both = open_dataset("smiyc_anomaly", tmp_path, "all")
    assert list(both.ids) == [*test.ids, *validation.ids]
    assert both.load(0).outliers is None
    assert both.load(2).outliers is not None


def test_a_missing_mask_of_a_validation_frame_is_not_taken_for_hidden_truth(tmp_path):
    root = trees.write_anomaly_track(tmp_path)
    (root / "labels_masks" / "validation0001_labels_semantic.png").unlink()
    for split in ("validation", "all"):
        with pytest.raises(DatasetError, match="validation0001_labels_semantic"):
            open_dataset("smiyc_anomaly", root, split)


def test_obstacle_track_splits_follow_the_scenes(tmp_path):
    root = trees.write_obstacle_track(tmp_path)
    expected = {
        "test": ["curvy-street_1", "darkasphalt2_dog_7"],
        "night": ["driveway_3"],
        "snowstorm": ["snowstorm1_00_2", "snowstorm2_4"],
    }
    for split, ids in expected.items():
        dataset = open_dataset("smiyc_obstacle", root, split)
        assert list(dataset.ids) == ids
        assert dataset.load(0).outliers is None
        np.testing.assert_array_equal(dataset.load(0).image.shape, (trees.HEIGHT, trees.WIDTH, 3))
    assert len(open_dataset("smiyc_obstacle", root, "all").ids) == 5 + 40


def test_obstacle_validation_leaves_out_ten_frames_by_prefix(tmp_path):
    dataset = open_dataset("smiyc_obstacle", trees.write_obstacle_track(tmp_path))
    assert len(dataset.ids) == 30
    numbers = {int(name.removeprefix("validation_")) for name in dataset.ids}
    assert numbers == {*range(1, 19), 20, *range(30, 41)}
    index = list(dataset.ids).index("validation_2")
    mask = dataset.load(index).outliers
    np.testing.assert_array_equal(mask, trees.codes("validation_2", (0, 1, 255)))


def test_no_known_drops_empty_frames_and_known_objects(tmp_path):
    kept = [*trees.TEST_FRAMES, "02_Hanns_Klemm_Str_44_000000_000180"]
    children = ["15_Rechbergstr_Deckenpfronn_000000_000020"]
    root = trees.write_lost_and_found(tmp_path, (), [*kept, *EMPTY_FRAMES, *children])
    dataset = open_dataset("smiyc_lost_and_found", root)
    assert list(dataset.ids) == sorted(kept)
    assert len(EMPTY_FRAMES) == 17


def test_no_known_counts_what_is_no_hazard_as_an_obstacle_too(tmp_path):
    root = trees.write_lost_and_found(tmp_path)
    dataset = open_dataset("smiyc_lost_and_found", root)
    for index, name in enumerate(dataset.ids):
        label_ids = trees.codes(name, range(44))
        expected = np.where(label_ids == 0, 255, label_ids > 1)
        np.testing.assert_array_equal(dataset.load(index).outliers, expected)


@pytest.mark.parametrize(("code", "fine"), [(200, True), (201, False), (255, False)])
def test_label_ids_beyond_the_official_range_are_named(tmp_path, code, fine):
    root = trees.write_lost_and_found(tmp_path)
    dataset = open_dataset("smiyc_lost_and_found", root)
    (path,) = root.glob(f"gtCoarse/test/*/{dataset.ids[0]}_gtCoarse_labelIds.png")
    trees.save(path, np.full((trees.HEIGHT, trees.WIDTH), code, dtype=np.uint8))
    if fine:
        assert (dataset.load(0).outliers == 1).all()
    else:
        with pytest.raises(CorruptFileError, match=str(code)):
            dataset.load(0)


def test_an_unknown_split_is_refused(tmp_path):
    trees.write_anomaly_track(tmp_path)
    with pytest.raises(DatasetError, match="validation, test, all"):
        open_dataset("smiyc_anomaly", tmp_path, "val")
