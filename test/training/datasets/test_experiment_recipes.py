"""The recipes of the papers' experiments: their numbers, and each run once on made-up data."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from anomaly_trees import (
    CITYSCAPES_FRAMES,
    write_anomaly_track,
    write_fishyscapes_lost_and_found,
    write_fishyscapes_static,
    write_lost_and_found,
    write_obstacle_track,
)
from driving_trees import (
    VISTAS_1,
    write_bsb,
    write_cityscapes,
    write_streethazards,
    write_vistas,
    write_wilddash,
)

from open_set_seg.checkpoint import load_checkpoint
from open_set_seg.label_spaces import LABEL_SPACES
from training.datasets import DATASETS
from training.datasets.training_sets import open_sources
from training.flow import load_flow
from training.loop import Loop
from training.recipes import load_recipe
from training.train import main

RECIPES = Path(__file__).resolve().parents[3] / "config" / "training"
EXPERIMENTS = ("smiyc", "fishyscapes", "wd_pascal", "streethazards", "bsb_ood")
FLOWS = ("flow_vistas", "flow_bsb")
NAMES = (
    *FLOWS,
    *(f"{name}_{stage}" for name in EXPERIMENTS for stage in ("closed_set", "nflowjs")),
)

SMALL = {
    "segmentation": [
        "network.width=0.06",
        "data.validation_frames=1",
        "data.threads=1",
        "augmentation.crop_width=48",
        "augmentation.crop_height=48",
        "optimisation.epochs=null",
        "optimisation.steps=1",
        "optimisation.batch=2",
    ],
    "flow": [
        "flow.options={units: [1, 1], steps: [1, 1], width: 8, layers: 1, layer_growth: 8}",
        "data.threads=1",
        "crops.size=16",
        "crops.validation_crops=2",
        "optimisation.epochs=null",
        "optimisation.steps=2",
        "optimisation.batch=2",
    ],
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with ``data``, where runs leave ``runs``."""
    root = tmp_path_factory.mktemp("experiments")
    data = root / "data"
    trained = ("train/ulm_000001_000019", "train/ulm_000002_000019")
    validated = [f"val/{name}" for name in CITYSCAPES_FRAMES]
    write_cityscapes(data / "cityscapes", (*trained, *validated), range(34))
    write_vistas(data / "vistas", VISTAS_1, "config.json", "labels", ("a", "b", "c"))
    write_wilddash(data / "wilddash2")
    write_streethazards(data / "streethazards")
    shown = {"1": range(1, 5), "2": (6, *range(8, 15)), "3": (1, 2), "4": (5, 7)}
    write_bsb(data / "bsb", {"train": shown, "val": {"5": (1, 2, 6)}, "test": {"6": (1, 7)}})
    write_anomaly_track(data / "dataset_AnomalyTrack")
    write_obstacle_track(data / "dataset_ObstacleTrack")
    write_lost_and_found(data / "lost_and_found")
    write_fishyscapes_lost_and_found(data / "fishyscapes_lost_and_found")
    write_fishyscapes_static(data / "fishyscapes_static")
    return root


def run(name, *overrides):
    """Run a recipe, made small; the losses of its steps."""
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    small = [*SMALL[recipe.task], *overrides]
    if recipe.task == "segmentation":
        small += ["network.imagenet_weights=null"] if recipe.network.imagenet_weights else []
        small += ["augmentation.short_side=48"] if recipe.augmentation.short_side else []
        small += ["negatives.patches.sizes=[16, 24]"] if recipe.negatives else []
    losses = []

    def take_step(self, *arguments):
        losses.append(plain(self, *arguments))
        return losses[-1]

    plain = Loop.take_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "take_step", take_step)
        assert main([str(RECIPES / f"{name}.yaml"), *small, "--device", "cpu"]) == 0
    for loss in losses:
        for value in (loss.total, *loss.parts.values()):
            assert math.isfinite(float(value.detach()))
    return losses


