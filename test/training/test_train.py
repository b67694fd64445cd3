"""Training runs: resuming, refusing, and what lies in the folder at the end."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import yaml
from made_runs import KINDS, STEPS, TINY_FLOW, differences, read_rows, read_state, recipe_of

from open_set_seg.checkpoint import load_checkpoint
from open_set_seg.segmenter import OpenSetSegmenter
from training import examination, flow_training, loop
from training.flow import load_flow
from training.loop import Loop
from training.recipes import RecipeError, recipe_from_mapping, recipe_to_mapping
from training.train import main, train

RESULTS = {
    "closed_set": ["model.safetensors"],
    "joint": ["flow.safetensors", "model.safetensors"],
    "gan": ["model.safetensors"],
    "flow": ["flow.safetensors"],
}


@pytest.fixture(autouse=True, scope="module")
def frequent_log():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", 2)
        yield


@pytest.fixture(scope="module")
def whole(scene_cache, tmp_path_factory):
    """Uninterrupted runs, made once each."""
    made = {}

    def run(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            train(recipe_of(kind, scene_cache), folder, progress=False, device="cpu")
            made[kind] = folder
        return made[kind]

    return run


def results_of(run):
    return sorted(path.name for path in run.glob("*.safetensors"))


def weights_of(path):
    loaded, metadata = (load_flow if path.stem == "flow" else load_checkpoint)(path)
    return loaded.state_dict(), metadata


def assert_equal_runs(one, other):
    assert differences(read_state(one), read_state(other)) == []
    assert read_rows(one) == read_rows(other)
    assert results_of(one) == results_of(other)
    for name in results_of(one):
        (first, described), (second, metadata) = weights_of(one / name), weights_of(other / name)
        assert differences(first, second) == []
        assert dict(metadata.metrics) == dict(described.metrics)
    pictures = [sorted((run / "pictures").iterdir()) for run in (one, other)]
    assert [path.name for path in pictures[0]] == [path.name for path in pictures[1]]
    for pair in zip(*pictures, strict=True):
        assert pair[0].read_bytes() == pair[1].read_bytes()


def scramble():
    """A new process has other random states."""
    torch.manual_seed(77)
    np.random.seed(77)  # noqa: NPY002
    random.seed(77)


class Killed(BaseException):
    """What no code of a training catches."""


def kill_at(patch, place, number):
    """Let a run die before a step, or before the validation or the end after so many steps."""
    take_step, look = Loop.take_step, examination.Examiner.look
    measure_bits = flow_training.measure_bits

    def killed_step(self, objective, batch, step):
        if place == "step" and step == number:
            raise Killed
        return take_step(self, objective, batch, step)

    def killed_look(self, step):
        if place == "validation" and step == number:
            raise Killed
        return look(self, step)

    def killed_bits(*arguments):
        if place == "validation":
            raise Killed
        return measure_bits(*arguments)

    patch.setattr(Loop, "take_step", killed_step)
    patch.setattr(examination.Examiner, "look", killed_look)
    patch.setattr(flow_training, "measure_bits", killed_bits)


@pytest.mark.parametrize(
    ("kind", "place", "number"),
    [
        ("closed_set", "step", 3),  # before anything was saved
        ("closed_set", "step", 5),  # just after a save
        ("closed_set", "step", 8),  # between saves, after a validation
        ("joint", "step", 8),
        ("joint", "step", 10),
        ("joint", "validation", 6),
        ("joint", "validation", STEPS),  # all steps are done, nothing is written
        ("gan", "step", 8),
        ("gan", "step", 10),
        ("flow", "step", 8),
        ("flow", "step", 10),
        ("flow", "validation", 6),
    ],
)
def test_a_killed_and_resumed_run_equals_one_that_was_not(
    scene_cache, whole, tmp_path, kind, place, number
):
    recipe = recipe_of(kind, scene_cache)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, place, number)
        with pytest.raises(Killed):
            train(recipe, tmp_path, progress=False, device="cpu")
    assert results_of(tmp_path) == []
    scramble()
    train(recipe, tmp_path, resume=True, progress=False, device="cpu")
    assert_equal_runs(tmp_path, whole(kind))


def test_a_run_that_is_killed_twice_equals_one_that_was_not(scene_cache, whole, tmp_path):
    recipe = recipe_of("joint", scene_cache)
    for number in (7, 11):
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, "step", number)
            with pytest.raises(Killed):
                train(recipe, tmp_path, resume=True, progress=False, device="cpu")
        scramble()
    train(recipe, tmp_path, resume=True, progress=False, device="cpu")
    assert_equal_runs(tmp_path, whole("joint"))


def test_resuming_a_finished_run_changes_nothing(scene_cache, whole):
    folder = whole("joint")
    before = (folder / "metrics.jsonl").read_text()
    state = read_state(folder)
    train(recipe_of("joint", scene_cache), folder, resume=True, progress=False, device="cpu")
    assert (folder / "metrics.jsonl").read_text() == before
    assert differences(read_state(folder), state) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_holds_results_log_and_pictures(whole, kind):
    folder = whole(kind)
    assert results_of(folder) == RESULTS[kind]
    rows = read_rows(folder)
    curve = [row for row in rows if "loss" in row]
    assert [row["step"] for row in curve] == [2, 4, 6, 8, 10, 12]
    parts = {
        "closed_set": {"cross_entropy", "network_rate"},
        "joint": {"cross_entropy", "negative", "bits_per_dim", "clamped", "negatives_rate"},
        "gan": {"cross_entropy", "negative", "generator", "discriminator", "real", "invented"},
        "flow": {"bits_per_dim", "flow_rate"},
    }
    assert parts[kind] <= set(curve[0])
    looks = [row for row in rows if "loss" not in row]
    assert [row["step"] for row in looks] == [6, 12]
    measured = {"validation_bits_per_dim"}
    if kind != "flow":
        measured = {f"validation_{name}" for name in ("mIoU", "hull_AP", "hull_FPR95")}
    assert all(measured <= set(row) for row in looks)
    names = {"flow": ["samples"], "closed_set": ["predictions"]}.get(
        kind, ["negatives", "predictions"]
    )
    expected = sorted(f"{name}-{step:06d}.png" for name in names for step in (6, 12))
    assert sorted(path.name for path in (folder / "pictures").iterdir()) == expected


def test_the_checkpoint_says_how_it_was_made(scene_cache, whole):
    path = whole("closed_set") / "model.safetensors"
    _, metadata = load_checkpoint(path)
    assert metadata.recipe == recipe_to_mapping(recipe_of("closed_set", scene_cache))
    assert metadata.seed == 3
    assert metadata.width == 0.125
    assert "development families" in metadata.threshold_rule
    assert 0 <= metadata.metrics["validation_mIoU"] <= 1
    assert 0 <= metadata.threshold <= 1
    rows = read_rows(path.parent)
    assert rows[-1].items() >= metadata.metrics.items()
    assert set(rows[-1]["class_iou"]) >= {"road", "car", "sky"}
    segmenter = OpenSetSegmenter.from_checkpoint(path, "cpu", backend="pytorch")
    assert segmenter.segment(np.zeros((32, 64, 3), np.uint8)).labels.shape == (32, 64)


def test_the_saved_flow_is_the_one_that_was_trained(whole):
    flow, metadata = load_flow(whole("joint") / "flow.safetensors")
    state = read_state(whole("joint"))["objective"]
    assert metadata.name == "glow_small"
    assert metadata.options == TINY_FLOW["options"]
    for name, tensor in flow.state_dict().items():
        assert torch.equal(tensor, state[f"source.flow.{name}"]), name


def test_another_seed_gives_another_network(scene_cache, whole, tmp_path):
    other = recipe_of("closed_set", scene_cache, seed=4, optimisation__steps=2)
    assert train(other, tmp_path, progress=False, device="cpu") == tmp_path / "model.safetensors"
    one, two = (
        read_state(run)["objective"]["network.logits.conv.weight"]
        for run in (tmp_path, whole("closed_set"))
    )
    assert not torch.allclose(one, two, atol=1e-3)


def test_a_run_is_not_overwritten_or_mixed_up(scene_cache, whole):
    recipe = recipe_of("closed_set", scene_cache)
    with pytest.raises(RecipeError, match="--resume"):
        train(recipe, whole("closed_set"), progress=False)
    other = recipe_from_mapping({**recipe_to_mapping(recipe), "seed": 4})
    with pytest.raises(RecipeError, match="another recipe"):
        train(other, whole("closed_set"), resume=True, progress=False)


def test_stages_start_from_the_files_of_others(scene_cache, whole, tmp_path):
    changes = {
        "network__checkpoint": str(whole("closed_set") / "model.safetensors"),
        "negatives__flow": {
            "name": "glow_small",
            "checkpoint": str(whole("flow") / "flow.safetensors"),
        },
        "negatives__optimisation__learning_rate": 0.0,
        "optimisation__encoder_factor": 0.0,
        "optimisation__steps": 1,
    }
    train(recipe_of("joint", scene_cache, **changes), tmp_path, progress=False, device="cpu")
    network, _ = load_checkpoint(whole("closed_set") / "model.safetensors")
    state = read_state(tmp_path)["objective"]
    weight = "backbone.layer1.0.conv1.weight"
    assert torch.equal(state[f"network.{weight}"], network.state_dict()[weight])
    flow, described = load_flow(tmp_path / "flow.safetensors")
    started, _ = load_flow(whole("flow") / "flow.safetensors")
    assert differences(flow.state_dict(), started.state_dict()) == []
    assert described.options == TINY_FLOW["options"]  # those of the flow that it started from


def test_unbounded_scores_are_trained_with_their_map(scene_cache, tmp_path):
    recipe = recipe_of("closed_set", scene_cache, score={"name": "energy", "temperature": 1.0},
                       optimisation__steps=1)  # fmt: skip
    path = train(recipe, tmp_path, progress=False, device="cpu")
    _, metadata = load_checkpoint(path)
    assert metadata.score_map is not None
    anomaly = OpenSetSegmenter.from_checkpoint(path, "cpu", backend="pytorch").segment(
        np.full((32, 64, 3), 128, np.uint8)
    )
    assert ((anomaly.anomaly > 0) & (anomaly.anomaly < 1)).all()


def test_half_precision_is_for_the_network_alone(scene_cache, tmp_path):
    recipe = recipe_of("joint", scene_cache, optimisation__precision="bf16", optimisation__steps=2)
    train(recipe, tmp_path, progress=False, device="cpu")
    state = read_state(tmp_path)
    kinds = {tensor.dtype for tensor in state["objective"].values()}
    assert kinds <= {torch.float32, torch.int64, torch.bool}
    assert read_rows(tmp_path)[0]["loss"] > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nsead: 3\n", "did you mean 'seed'"),
        ("name: a\nnegatives: {options: {joint: 1, magic: 2}}\n", "negatives.options:"),
        ("name: a\nnegatives: {flow: {options: {hidden: x}}}\n", "flow.options:"),
        ("name: a\ndata: {sets: [{name: cityscapes, root: nowhere}]}\n", "leftImg8bit"),
        ("name: a\nnetwork: {checkpoint: nothing.safetensors}\n", "nothing.safetensors"),
    ],
)
def test_command_line_says_what_is_wrong(scene_cache, tmp_path, capsys, text, message):
    (tmp_path / "a.yaml").write_text(text)
    arguments = [str(tmp_path / "a.yaml"), "--output", str(tmp_path / "run")]
    if "sets" not in text:
        names = ("training_scenes", "validation_scenes", "width", "height", "supersampling")
        sizes = (4, 2, 128, 64, 1)
        arguments += [f"data.simulation.{n}={v}" for n, v in zip(names, sizes, strict=True)]
        arguments += [f"data.simulation.cache={scene_cache}"]
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_command_line_runs_a_recipe(scene_cache, tmp_path, capsys):
    content = recipe_to_mapping(recipe_of("flow", scene_cache))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
    output = tmp_path / "run"
    arguments = [str(tmp_path / "a.yaml"), "optimisation.steps=1", "--output", str(output)]
    assert main([*arguments, "--device", "cpu", "--threads", "1"]) == 0
    assert f"wrote {output / 'flow.safetensors'}" in capsys.readouterr().out


def test_a_stopped_command_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.train.train", stopped)
    (tmp_path / "a.yaml").write_text("name: a\n")
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "a.yaml")])
    assert caught.value.code == 130
    assert "--resume" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("name: a\n")
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "a.yaml"), "--output", str(tmp_path / "a.yaml" / "run")])
    assert caught.value.code == 2
    assert "a.yaml/run" in capsys.readouterr().err
