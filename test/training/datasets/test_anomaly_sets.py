"""What holds for all anomaly benchmarks: they are told apart, and travel to worker processes."""

from __future__ import annotations

import pickle

import anomaly_trees as trees
import numpy as np
import pytest
from test_wd_pascal import write_wd_pascal

from training.datasets.registry import DATASETS, open_dataset

FOLDERS = {
    "lost_and_found": "lost_and_found",
    "fishyscapes_lost_and_found": "fishyscapes_lostandfound",
    "fishyscapes_static": "fs_val_v3",
    "smiyc_anomaly": "dataset_AnomalyTrack",
    "smiyc_obstacle": "dataset_ObstacleTrack",
    "smiyc_lost_and_found": "lost_and_found",
    "road_anomaly": "RoadAnomaly_jpg",
    "wd_pascal": "WD-Pascal",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    trees.write_cityscapes(root / "cityscapes")
    trees.write_lost_and_found(root / "lost_and_found")
    trees.write_fishyscapes_lost_and_found(root / "fishyscapes_lostandfound")
    trees.write_fishyscapes_static(root / "fs_val_v3")
    trees.write_anomaly_track(root / "dataset_AnomalyTrack")
    trees.write_obstacle_track(root / "dataset_ObstacleTrack")
    trees.write_road_anomaly(root / "RoadAnomaly_jpg")
    write_wd_pascal(root / "WD-Pascal")
    return root


@pytest.mark.parametrize("name", FOLDERS)
def test_each_is_found_among_all_others(data, name):
    among, alone = open_dataset(name, data), open_dataset(name, data / FOLDERS[name])
    assert among.name == alone.name == name
    assert list(among.ids) == list(alone.ids) == sorted(among.ids)
    one, other = among.load(0), alone.load(0)
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.outliers, other.outliers)


@pytest.mark.parametrize("name", FOLDERS)
def test_no_folder_is_taken_for_another(data, name):
    recognised = {folder.name for folder in data.iterdir() if DATASETS[name].is_at(folder)}
    assert recognised == {FOLDERS[name]}


@pytest.mark.parametrize("name", FOLDERS)
def test_each_travels_to_another_process(data, name):
    dataset = open_dataset(name, data)
    arrived = pickle.loads(pickle.dumps(dataset))
    assert list(arrived.ids) == list(dataset.ids)
    for index in (len(dataset.ids) - 1, 0):
        one, other = dataset.load(index), arrived.load(index)
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.outliers, other.outliers)


@pytest.mark.parametrize("name", FOLDERS)
def test_entries_say_what_a_user_needs(name):
    entry = DATASETS[name]
    assert entry.default_split in entry.splits
    assert set(entry.needs) <= set(DATASETS)
    assert entry.layout.strip()
    assert entry.source.strip()