@pytest.fixture(scope="module")
def flows(workplace):
    """Both flows, trained; losses by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        return {name: run(name) for name in FLOWS}


def test_every_recipe_that_reads_data_sets_is_run_here():
    """Those that train on the simulation are run in test_simulation_recipes.py."""
    found = {path.stem for path in RECIPES.glob("*.yaml") if load_recipe(path).data.sets}
    assert found == set(NAMES)


@pytest.mark.parametrize("name", FLOWS)
def test_flows_are_trained(workplace, flows, name):
    assert len(flows[name]) == 2
    flow, metadata = load_flow(workplace / "runs" / name / "flow.safetensors")
    assert metadata.name == "denseflow_25_6"
    assert metadata.recipe["name"] == name
    assert 0 < metadata.metrics["validation_bits_per_dim"] < 20
    assert flow.multiple <= 8


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_both_stages_run_and_the_second_goes_on_from_the_first(workplace, flows, name, monkeypatch):
    monkeypatch.chdir(workplace)
    (first,) = run(f"{name}_closed_set")
    assert set(first.parts) == {"cross_entropy"}
    # Another seed draws other weights, unless the first stage's are loaded.
    (joint,) = run(f"{name}_nflowjs", "seed=1")
    assert {"cross_entropy", "negative", "bits_per_dim"} <= set(joint.parts)
    assert joint.parts["negative"] > 0
    runs = workplace / "runs"
    recipe = load_recipe(RECIPES / f"{name}_nflowjs.yaml")
    before, _ = load_checkpoint(runs / f"{name}_closed_set" / "model.safetensors")
    after, metadata = load_checkpoint(runs / f"{name}_nflowjs" / "model.safetensors")
    assert metadata.label_space.name == recipe.label_space
    assert metadata.recipe["name"] == f"{name}_nflowjs"
    assert math.isfinite(metadata.metrics["validation_mIoU"])
    assert ("validation_outlier_AP" in metadata.metrics) == bool(recipe.data.anomalies)
    # One step of 1e-5 at most changes no weight by more than that, and float16 rounds.
    changes = [
        (one - other).abs().max()
        for one, other in zip(before.parameters(), after.parameters(), strict=True)
    ]
    assert max(changes) < 1e-2
    flow_before, _ = load_flow(workplace / recipe.negatives.flow.checkpoint)
    flow_after, _ = load_flow(runs / f"{name}_nflowjs" / "flow.safetensors")
    moved = torch.stack(
        [
            (one - other).abs().max()
            for one, other in zip(flow_before.parameters(), flow_after.parameters(), strict=True)
        ]
    )
    assert 0 < moved.max() < 1e-5  # Adamax goes 1e-6 a step at most


# What seed papers say of every experiment, apart from the recipes (Sensors 2024, section 4.3):
# epochs of both stages, classes, training images, sides of the patches, and the flow.
PUBLISHED = {
    "smiyc": (25, 15, 19, 25_231, (16, 216), "flow_vistas"),
    "fishyscapes": (150, 50, 19, 2_975, (16, 216), "flow_vistas"),
    "wd_pascal": (25, 15, 19, 18_000, (16, 216), "flow_vistas"),
    "streethazards": (80, 40, 12, 5_125, (16, 216), "flow_vistas"),
    "bsb_ood": (150, 40, 12, 2_840, (16, 64), "flow_bsb"),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_numbers_of_the_papers(name):
    first_epochs, second_epochs, classes, images, sizes, flow = PUBLISHED[name]
    first = load_recipe(RECIPES / f"{name}_closed_set.yaml")
    second = load_recipe(RECIPES / f"{name}_nflowjs.yaml")
    assert (first.optimisation.epochs, second.optimisation.epochs) == (first_epochs, second_epochs)
    assert (first.optimisation.batch, second.optimisation.batch) == (16, 12)
    for recipe, backbone, path in ((first, 1e-4, 4e-4), (second, 2.5e-6, 1e-5)):
        run = recipe.optimisation
        assert run.optimiser == "adam"
        assert run.learning_rate == pytest.approx(path)
        assert run.learning_rate * run.encoder_factor == pytest.approx(backbone)
        assert run.final_learning_rate == 1e-7
        assert recipe.network.architecture == "ldn_121"
        assert recipe.augmentation.scale == (0.5, 2.0)
        assert recipe.augmentation.mirror == 0.5
        assert recipe.score.temperature == 2.0
        frames = [DATASETS[each.name].frames[each.split] for each in recipe.data.sets]
        assert sum(frames) == images
        assert {each.split for each in recipe.data.sets} == {"train"}
    assert first.data.sets == second.data.sets
    assert first.augmentation == second.augmentation
    assert first.negatives is None
    negatives = second.negatives
    assert negatives.source == "flow"
    assert negatives.options == {"joint": True, "likelihood": True}
    assert negatives.divergence == "js"
    assert negatives.weight == 0.03
    assert negatives.patches.sizes == sizes
    assert negatives.optimisation.optimiser == "adamax"
    assert negatives.optimisation.learning_rate == 1e-6
    # The second stage begins where the first and the flow end.
    assert second.network.checkpoint == f"runs/{first.name}/model.safetensors"
    assert negatives.flow.checkpoint == f"runs/{flow}/flow.safetensors"
    assert negatives.flow.name == load_recipe(RECIPES / f"{flow}.yaml").flow.name
    assert LABEL_SPACES[second.label_space].num_classes == classes


def test_the_numbers_of_the_flows():
    roads, aerial = (load_recipe(RECIPES / f"{name}.yaml") for name in FLOWS)
    assert (roads.crops.size, aerial.crops.size) == (64, 32)
    assert (aerial.optimisation.epochs, aerial.optimisation.batch) == (2000, 256)
    assert [each.name for each in roads.data.sets] == ["vistas"]
    assert [(each.name, each.split) for each in aerial.data.sets] == [("bsb_ood", "train")]
    for recipe in (roads, aerial):
        assert recipe.flow.name == "denseflow_25_6"
        assert recipe.optimisation.optimiser == "adamax"


@pytest.mark.parametrize("name", NAMES)
def test_every_number_says_where_it_comes_from(name):
    text = (RECIPES / f"{name}.yaml").read_text()
    assert load_recipe(RECIPES / f"{name}.yaml").name == name
    numbers = re.findall(r"^ *\w+: *(\[?-?\d.*|\{.*)$", text, re.MULTILINE)
    assert len(numbers) > 8
    for number in numbers:
        assert re.search(r"# .*(\b[1-6]\.\d\b|\bcode\b|\bours\b)", number), number


@pytest.mark.parametrize("name", NAMES)
def test_missing_data_show_the_layout_and_the_way_to_get_them(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(SystemExit) as caught:
        main([str(RECIPES / f"{name}.yaml"), "--device", "cpu"])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    entry = DATASETS[load_recipe(RECIPES / f"{name}.yaml").data.sets[0].name]
    assert entry.source in error
    for line in entry.layout.strip().splitlines():
        assert line.strip() in error
    assert "Traceback" not in error


def test_data_sets_are_found_in_the_folder_of_the_command_line(workplace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []
    monkeypatch.setattr("training.train.train", lambda recipe, *_, **__: found.append(recipe))
    elsewhere = workplace / "data"
    with pytest.raises(AttributeError):  # nothing was written
        main([str(RECIPES / "smiyc_nflowjs.yaml"), "--data", str(elsewhere), "--device", "cpu"])
    (recipe,) = found
    plain = load_recipe(RECIPES / "smiyc_nflowjs.yaml").data
    for name in ("sets", "validation", "anomalies"):
        sets = getattr(recipe.data, name)
        assert sets
        assert {Path(each.root) for each in sets} == {elsewhere}
        assert [(e.name, e.split) for e in sets] == [
            (e.name, e.split) for e in getattr(plain, name)
        ]
        assert len(open_sources(sets)) == len(sets)


def test_a_folder_without_the_data_is_named_with_the_layout(tmp_path, monkeypatch, capsys):
    """And the run that found nothing is not in the way of the next one."""
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(SystemExit) as caught:
            main([str(RECIPES / "flow_vistas.yaml"), "--data", str(root), "--device", "cpu"])
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert str(root) in error
        assert DATASETS["vistas"].source in error
        assert "Expected:" in error


def test_scenes_have_no_folder_to_be_found_in(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(RECIPES / "study_flow.yaml"), "--data", str(tmp_path)])
    assert "data.sets: expected some" in capsys.readouterr().err


def test_missing_checkpoints_are_named(workplace, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(workplace / "data")
    for name, file in (
        ("fishyscapes_closed_set", "weights/densenet121.pth"),
        ("fishyscapes_nflowjs", "runs/fishyscapes_closed_set/model.safetensors"),
    ):
        with pytest.raises(SystemExit) as caught:
            main([str(RECIPES / f"{name}.yaml"), "--device", "cpu"])
        assert caught.value.code == 2
        assert file in capsys.readouterr().err
