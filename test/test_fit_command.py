"""``open-set-seg fit`` from pictures to a score that was not published before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from open_set_seg import cli
from open_set_seg.checkpoint import (
    CheckpointMetadata,
    load_checkpoint,
    load_statistics,
    read_metadata,
    save_checkpoint,
)
from open_set_seg.drawing import save_picture
from open_set_seg.fitting import fit_statistics
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.models import build_model
from open_set_seg.segmenter import OpenSetSegmenter

COUNT = 5


def draw(number):
    size = (40 + 4 * number, 64, 3)
    return np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roads")
    (folder / "town").mkdir()
    for number in range(COUNT):
        save_picture(folder / ("town" if number % 2 else "") / f"{number}.png", draw(number))
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("model") / "plain.safetensors"
    metadata = CheckpointMetadata("swiftnet_rn18", STREETHAZARDS, "1.0", width=0.125, threshold=0.3)
    save_checkpoint(path, build_model("swiftnet_rn18", 12, 0.125), metadata, half=True)
    return path


@pytest.fixture(scope="module")
def fitted(checkpoint, pictures):
    path = checkpoint.with_name("fitted.safetensors")
    assert run("fit", checkpoint, pictures, "-o", path, "--device", "cpu") == 0
    return path


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_the_network_and_its_own_score_stay_as_they_were(checkpoint, fitted):
    before, after = read_metadata(checkpoint), read_metadata(fitted)
    assert after.score_maps.keys() >= {"energy", "sml", "mahalanobis", "react+energy"}
    assert "jsd" not in after.score_maps
    assert after.statistics_source.startswith("5 of 5 pictures in ")
    kept = replace(after, score_maps={}, statistics_source="", statistics_sha256="")
    assert kept == before


def test_the_statistics_are_those_of_all_pictures(checkpoint, fitted):
    network, _ = load_checkpoint(checkpoint)
    expected = fit_statistics(network, 12, map(draw, range(COUNT)), torch.device("cpu"))
    found = load_statistics(fitted).tensors()
    for name, value in expected.tensors().items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_a_threshold_of_a_half_is_a_twentieth_of_false_alarms(fitted):
    for name in ("energy", "sml", "mahalanobis"):
        segmenter = OpenSetSegmenter.from_checkpoint(fitted, "cpu", score=name, backend="pytorch")
        marked = [segmenter.segment(draw(n), 0.5).labels.ravel() == 12 for n in range(COUNT)]
        assert np.concatenate(marked).mean() == pytest.approx(0.05, abs=0.005), name


def test_what_was_fitted_is_told(fitted, checkpoint, capsys):
    assert run("info", fitted) == 0
    told = capsys.readouterr().out
    for text in ("5 of 5 pictures", "max_logit_mean (12)", "score map sml", "as 0.5"):
        assert text in told
    assert run("info", checkpoint) == 0
    assert "score map" not in capsys.readouterr().out


def test_chosen_scores_and_a_share_of_the_pictures(tmp_path, checkpoint, pictures, capsys):
    path = tmp_path / "fitted.safetensors"
    chosen = ("msp", "sml+ground_focus", "energy:temperature=2", "react:quantile=0.95+energy")
    limits = ("--limit", 2, "--device", "cpu")
    assert run("fit", checkpoint, pictures, "-o", path, *limits, "--scores", *chosen) == 0
    assert "2 of 5 pictures" in capsys.readouterr().out
    assert set(read_metadata(path).score_maps) == set(chosen[1:]), "msp needs no map"
    assert set(path.parent.iterdir()) == {path}, "nothing else is left"


def test_a_checkpoint_is_fitted_in_place_to_rendered_scenes(tmp_path, checkpoint, capsys):
    path = tmp_path / "model.safetensors"
    path.write_bytes(checkpoint.read_bytes())
    scenes = ("--simulation", 2, "--size", "64x32", "--scores", "energy", "--device", "cpu")
    assert run("fit", path, *scenes, "-o", path) == 0
    metadata = read_metadata(path)
    assert metadata.weights_sha256 == read_metadata(checkpoint).weights_sha256
    assert metadata.statistics_source == (
        "2 rendered scenes of 64 x 32 pixels without unknown objects, seeds 2099998 to 2099999"
    )
    assert set(metadata.score_maps) == {"energy"}


def test_detect_publishes_a_fitted_score(tmp_path, fitted, pictures, capsys):
    where = ("--device", "cpu", "--backend", "pytorch")
    arguments = ("detect", pictures / "0.png", "--model", fitted, *where, "--score")
    output = ("--output", tmp_path / "found")
    assert run(*arguments, "sml", *output) == 2
    assert "the score 'sml' needs a threshold" in capsys.readouterr().err
    assert not (tmp_path / "found").exists()
    assert run(*arguments, "sml", "--threshold", 0.5, *output) == 0
    assert (tmp_path / "found" / "0_anomaly.png").is_file()


def test_mistakes_are_one_line_and_write_nothing(tmp_path, checkpoint, pictures, capsys):
    spoiled = tmp_path / "spoiled"
    spoiled.mkdir()
    save_picture(spoiled / "a.png", draw(0))
    (spoiled / "b.png").write_bytes((spoiled / "a.png").read_bytes()[:60])
    (tmp_path / "none").mkdir()
    path = tmp_path / "fitted.safetensors"
    mistakes = {
        "b.png is not a picture": [spoiled],
        "expected a folder of pictures or --simulation N": [],
        "--simulation N, one of the two": [pictures, "--simulation", 3],
        "holds no pictures": [tmp_path / "none"],
        "expected a folder of pictures": [spoiled / "a.png"],
        "a limit of at least 1": [pictures, "--limit", 0],
        "--limit with a folder": ["--simulation", 1, "--limit", 1],
        "expected 1 to 10000 rendered scenes": ["--simulation", 0],
        "expected --size": ["--simulation", 1, "--size", "large"],
        "unknown score 'magic'": [pictures, "--scores", "magic"],
        "'dense_hybrid' needs outlier logits": [pictures, "--scores", "dense_hybrid"],
        "quantile 0.5 was not fitted": [pictures, "--scores", "react:quantile=0.5+energy"],
    }
    for expected, arguments in mistakes.items():
        assert run("fit", checkpoint, *arguments, "-o", path, "--device", "cpu") == 2, arguments
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("open-set-seg: ")
        assert expected in line
    assert run("fit", pictures / "0.png", pictures, "-o", path) == 2
    assert "expected an open_set_seg checkpoint" in capsys.readouterr().err
    assert run("fit", checkpoint, pictures, "-o", tmp_path / "no" / "x.safetensors") == 2
    assert "no folder to write into" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.safetensors*"))
