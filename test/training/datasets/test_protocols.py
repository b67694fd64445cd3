"""Every protocol on small trees in the real layouts, from the command line to the figures."""

from __future__ import annotations

import json
import math

import anomaly_trees
import cv2
import driving_trees
import numpy as np
import pytest
from test_wd_pascal import write_wd_pascal

from open_set_seg.label_spaces import LABEL_SPACES
from open_set_seg.metrics import PROTOCOLS, pixel_metrics
from training.datasets import open_dataset
from training.evaluate import main
from training.sources import SourceOptions, open_source

HURRY = ["--threads", "1", "--workers", "0", "--device", "cpu"]
SPACES = {
    "streethazards": "streethazards_12",
    "streethazards_hendrycks": "streethazards_13",
    "bsb_ood": "bsb_ood_12",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("all")
    anomaly_trees.write_lost_and_found(folder / "lost_and_found")
    anomaly_trees.write_cityscapes(folder / "cityscapes")
    anomaly_trees.write_fishyscapes_lost_and_found(folder / "fs_lost_found")
    anomaly_trees.write_fishyscapes_static(folder / "fs_static")
    anomaly_trees.write_anomaly_track(folder / "dataset_AnomalyTrack")
    anomaly_trees.write_obstacle_track(folder / "dataset_ObstacleTrack")
    anomaly_trees.write_road_anomaly(folder / "RoadAnomaly_jpg")
    driving_trees.write_streethazards(folder / "streethazards")
    write_wd_pascal(folder / "wd_pascal")
    frames = {"train": {"2": (5, 7, 1)}, "val": {"1": (1, 2)}, "test": {"2": (1, 6, 7), "3": (2,)}}
    driving_trees.write_bsb(folder / "bsb", frames)
    return folder


def space_of(protocol):
    return SPACES.get(protocol, "cityscapes_19")


def maps_of(protocol, dataset):
    """Scores and truth of all frames, without the machinery of the evaluation."""
    space = space_of(protocol)
    classes = {"classes": LABEL_SPACES[space].num_classes}
    options = SourceOptions(("msp",), "cpu", label_space=space, factory=classes)
    source = open_source("made_networks:slow", options)
    frames = [dataset.load(index) for index in range(len(dataset.ids))]
    return [(source.answer(frame).scores["msp"], frame.outliers) for frame in frames]


@pytest.mark.parametrize(
    "protocol", [name for name, one in PROTOCOLS.items() if one.regions and name != "simulation"]
)
def test_every_protocol_measures_what_it_states(root, tmp_path, protocol):
    rules, space = PROTOCOLS[protocol], space_of(protocol)
    classes = LABEL_SPACES[space].num_classes
    network = ["made_networks:slow", "--label-space", space, "--scores", "msp",
               "--model-options", f"classes={classes}"]  # fmt: skip
    extra = ["--repeats", "2"] if rules.repeats > 1 else ["--bootstrap", "9"]
    where = ["--protocol", protocol, "--data", str(root), "--output", str(tmp_path)]
    assert main([*network, *where, *extra, *HURRY]) == 0
    results = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*/*/result.json"))]
    assert [result["dataset"]["name"] for result in results] == sorted(rules.datasets)
    for result in results:
        check(result, rules, protocol, root)


def check(result, rules, protocol, root):
    found = result["scores"]["msp"]
    figures = found["pixels"]["whole image"]
    runs = found["runs"] or [found["pixels"]]
    for number, one in enumerate(runs):
        dataset = open_dataset(result["dataset"]["name"], root, run=number)
        expected = pixel_metrics(maps_of(protocol, dataset), protocol)
        for name, value in one["whole image"].items():
            if value is not None:
                assert value == pytest.approx(expected[name], rel=1e-9)
    assert 0 < figures["AP"] < 1
    assert (found["components"] is None) == (rules.components is None)
    assert (found["open_set"] is None) == (rules.open_set is None)
    assert (found["distance"] is None) == (rules.distance is None)
    assert (result["closed_set"] is None) == (not rules.closed_set)
    assert result["notes"] == []
    assert len(found["frames"]) == result["dataset"]["frames"] == len(dataset.ids)
    if rules.repeats > 1:
        assert len(runs) == 2
        assert math.isfinite(found["deviation"]["whole image"]["AP"])
    else:
        interval = found["intervals"]["whole image"]["AUROC"]
        assert interval["low"] <= figures["AUROC"] <= interval["high"]


def test_known_classes_alone_are_measured_where_there_are_no_outliers(tmp_path):
    frames = ["val/frankfurt_000000_000294", "val/lindau_000001_000019"]
    driving_trees.write_cityscapes(tmp_path / "cityscapes", frames, (7, 11, 23, 26))
    network = ["made_networks:slow", "--label-space", "cityscapes_19", "--scores", "msp",
               "--model-options", "classes=19"]  # fmt: skip
    where = ["--protocol", "cityscapes", "--data", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main([*network, *where, "--bootstrap", "9", *HURRY]) == 0
    (path,) = tmp_path.glob("out/*/*/result.json")
    result = json.loads(path.read_text())
    closed = result["closed_set"]
    assert 0 <= closed["intervals"]["mIoU"]["low"] <= closed["mIoU"] <= 1
    assert result["scores"]["msp"]["pixels"] == {}
    assert "closed mIoU" in (path.parent / "table.md").read_text()
    assert "Known classes" in (path.parent / "report.html").read_text()


def test_a_fold_without_outliers_costs_open_miou_and_nothing_else(tmp_path):
    driving_trees.write_streethazards(tmp_path / "streethazards")
    annotation = tmp_path / "streethazards/test/annotations/test/t6/000001.png"
    codes = cv2.imread(str(annotation), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(annotation), np.where(codes == 14, 11, codes).astype(np.uint8))
    network = ["made_networks:slow", "--label-space", "streethazards_12", "--scores", "msp",
               "--model-options", "classes=12"]  # fmt: skip
    output = tmp_path / "out"
    where = ["--protocol", "streethazards", "--data", str(tmp_path), "--output", str(output)]
    assert main([*network, *where, *HURRY]) == 0
    (path,) = output.glob("*/*/result.json")
    result = json.loads(path.read_text())
    assert result["scores"]["msp"]["open_set"] is None
    assert result["scores"]["msp"]["pixels"]["whole image"]["AP"] > 0
    assert result["closed_set"]["mIoU"] >= 0
    assert "the fold 't6' has no outlier" in result["notes"][0]
