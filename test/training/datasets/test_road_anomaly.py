"""RoadAnomaly: both layouts, and real frames where they are on this machine.

The last test needs ``OPEN_SET_SEG_DATA``: a folder with ``road_anomaly/frames``.
"""

from __future__ import annotations

import os
from pathlib import Path

import anomaly_trees as trees
import numpy as np
import pytest

from training.datasets.frames import CorruptFileError, DatasetError
from training.datasets.registry import open_dataset

REAL = Path(os.environ.get("OPEN_SET_SEG_DATA", "/nowhere")) / "road_anomaly"
# Pixels of the anomalies in published frames of 1280 x 720, counted apart from the reader.
REAL_PIXELS = {
    "animals03_Zebras_in_the_road": 215418,
    "animals09_working_together": 390100,
    "animals15_Doebeln_Pferdebahn": 95684,
    "animals21_On_The_Road_to_Gondar_Ethiopia": 140272,
    "animals27_wildlife_bear": 167615,
    "cones02_Broadmoor_Manhole_Cones": 60484,
    "cones08_can": 18610,
    "obstacles03_cardboard_czech_hedgehog": 68215,
    "obstacles09_boulder3": 47374,
    "obstacles12_rocks6": 33442,
}


@pytest.mark.parametrize("plain", [False, True])
def test_code_two_is_the_anomaly_in_both_layouts(tmp_path, plain):
    root = trees.write_road_anomaly(tmp_path / "road_anomaly", plain)
    dataset = open_dataset("road_anomaly", tmp_path)
    assert list(dataset.ids) == ["animals01_calves", "cones08_can", "vehicle03_cart"]
    for index, name in enumerate(dataset.ids):
        frame = dataset.load(index)
        assert frame.image.shape == (trees.HEIGHT, trees.WIDTH, 3)
        np.testing.assert_array_equal(frame.outliers, trees.codes(name, (0, 2)) // 2)
    assert open_dataset("road_anomaly", root).ids == dataset.ids


@pytest.mark.parametrize("code", [1, 3])
def test_other_codes_are_named(tmp_path, code):
    root = trees.write_road_anomaly(tmp_path)
    path = root / "frames" / "cones08_can.labels" / "labels_semantic.png"
    trees.save(path, np.full((trees.HEIGHT, trees.WIDTH), code, dtype=np.uint8))
    with pytest.raises(CorruptFileError, match=rf"cones08_can.*\[{code}\]"):
        open_dataset("road_anomaly", root).load(1)


def test_a_picture_without_mask_is_named(tmp_path):
    root = trees.write_road_anomaly(tmp_path)
    trees.save(root / "frames" / "animals02_goat.jpg", trees.picture("goat"))
    with pytest.raises(DatasetError, match=r"1 of 4 masks are missing.*animals02_goat"):
        open_dataset("road_anomaly", root)


@pytest.mark.skipif(
    not (REAL / "frames").is_dir(), reason="OPEN_SET_SEG_DATA names no RoadAnomaly frames"
)
def test_real_frames_give_picture_and_anomalies():
    dataset = open_dataset("road_anomaly", REAL)
    known = set(REAL_PIXELS) & set(dataset.ids)
    assert known
    for name in sorted(known):
        frame = dataset.load(list(dataset.ids).index(name))
        assert frame.image.shape == (720, 1280, 3)
        assert frame.outliers.shape == (720, 1280)
        assert set(np.unique(frame.outliers)) == {0, 1}
        assert int((frame.outliers == 1).sum()) == REAL_PIXELS[name]


@pytest.mark.skipif(
    "animals27_wildlife_bear" not in {path.stem for path in (REAL / "frames").glob("*.jpg")},
    reason="OPEN_SET_SEG_DATA holds no picture of a bear",
)
def test_the_mask_of_a_black_bear_covers_what_is_black():
    dataset = open_dataset("road_anomaly", REAL)
    frame = dataset.load(list(dataset.ids).index("animals27_wildlife_bear"))
    brightness = frame.image.mean(axis=2)
    bear, road = (np.median(brightness[frame.outliers == label]) for label in (1, 0))
    assert bear < 40 < 80 < road
    assert (brightness[frame.outliers == 1] < 60).mean() > 0.9
