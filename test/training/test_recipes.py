"""Recipes: strict reading, helpful errors, overrides."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from open_set_seg.scoring import Scoring
from training.recipes import (
    Recipe,
    RecipeError,
    load_recipe,
    recipe_from_mapping,
    recipe_to_mapping,
)

SHIPPED = sorted((Path(__file__).parents[2] / "config" / "training").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_recipes_can_be_read_and_written_back(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    text = yaml.safe_dump(recipe_to_mapping(recipe))
    assert recipe_from_mapping(yaml.safe_load(text)) == recipe


def test_there_is_a_shipped_recipe():
    assert SHIPPED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "name: expected a value"),
        ({"name": "a", "sead": 1}, "unknown key 'sead'; did you mean 'seed'"),
        (
            {"name": "a", "optimisation": {"step": 1}},
            r"unknown key 'optimisation\.step'; did you mean 'steps'",
        ),
        ({"name": "a", 3: 1}, "unknown key '3'"),
        ({"name": 5}, "name: expected str, found 5"),
        ({"name": "a", "seed": 1.5}, r"seed: expected int, found 1\.5"),
        ({"name": "a", "seed": True}, "seed: expected int, found True"),
        ({"name": "a", "network": 4}, "network: expected a section"),
        ({"name": "a", "network": {"width": "wide"}}, "width: expected float, found 'wide'"),
        ({"name": "a", "network": {"width": 0}}, r"network\.width: expected"),
        ({"name": "a", "network": {"architecture": "unet"}}, "swiftnet_rn18"),
        ({"name": "a", "label_space": "mars"}, "label_space: expected"),
        ({"name": "a", "score": {"name": "magic"}}, r"score\.name: unknown score 'magic'"),
        ({"name": "a", "score": {"name": "jsd:temperature=3"}}, "name: expected no temperature"),
        ({"name": "a", "score": {"name": "odin+msp"}}, "a score without intervention"),
        ({"name": "a", "score": {"name": "sml"}}, "logits alone; sml needs statistics"),
        ({"name": "a", "score": {"name": "mahalanobis"}}, "needs features and statistics"),
        ({"name": "a", "score": {"name": "mutual_information"}}, "write mc_dropout"),
        ({"name": "a", "score": {"temperature": -1}}, "positive"),
        ({"name": "a", "optimisation": {"precision": "fp8"}}, "precision: expected"),
        ({"name": "a", "optimisation": {"steps": 0}}, r"optimisation\.steps: expected at least 1"),
        ({"name": "a", "augmentation": {"scale": [1.0]}}, "scale: expected"),
        ({"name": "a", "augmentation": {"scale": [2.0, 1.0]}}, "smallest <= largest"),
        ({"name": "a", "augmentation": {"crop_width": 8}}, "at least 32"),
        ({"name": "a", "data": {"training_scenes": 0}}, "at least 1"),
    ],
)
def test_what_is_wrong_is_named(content, message):
    with pytest.raises(RecipeError, match=message):
        recipe_from_mapping(content)


@pytest.mark.parametrize(
    ("name", "temperature"),
    [("jsd", 3.0), ("coarse+kl+ground_focus", 3.0), ("generative+erosion", None), ("op", 3.0)],
)
def test_a_score_may_have_what_goes_around_it(name, temperature):
    recipe = recipe_from_mapping({"name": "a", "score": {"name": name, "temperature": 3}})
    expected = dataclasses.replace(Scoring.parse(name), temperature=temperature)
    assert recipe.score.scoring == expected


def test_overrides_replace_single_values(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: a\noptimisation: {steps: 7, batch: 2}\n")
    recipe = load_recipe(
        path,
        ["optimisation.steps=9", "seed=3", "optimisation.learning_rate=1e-4", "data.cache=/x"],
    )
    assert recipe.optimisation.steps == 9
    assert recipe.optimisation.batch == 2
    assert recipe.optimisation.learning_rate == 1e-4
    assert recipe.seed == 3
    assert recipe.data.cache == "/x"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "section.key=value"),
        ("optimisation.stepps=3", "did you mean 'steps'"),
        ("name.x=3", "is a value, not a section"),
        ("seed=many", "expected int, found 'many'"),
    ],
)
def test_wrong_overrides_are_named(tmp_path, override, message):
    path = tmp_path / "a.yaml"
    path.write_text("name: a\n")
    with pytest.raises(RecipeError, match=message):
        load_recipe(path, [override])


@pytest.mark.parametrize("text", ["- 1", "name: [", "\x00", ""])
def test_files_that_are_no_recipe_are_refused(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError):
        load_recipe(path)
    with pytest.raises(RecipeError, match="cannot read"):
        load_recipe(tmp_path / "none.yaml")


def test_defaults_are_a_recipe():
    assert recipe_from_mapping({"name": "a"}) == Recipe("a")
