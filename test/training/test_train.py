"""Training runs: learning, resuming, refusing, and the checkpoint at the end."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from open_set_seg.checkpoint import load_checkpoint
from open_set_seg.segmenter import OpenSetSegmenter
from training import train as training
from training.recipes import RecipeError, recipe_from_mapping, recipe_to_mapping
from training.train import learning_rate, main, train

CONTENT = {
    "name": "tiny",
    "seed": 3,
    "network": {"width": 0.125},
    "data": {
        "training_scenes": 4,
        "validation_scenes": 2,
        "width": 128,
        "height": 64,
        "supersampling": 1,
    },
    "augmentation": {"crop_width": 64, "crop_height": 32},
    "optimisation": {
        "steps": 12,
        "batch": 2,
        "warmup_steps": 3,
        "validate_every": 6,
        "save_every": 5,
    },
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    return recipe_from_mapping({**CONTENT, "data": {**CONTENT["data"], "cache": cache}})


@pytest.fixture(scope="module")
def uninterrupted(recipe, tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    return train(recipe, output, progress=False, device="cpu")


def test_the_checkpoint_says_how_it_was_made(recipe, uninterrupted):
    _, metadata = load_checkpoint(uninterrupted)
    assert metadata.recipe == recipe_to_mapping(recipe)
    assert metadata.seed == 3
    assert metadata.width == 0.125
    assert "development families" in metadata.threshold_rule
    assert 0 <= metadata.metrics["validation_mIoU"] <= 1
    assert 0 <= metadata.threshold <= 1
    segmenter = OpenSetSegmenter.from_checkpoint(uninterrupted, "cpu", backend="pytorch")
    assert segmenter.segment(np.zeros((32, 64, 3), np.uint8)).labels.shape == (32, 64)


def test_the_log_has_one_json_object_a_line(uninterrupted):
    lines = (uninterrupted.parent / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [6, 12]
    assert set(rows[-1]["class_iou"]) >= {"road", "car", "sky"}


@pytest.mark.parametrize("killed_at", [3, 7])
def test_a_killed_and_resumed_run_equals_one_that_was_not(
    recipe, uninterrupted, tmp_path, monkeypatch, killed_at
):
    take_step = training.take_step

    def killed(*arguments):
        if arguments[-1] == killed_at:
            raise KeyboardInterrupt
        return take_step(*arguments)

    monkeypatch.setattr(training, "take_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path, progress=False, device="cpu")
    monkeypatch.setattr(training, "take_step", take_step)
    torch.manual_seed(killed_at)  # a new process has another state
    path = train(recipe, tmp_path, resume=True, progress=False, device="cpu")
    expected, described = load_checkpoint(uninterrupted)
    found, metadata = load_checkpoint(path)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    assert metadata.weights_sha256 == described.weights_sha256
    assert metadata.metrics == described.metrics
    log = [(run / "metrics.jsonl").read_text() for run in (tmp_path, uninterrupted.parent)]
    assert log[0] == log[1]


def test_another_seed_gives_another_network(recipe, uninterrupted, tmp_path):
    other = recipe_from_mapping({**recipe_to_mapping(recipe), "seed": 4})
    path = train(other, tmp_path, progress=False, device="cpu")
    hashes = [load_checkpoint(p)[1].weights_sha256 for p in (path, uninterrupted)]
    assert hashes[0] != hashes[1]


def test_a_run_is_not_overwritten_or_mixed_up(recipe, uninterrupted):
    with pytest.raises(RecipeError, match="--resume"):
        train(recipe, uninterrupted.parent, progress=False)
    other = recipe_from_mapping({**recipe_to_mapping(recipe), "seed": 4})
    with pytest.raises(RecipeError, match="another recipe"):
        train(other, uninterrupted.parent, resume=True, progress=False)


def test_the_loss_falls(recipe):
    model, optimiser = training.build(recipe, torch.device("cpu"))
    dataset, _ = training.prepare_data(recipe, progress=False)
    images, labels = next(training.batches(dataset, recipe, 0))
    assert images.shape == (2, 3, 32, 64)
    assert labels.shape == (2, 32, 64)
    weights = torch.ones(12)
    losses = [
        training.take_step(model, optimiser, images, labels, weights, recipe, 5) for _ in range(15)
    ]
    assert losses[-1] < 0.8 * losses[0]


def test_every_epoch_sees_every_scene_once(recipe, monkeypatch):
    dataset, _ = training.prepare_data(recipe, progress=False)
    seen = []
    monkeypatch.setattr(
        dataset, "load", lambda index, load=dataset.load: (seen.append(index), load(index))[1]
    )
    for step in range(4):
        for slot in range(2):
            training.sample(dataset, recipe, step, slot)
    assert sorted(seen[:4]) == sorted(seen[4:]) == [0, 1, 2, 3]


def test_learning_rate_warms_up_and_falls_to_its_end(recipe):
    run = recipe.optimisation
    rates = [learning_rate(step, run) for step in range(run.steps)]
    assert rates[2] == pytest.approx(run.learning_rate)
    assert rates[3] == pytest.approx(run.learning_rate)
    assert rates[0] == pytest.approx(run.learning_rate / 3)
    assert all(a > b for a, b in itertools.pairwise(rates[3:]))
    assert rates[-1] == pytest.approx(run.final_learning_rate)


def test_unbounded_scores_are_trained_with_their_map(recipe, tmp_path):
    content = recipe_to_mapping(recipe)
    content["score"] = {"name": "energy", "temperature": 1.0}
    content["optimisation"]["steps"] = 2
    path = train(recipe_from_mapping(content), tmp_path, progress=False, device="cpu")
    _, metadata = load_checkpoint(path)
    assert metadata.score_map is not None
    anomaly = OpenSetSegmenter.from_checkpoint(path, "cpu", backend="pytorch").segment(
        np.full((32, 64, 3), 128, np.uint8)
    )
    assert ((anomaly.anomaly > 0) & (anomaly.anomaly < 1)).all()


def test_command_line_says_what_is_wrong(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("name: a\nsead: 3\n")
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "a.yaml")])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert "did you mean 'seed'" in error
    assert "Traceback" not in error
