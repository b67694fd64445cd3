"""The recipes that train on the simulation, each run as its file has it, but small."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from made_runs import SIMULATION, read_rows

from open_set_seg.checkpoint import load_checkpoint
from training import loop
from training.flow import load_flow
from training.recipes import load_recipe
from training.train import main

FOLDER = Path(__file__).resolve().parents[2] / "config" / "training"
RECIPES = {
    path.stem: load_recipe(path)
    for path in sorted(FOLDER.glob("*.yaml"))
    if load_recipe(path).data.scenes is not None
}
NETWORKS = [name for name, recipe in RECIPES.items() if recipe.task == "segmentation"]
CLOSED = [name for name in NETWORKS if RECIPES[name].negatives is None]
SMALL = [f"data.simulation={{{', '.join(f'{key}: {value}' for key, value in SIMULATION.items())}}}"]
SMALL_NETWORK = [
    "network.width=0.125",
    "augmentation.crop_width=64",
    "augmentation.crop_height=32",
    "optimisation.steps=2",
    "optimisation.batch=2",
]
SMALL_FLOW = [
    "flow.options={steps: 1, hidden: 8}",
    "crops.size=16",
    "crops.validation_crops=2",
    "optimisation.steps=2",
    "optimisation.batch=2",
]


def run(name, cache, *overrides):
    """Run a recipe in the folder where we are; the folder of the run."""
    arguments = [*SMALL, f"data.simulation.cache={cache}", *overrides]
    assert main([str(FOLDER / f"{name}.yaml"), *arguments, "--device", "cpu"]) == 0
    return Path("runs") / name


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, scene_cache):
    """A folder where the first stages were run."""
    place = tmp_path_factory.mktemp("simulation")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name in CLOSED:
            run(name, scene_cache, *SMALL_NETWORK)
        run("study_flow", scene_cache, *SMALL_FLOW)
    return place


def test_all_kinds_are_there():
    assert {"study_closed_set", "simulation_closed_set"} <= {*CLOSED}
    assert {"study_nflowjs", "simulation_nflowjs"} <= {*NETWORKS} - {*CLOSED}
    assert set(RECIPES) == {*NETWORKS, "study_flow"}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_set_networks_are_trained(workplace, name):
    _, metadata = load_checkpoint(workplace / "runs" / name / "model.safetensors")
    assert metadata.recipe["name"] == RECIPES[name].name == name
    assert metadata.width == 0.125
    assert 0 <= metadata.metrics["validation_mIoU"] <= 1


def test_the_flow_is_trained(workplace):
    flow, metadata = load_flow(workplace / "runs" / "study_flow" / "flow.safetensors")
    assert metadata.name == RECIPES["study_flow"].flow.name
    assert flow.multiple == 8
    assert 0 < metadata.metrics["validation_bits_per_dim"] < 20


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in CLOSED])
def test_the_second_stage_starts_where_its_file_says(workplace, scene_cache, name, monkeypatch):
    """The paths are the files' own: that of the closed-set network and that of the flow."""
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    recipe = RECIPES[name]
    assert (workplace / recipe.network.checkpoint).is_file()
    assert (workplace / recipe.negatives.flow.checkpoint).is_file()
    folder = run(name, scene_cache, *SMALL_NETWORK, "negatives.patches.sizes=[8, 16]")
    first = next(row for row in read_rows(folder) if "negative" in row)
    for part in ("loss", "cross_entropy", "negative", "bits_per_dim"):
        assert math.isfinite(first[part])
    load_checkpoint(folder / "model.safetensors")
    load_flow(folder / "flow.safetensors")
