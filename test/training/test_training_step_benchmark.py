"""The benchmark of the training step: every variant is timed, and its memory is its own."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import training_step
from benchmarks.training_step import closed_set, compare, make_step, with_patches
from open_set_seg.benchmark.turns import Turns
from training import segmentation
from training.recipes import load_recipe

SMALL = ["augmentation.crop_width=64", "augmentation.crop_height=32", "optimisation.batch=2"]


def small_recipe(*overrides):
    return load_recipe(training_step.RECIPE, [*SMALL, *overrides])


def test_it_runs_from_end_to_end(tmp_path, monkeypatch):
    # In this process, which spares three more that import torch.
    monkeypatch.setattr(training_step, "measure_memory", training_step.run_alone)
    torch.set_num_threads(1)
    output = tmp_path / "result.json"
    options = ["--sizes", "8", "--rounds", "2", "--threads", "1", "--output", str(output)]
    training_step.main([*SMALL, *options])
    result = json.loads(output.read_text(encoding="utf-8"))
    assert result["crop"] == [64, 32]
    assert result["batch"] == 2
    assert result["overrides"] == SMALL
    assert list(result["variants"]) == ["closed_set", "8", "recipe"]
    for variant in result["variants"].values():
        assert 0 < variant["ms"]["p10"] <= variant["ms"]["p50"] <= variant["ms"]["p90"]
        assert 0 < variant["before_MiB"] <= variant["resident_MiB"]
    assert result["variants"]["closed_set"]["ratio"] == 1
    assert {"processor", "commit"} <= set(result["machine"])


def test_ratios_are_those_of_rounds_and_of_all_together():
    times = {"closed_set": [1.0, 2.0, 4.0], "8": [3.0, 4.0, 28.0]}
    found = compare(Turns(times, times), "8")
    assert found["ratio"] == found["cpu_ratio"] == 3
    assert found["total_ratio"] == found["cpu_total_ratio"] == 5
    assert found["ms"]["p50"] == 4


@pytest.mark.parametrize("sizes", [None, (8, 8), (16, 16)])
def test_steps_change_what_they_train(sizes, monkeypatch):
    made = []
    build = segmentation.build_objective
    monkeypatch.setattr(
        training_step, "build_objective", lambda *given: made.append(build(*given)) or made[-1]
    )
    recipe = small_recipe("optimisation.warmup_steps=0")
    step = make_step(
        closed_set(recipe) if sizes is None else with_patches(recipe, sizes), torch.device("cpu")
    )
    parts = {"network": made[0].network}
    if sizes is None:
        assert made[0].source is None
    else:
        assert made[0].recipe.negatives.patches.sizes == sizes
        parts["flow"] = made[0].source.flow
    before = {name: [p.clone() for p in part.parameters()] for name, part in parts.items()}
    step()
    for name, part in parts.items():
        assert any(
            not torch.equal(*pair) for pair in zip(before[name], part.parameters(), strict=True)
        )


def test_a_recipe_without_negatives_is_refused(capsys):
    recipe = training_step.ROOT / "config" / "training" / "study_closed_set.yaml"
    with pytest.raises(SystemExit):
        training_step.main(["--recipe", str(recipe)])
    assert "expected a recipe with negatives" in capsys.readouterr().err
