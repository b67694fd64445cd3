"""The command: what it writes, and what it refuses."""

import json
import shutil

import pytest
import yaml
from made_figures import open_picture
from made_runs import recipe_of

from training.figures import plane_picture
from training.figures.__main__ import main
from training.figures.finished_runs import read_network
from training.figures.logit_histograms import max_logits
from training.figures.plane import PlaneSettings
from training.presentation.canvas import LARGEST_PNG
from training.study.measuring.scenes import SceneView, prepare_study_scenes
from training.train import train

WIDTH, HEIGHT, SCENES = 160, 80, 2
NAMES = ["divergences", "pixel_losses", "plane", "flow_samples", "max_logits"]


@pytest.fixture(scope="module")
def joint_run(scene_cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    train(recipe_of("joint", scene_cache), folder, progress=False, device="cpu")
    return folder


@pytest.fixture
def command(scene_cache, joint_run, tmp_path, monkeypatch, request):
    root = request.config.rootpath
    study = yaml.safe_load((root / "config" / "study.yaml").read_text())
    study["scenes"] |= {"width": WIDTH, "height": HEIGHT, "supersampling": 1}
    for stage in ("closed_set", "flow", "mixed"):
        study[stage] = str(root / "config" / study[stage])
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(study))
    quick = PlaneSettings(batch=16, couplings=1, hidden=4, steps_before=2, steps=2)
    monkeypatch.setattr(plane_picture, "PlaneSettings", lambda: quick)
    options = {
        "--closed-set": joint_run / "model.safetensors",
        "--flow": joint_run / "flow.safetensors",
        "--joint": joint_run,
        "--control": joint_run,
        "--scenes": SCENES,
        "--batches": 2,
        "--config": config,
        "--cache": scene_cache,
        "--output": tmp_path / "made",
        "--numbers": tmp_path / "made.json",
    }

    def call(**changes):
        changed = {f"--{key.replace('_', '-')}": value for key, value in changes.items()}
        return main([str(part) for pair in {**options, **changed}.items() for part in pair])

    return call


def test_everything_is_written(command, joint_run, scene_cache, tmp_path):
    assert command() == 0
    made = tmp_path / "made"
    pictures = sorted((made / "figures").iterdir())
    assert [path.name for path in pictures] == sorted(f"{name}.png" for name in NAMES)
    for path in pictures:
        assert path.stat().st_size <= LARGEST_PNG
        assert open_picture(path.read_bytes()).std() > 5

    page = (made / "figures.md").read_text()
    places = [page.index(f"](figures/{name}.png)") for name in NAMES]
    assert places == sorted(places)
    assert f"--scenes {SCENES} --batches 2" in page
    assert "development families" in page
    assert str(tmp_path) not in page
    assert "nan" not in page

    numbers = json.loads((tmp_path / "made.json").read_text())
    assert numbers["families"] == "development"
    assert {"versions", "commit"} <= set(numbers["machine"])
    assert list(numbers["figures"]) == NAMES
    view = SceneView(WIDTH, HEIGHT, 1, "development")
    scenes = prepare_study_scenes(scene_cache, SCENES, view, workers=0, progress=False)
    expected = max_logits(read_network(joint_run), scenes).auroc
    networks = numbers["figures"]["max_logits"]["networks"]
    assert {found["AUROC"] for found in networks.values()} == {expected}
    assert len(networks) == 3
    # Network and flow are the same at both ends here, so the losses are too.
    losses = numbers["figures"]["pixel_losses"]
    assert losses["start of the joint training"] == losses["end of the joint training"]


@pytest.mark.parametrize("missing", ["flow.safetensors", "model.safetensors", "recipe.yaml"])
def test_a_run_that_is_not_finished_is_refused(command, joint_run, tmp_path, capsys, missing):
    broken = tmp_path / "broken"
    shutil.copytree(joint_run, broken)
    (broken / missing).unlink()
    with pytest.raises(SystemExit) as stopped:
        command(joint=broken)
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert missing in message
    assert message.count("\n") == 1


def test_a_training_without_a_flow_is_refused(command, joint_run, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(joint_run, other)
    recipe = yaml.safe_load((other / "recipe.yaml").read_text())
    recipe["negatives"] = None
    (other / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(SystemExit) as stopped:
        command(joint=other)
    assert stopped.value.code == 2
    assert "expected a joint training" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["batches", "scenes"])
def test_counts_of_nothing_are_refused(command, capsys, option):
    with pytest.raises(SystemExit) as stopped:
        command(**{option: 0})
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert option in message
    assert "1" in message
