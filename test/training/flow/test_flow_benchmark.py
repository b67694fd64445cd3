"""The benchmark of flows: equal work, the same held-out crops, and what it makes of the numbers."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
import yaml
from made_runs import recipe_of

from benchmarks import flows
from benchmarks.flow_numbers import summarise, table
from benchmarks.flows import Budget, adapt, measure_bits
from training.flow import build_flow
from training.recipes import recipe_to_mapping

BUDGET = Budget(steps=3, seconds=0.0, batch=2, warmup=1, sizes=(8, 16), crops=3)


@pytest.fixture
def tiny(scene_cache, monkeypatch):
    """Two flows that train in no time, in this process; their recipe."""
    small = {"levels": 2, "hidden": 4}
    compared = {
        "first": ("glow_small", {**small, "steps": 1}),
        "second": ("realnvp", {**small, "blocks": 1}),
    }
    monkeypatch.setattr(flows, "COMPARED", compared)
    monkeypatch.setattr(flows, "_apart", lambda measure, *arguments: measure(*arguments))
    torch.set_num_threads(1)
    return recipe_of("flow", scene_cache)


def test_it_runs_from_end_to_end(tiny, tmp_path, capsys):
    recipe, output = tmp_path / "recipe.yaml", tmp_path / "result.json"
    recipe.write_text(yaml.safe_dump(recipe_to_mapping(tiny)))
    flows.main([
        "--recipe", str(recipe), "--steps", "2", "--seconds", "0", "--batch", "2",
        "--warmup", "1", "--sizes", "8", "16", "--crops", "3", "--output", str(output),
    ])  # fmt: skip
    result = json.loads(output.read_text(encoding="utf-8"))
    first, second = result["flows"]["first"], result["flows"]["second"]
    for flow in (first, second):
        assert flow["steps"] == 2
        assert flow["parameters"] > 0
        assert flow["seconds_a_step"] > 0
        assert flow["bits_per_dim"]["after_seconds"] == flow["bits_per_dim"]["after_steps"]
    for side in ("8", "16"):
        one, other = (flow["bits_per_dim"]["after_steps"][side] for flow in (first, second))
        assert 0 < one["mean"]["value"] < 20
        difference = other["mean"]["value"] - one["mean"]["value"]
        assert other["over_first"]["value"] == pytest.approx(difference, abs=2e-4)
    capsys.readouterr()
    flows.main(["--output", str(output), "--table"])
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 6
    assert f"{second['bits_per_dim']['after_steps']['16']['mean']['value']:.2f} ±" in rows[-1]


def test_all_flows_learn_from_the_same_crops_as_long_as_they_are_given(tiny, monkeypatch):
    seen = []
    load = flows.Crops.load
    monkeypatch.setattr(
        flows.Crops, "load", lambda self, *place: seen.append(load(self, *place)) or seen[-1]
    )
    counts = {}
    for key in ("first", "second"):
        seen.clear()
        result = flows.measure_flow(tiny, key, BUDGET)
        assert result["steps"] == BUDGET.steps
        counts[key] = [crop.numpy().tobytes() for (crop,) in seen]
        assert len(counts[key]) == BUDGET.steps * BUDGET.batch
    assert counts["first"] == counts["second"]
    longer = flows.measure_flow(tiny, "first", Budget(1, 0.2, 2, 1, (8,), 2))
    assert longer["steps"] > 1
    assert longer["seconds"] >= 0.2
    assert longer["bits_per_dim"]["after_seconds"] != longer["bits_per_dim"]["after_steps"]


def test_the_recipe_keeps_what_is_not_compared(tiny):
    adapted = adapt(tiny, "second", BUDGET)
    assert (adapted.flow.name, adapted.flow.options["blocks"]) == ("realnvp", 1)
    assert adapted.optimisation.batch == BUDGET.batch
    assert adapted.optimisation.final_learning_rate is None
    assert (adapted.data, adapted.seed, adapted.crops) == (tiny.data, tiny.seed, tiny.crops)


def test_held_out_crops_and_their_noise_are_the_same_every_time(tiny):
    torch.manual_seed(0)
    flow = build_flow("glow_small", levels=2, steps=1, hidden=4).eval()
    once = measure_bits(flow, tiny, 16, 5)
    assert len(set(once)) == 5
    assert measure_bits(flow, tiny, 16, 5) == once
    assert not flow.training


def test_means_errors_and_paired_differences():
    bits = {"first": [1.0, 2.0, 3.0], "second": [2.0, 3.0, 7.0]}
    result = {
        "flows": {
            key: {"bits_per_dim": {"after_steps": {8: values}}} for key, values in bits.items()
        },
        "trained": [{"bits_per_dim": {8: [4.0, 4.0]}}],
    }
    before = copy.deepcopy(result)
    found = summarise(result)
    assert result == before
    first, second = (found["flows"][key]["bits_per_dim"]["after_steps"][8] for key in bits)
    assert first == {"mean": {"value": 2.0, "standard_error": round(1 / np.sqrt(3), 4)}}
    error = np.std([1, 1, 4], ddof=1) / np.sqrt(3)
    assert second["over_first"] == {"value": 2.0, "standard_error": round(error, 4)}
    assert found["trained"][0]["bits_per_dim"][8] == {"mean": {"value": 4.0, "standard_error": 0}}


def test_a_table_has_a_row_for_each_budget_and_each_trained_flow():
    mean = {"mean": {"value": 4.25, "standard_error": 0.125}}
    flow = {
        "parameters": 1234, "seconds_a_step": 0.5, "peak_MiB": 300.4, "steps": 90,
        "bits_per_dim": {"after_steps": {"8": mean}, "after_seconds": {"8": mean}},
    }  # fmt: skip
    trained = {
        "name": "realnvp", "options": {"hidden": 8}, "seed": 1, "steps": 5, "batch": 24,
        "bits_per_dim": {"8": mean},
    }  # fmt: skip
    budget = {"sizes": [8], "steps": 7}
    lines = table({"flows": {"a": flow}, "trained": [trained], "budget": budget}).splitlines()
    assert lines[2] == "| a | 1,234 | 0.50 | 300 | 7 | 4.25 ± 0.12 |"
    assert lines[3].split(" | ")[4] == "90"
    assert lines[4].startswith("| realnvp (hidden 8), seed 1 | ")
    assert {line.count("|") for line in lines} == {7}


def test_a_recipe_of_something_else_is_refused(capsys):
    path = flows.ROOT / "config" / "training" / "study_nflowjs.yaml"
    with pytest.raises(SystemExit):
        flows.main(["--recipe", str(path)])
    assert "expected a recipe with task: flow" in capsys.readouterr().err
