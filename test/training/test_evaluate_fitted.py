"""Scores that need statistics of inlier data are measured on a fitted checkpoint."""

from __future__ import annotations

import json

import pytest
import torch
from small_trees import scene, write_obstacle_track

from open_set_seg.checkpoint import (
    CheckpointMetadata,
    add_statistics,
    load_checkpoint,
    save_checkpoint,
)
from open_set_seg.fitting import fit_statistics
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.models import build_model
from training.evaluate import main
from training.sources import SourceOptions, open_source

NEEDY = ("sml", "react+energy", "mahalanobis")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("plain") / "network.safetensors"
    metadata = CheckpointMetadata("swiftnet_rn18", STREETHAZARDS, "1.0", width=0.125)
    save_checkpoint(path, build_model("swiftnet_rn18", 12, 0.125), metadata)
    return path


@pytest.fixture(scope="module")
def fitted(plain):
    images = [scene(number)[0] for number in range(10, 13)]
    statistics = fit_statistics(load_checkpoint(plain)[0], 12, images, torch.device("cpu"))
    path = plain.with_name("fitted.safetensors")
    add_statistics(plain, path, statistics, {}, "three roads")
    return path


def identity_of(path, *scores):
    return open_source(str(path), SourceOptions(scores or None, "cpu")).identity


def test_statistics_are_part_of_who_a_source_is_where_its_scores_read_them(plain, fitted):
    assert identity_of(fitted) == identity_of(plain)
    assert identity_of(fitted, "msp", "energy") == identity_of(plain, "msp", "energy")
    for score in NEEDY:
        known = dict(identity_of(fitted, "msp", score))
        assert known.pop("statistics_sha256")
        assert known == identity_of(plain)


def test_other_statistics_make_another_source(tmp_path, fitted):
    source = open_source(str(fitted), SourceOptions(("sml",), "cpu"))
    statistics = fit_statistics(load_checkpoint(fitted)[0], 12, [scene(7)[0]], torch.device("cpu"))
    other = tmp_path / "fitted.safetensors"
    add_statistics(fitted, other, statistics, {}, "one road")
    assert identity_of(other, "sml") != source.identity


def test_an_evaluation_measures_them(tmp_path, plain, fitted, capsys):
    write_obstacle_track(tmp_path / "data", frames=2)
    rules = ["--protocol", "smiyc_obstacle", "--data", str(tmp_path / "data"), "--scores", *NEEDY]
    hurry = ["--threads", "1", "--workers", "0", "--device", "cpu"]
    assert main([str(fitted), *rules, *hurry, "--output", str(tmp_path / "out")]) == 0
    (path,) = (tmp_path / "out").glob("*/*/result.json")
    result = json.loads(path.read_text())
    assert set(result["scores"]) == set(NEEDY)
    found = {name: one["pixels"]["whole image"]["AP"] for name, one in result["scores"].items()}
    assert len(set(found.values())) == len(NEEDY)
    assert all(0.0 < value < 1.0 for value in found.values())
    with pytest.raises(SystemExit):
        main([str(plain), *rules, *hurry, "--output", str(tmp_path / "none")])
    assert "`open-set-seg fit` adds them" in capsys.readouterr().err
