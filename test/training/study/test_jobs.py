"""A small study from end to end: resumed, repeated, frozen, and told what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from training.study import jobs
from training.study.__main__ import main
from training.study.config import Study, changed
from training.study.jobs import Work, describe_training, run_study
from training.study.results.files import read_result, result_path

CONFIG = Path(__file__).parents[3] / "config"
ARMS = ("control", "fractal_noise", "likelihood_only", "nflowjs", "closed_set")
SMALL_DATA = {
    "data.simulation": {
        "training_scenes": 3,
        "validation_scenes": 2,
        "width": 128,
        "height": 64,
        "supersampling": 1,
    }
}
SMALL_NETWORK = {
    **SMALL_DATA,
    "network.width": 0.125,
    "augmentation.crop_width": 64,
    "augmentation.crop_height": 32,
    "optimisation.steps": 2,
    "optimisation.batch": 2,
    "optimisation.precision": "fp32",
}
SMALL_FLOW = {
    **SMALL_DATA,
    "flow.options": {"steps": 1, "hidden": 8},
    "optimisation.steps": 2,
    "optimisation.batch": 2,
    "crops.size": 16,
    "crops.validation_crops": 4,
}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A study of five arms and one seed, on pictures of 128 x 64 pixels."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "training").mkdir()
    cache = {"data.simulation.cache": str(folder / "cache")}
    for name, changes in (
        ("closed_set", SMALL_NETWORK),
        ("nflowjs", {**SMALL_NETWORK, "negatives.patches.sizes": [8, 16]}),
        ("flow", SMALL_FLOW),
    ):
        path = CONFIG / "training" / f"study_{name}.yaml"
        content = changed(yaml.safe_load(path.read_text(encoding="utf-8")), {**changes, **cache})
        target = folder / "training" / path.name
        target.write_text(yaml.safe_dump(content), encoding="utf-8")
    content = yaml.safe_load((CONFIG / "study.yaml").read_text(encoding="utf-8"))
    content["arms"] = {key: content["arms"][key] for key in ARMS}
    content["flows"] = {"glow_small": {}}
    content["orderings"] = []
    content |= {"seeds": 1, "exploratory_seeds": 1, "fitted_scenes": 2}
    size = {"width": 128, "height": 64, "supersampling": 1}
    content["scenes"] = {**size, "development": 4, "sealed": 4, "probe": 2}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return Work(path, folder / "runs", folder / "results", "development", workers=0)


@pytest.fixture(scope="module")
def finished(work):
    run_study(work, (), None, progress=False)
    return work


def test_every_arm_has_a_result(finished):
    study = Study(finished.config)
    for arm in ARMS:
        result = read_result(result_path(finished.results, "development", arm, 0))
        assert result.config_sha256 == study.digest
        assert result.measured.images == 4
        assert "sml" in result.measured.scores
        assert (result.training is None) == (arm == "closed_set")
    joint = read_result(result_path(finished.results, "development", "nflowjs", 0))
    assert joint.training is not None
    assert joint.training.steps == 2
    control = read_result(result_path(finished.results, "development", "control", 0))
    assert control.measured.closed_set != joint.measured.closed_set


def test_what_is_there_is_not_made_again(finished, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("trained or measured again")

    monkeypatch.setattr(jobs, "train", refuse)
    monkeypatch.setattr(jobs, "measure", refuse)
    run_study(finished, (), None, progress=False)


def test_a_missing_result_is_measured_and_not_trained_again(finished, monkeypatch):
    path = result_path(finished.results, "development", "nflowjs", 0)
    before = path.read_text(encoding="utf-8")
    path.unlink()
    monkeypatch.setattr(jobs, "train", lambda *arguments: pytest.fail("trained again"))
    run_study(finished, ["nflowjs"], None, progress=False)
    assert path.read_text(encoding="utf-8") == before


def test_the_command_writes_the_page(finished, tmp_path):
    page = tmp_path / "benchmark.md"
    options = ["--runs", str(finished.runs), "--results", str(finished.results)]
    arguments = [str(finished.config), *options, "--page", str(page), "--workers", "0"]
    assert main(arguments) == 0
    text = page.read_text(encoding="utf-8")
    assert "R5 flow + JS (NFlowJS)" in text
    assert "improves" not in text  # one seed carries no claim


def test_sealed_families_need_a_frozen_configuration(finished, tmp_path, capsys):
    arguments = [str(finished.config), "--results", str(tmp_path), "--families", "sealed"]
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "--freeze first" in capsys.readouterr().err
    assert main([str(finished.config), "--results", str(tmp_path), "--freeze"]) == 0
    content = yaml.safe_load(finished.config.read_text(encoding="utf-8"))
    other = finished.config.with_name("other.yaml")
    other.write_text(yaml.safe_dump({**content, "score": "entropy"}), encoding="utf-8")
    for more in (["--families", "sealed"], ["--freeze"]):
        with pytest.raises(SystemExit):
            main([str(other), "--results", str(tmp_path), *more])
        assert "was frozen as" in capsys.readouterr().err


def test_unknown_arms_are_named(finished, capsys):
    with pytest.raises(SystemExit):
        main([str(finished.config), "--arms", "magic"])
    assert "unknown arms magic; known: closed_set, control" in capsys.readouterr().err


def test_the_last_values_are_means_of_the_log(tmp_path):
    rows = [
        {"step": 20, "loss": 3.0, "cross_entropy": 9.0, "seconds": 1.0},
        {"step": 40, "loss": 2.0, "cross_entropy": 3.0, "red": 0.1, "seconds": 2.0},
        {"step": 60, "loss": 1.0, "cross_entropy": 2.0, "red": 0.2, "seconds": 3.0},
        {"step": 80, "loss": 1.0, "cross_entropy": 1.0, "red": 0.6, "seconds": 4.0},
        {"step": 80, "validation_mIoU": 0.5},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = describe_training(tmp_path)
    assert (found["steps"], found["seconds"]) == (80, 4.0)
    assert found["final"]["cross_entropy"] == 2.0
    assert found["final"]["bits_per_dim"] is None
    assert found["final"]["mean_colour"] is None
    assert len(found["curve"]) == 4
