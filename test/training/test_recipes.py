"""Recipes: strict reading, helpful errors, overrides."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from open_set_seg.scoring import Scoring
from training.recipes import (
    FlowTrainingRecipe,
    Recipe,
    RecipeError,
    SetRecipe,
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


def test_recipes_of_both_tasks_are_shipped():
    kinds = {type(load_recipe(path)) for path in SHIPPED}
    assert kinds == {Recipe, FlowTrainingRecipe}
    assert any(getattr(load_recipe(path), "negatives", None) for path in SHIPPED)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "name: expected a value"),
        ({"sead": 1}, "unknown key 'sead'; did you mean 'seed'"),
        ({"optimisation": {"step": 1}}, r"unknown key 'optimisation\.step'; did you mean 'steps'"),
        (
            {"negatives": {"patches": {"size": [8, 8]}}},
            r"unknown key 'negatives\.patches\.size'; did you mean 'sizes'",
        ),
        (
            {"data": {"sets": [{"name": "a", "root": "."}, {"name": "a", "rot": "."}]}},
            r"unknown key 'data\.sets\[1\]\.rot'; did you mean 'root'",
        ),
        ({3: 1}, "unknown key '3'"),
        ({"task": "flow", "negatives": {}}, "unknown key 'negatives'"),
        ({"task": "magic"}, "task: expected one of flow, segmentation"),
        ({"task": []}, "task: expected one of"),
        ({"name": 5}, "name: expected str, found 5"),
        ({"seed": 1.5}, r"seed: expected int, found 1\.5"),
        ({"seed": True}, "seed: expected int, found True"),
        ({"network": 4}, "network: expected a section, found 4"),
        ({"network": None}, "network: expected a section, found None"),
        ({"network": {"width": "wide"}}, r"network\.width: expected a finite number, found 'wide'"),
        ({"network": {"width": float("nan")}}, r"network\.width: expected a finite number"),
        ({"network": {"width": 10**400}}, r"network\.width: expected a finite number"),
        ({"network": {"checkpoint": 3}}, r"network\.checkpoint: expected str, found 3"),
        ({"score": {"name": "magic"}}, r"score\.name: .*unknown score 'magic'"),
        ({"score": {"name": "jsd:temperature=3"}}, r"score\.name: expected no temperature"),
        ({"score": {"name": "odin+msp"}}, r"score\.name: .*a score without intervention"),
        ({"score": {"name": "sml"}}, r"score\.name: .*logits alone; sml needs statistics"),
        ({"score": {"name": "mahalanobis"}}, r"score\.name: .*needs features and statistics"),
        ({"score": {"name": "mutual_information"}}, r"score\.name: .*write mc_dropout"),
        (
            {"optimisation": {"precision": "fp8"}},
            r"optimisation\.precision: expected one of fp32, bf16, found 'fp8'",
        ),
        ({"augmentation": {"scale": [1.0]}}, r"augmentation\.scale: expected a list of 2, found"),
        ({"augmentation": {"scale": [1, "x"]}}, r"augmentation\.scale\[1\]: expected a finite"),
        ({"data": {"sets": 3}}, r"data\.sets: expected a list, found 3"),
        ({"data": {"sets": "all"}}, r"data\.sets: expected a list, found 'all'"),
        ({"data": {"sets": ["all"]}}, r"data\.sets\[0\]: expected a section, found 'all'"),
        ({"data": {"sets": [{"name": "a"}]}}, r"data\.sets\[0\]\.root: expected a value"),
        ({"negatives": {"options": [1]}}, r"negatives\.options: expected a mapping from names"),
        ({"negatives": {"options": {1: 2}}}, r"negatives\.options: expected a mapping"),
    ],
)
def test_what_is_wrong_is_named(content, message):
    content = content if "name" in content or not content else {"name": "a", **content}
    with pytest.raises(RecipeError, match=f"^{message}"):
        recipe_from_mapping(content)


SIMULATION = "data.simulation"
SETS = [{"name": "cityscapes", "root": "."}]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("name", "", "a name"),
        ("seed", -1, "a number from 0"),
        ("seed", 2**32, "a number from 0"),
        ("label_space", "mars", "one of "),
        ("network.architecture", "unet", "one of ldn_121, swiftnet_rn18"),
        ("network.width", 0, "a number in (0, 4]"),
        ("network.width", 4.5, "a number in (0, 4]"),
        ("network.gradient_checkpointing", True, "false for swiftnet_rn18"),
        ("network", {"checkpoint": "a", "imagenet_weights": "b"}, "none beside a checkpoint"),
        (f"{SIMULATION}.training_scenes", 0, "at least 1"),
        (f"{SIMULATION}.validation_scenes", 0, "at least 1"),
        (f"{SIMULATION}.width", 0, "at least 1"),
        (f"{SIMULATION}.height", 0, "at least 1"),
        (f"{SIMULATION}.supersampling", 0, "at least 1"),
        (f"{SIMULATION}.workers", 0, "at least 1"),
        ("data", {"simulation": {}, "sets": SETS}, "none beside a simulation"),
        ("data", {"validation": SETS}, "some where data sets are validated on"),
        ("data", {"anomalies": SETS}, "some where data sets are validated on"),
        ("data.threads", 0, "at least 1"),
        ("data.validation_frames", 0, "at least 1"),
        ("augmentation.crop_width", 31, "at least 32"),
        ("augmentation.crop_height", 31, "at least 32"),
        ("augmentation.short_side", 31, "at least 32"),
        ("augmentation.scale", [2.0, 1.0], "0 < smallest <= largest"),
        ("augmentation.scale", [0.0, 1.0], "0 < smallest <= largest"),
        ("augmentation.mirror", 1.1, "a probability"),
        ("augmentation.colour", 1.0, "a number in [0, 1)"),
        ("augmentation.brightness", -1, "at least 0"),
        ("augmentation.padding_colour", [0, 0, 256], "numbers from 0 to 255"),
        ("optimisation.steps", 0, "at least 1"),
        ("optimisation.epochs", 0, "at least 1"),
        ("optimisation.batch", 0, "at least 1"),
        ("optimisation.validate_every", 0, "at least 1"),
        ("optimisation.save_every", 0, "at least 1"),
        ("optimisation.betas", [0.9, 1.0], "numbers in [0, 1)"),
        ("optimisation.epsilon", 0, "a positive number"),
        ("optimisation.learning_rate", 0, "a positive number"),
        ("optimisation.final_learning_rate", 1.0, "a number from 0 to learning_rate"),
        ("optimisation.final_learning_rate", -1e-9, "a number from 0 to learning_rate"),
        ("optimisation.encoder_factor", -1, "at least 0"),
        ("optimisation.cosine_stretch", 0.5, "at least 1"),
        ("optimisation.warmup_steps", -1, "at least 0"),
        ("optimisation.weight_decay", -1, "at least 0"),
        ("optimisation.class_weight_power", -1, "at least 0"),
        ("score.temperature", 0, "a positive number"),
        ("negatives.source", "magic", "one of "),
        ("negatives.divergence", "magic", "one of "),
        ("negatives.weight", -1, "at least 0"),
        ("negatives.weight_warmup_steps", -1, "at least 0"),
        ("negatives.flow.name", "magic", "one of "),
        (
            "negatives.flow",
            {"checkpoint": "a", "options": {"steps": 2}},
            "none beside a checkpoint",
        ),
        ("negatives.patches.sizes", [4, 16], "multiples of 8"),
        ("negatives.patches.sizes", [16, 20], "multiples of 8"),
        ("negatives.patches.sizes", [24, 16], "multiples of 8"),
        ("negatives.patches.per_image", 0, "at least 1"),
        ("negatives.patches.ignore_border", -1, "at least 0"),
        ("negatives.optimisation.learning_rate", -1, "at least 0"),
        ("negatives.optimisation.betas", [1.0, 0.9], "numbers in [0, 1)"),
        ("negatives.optimisation.epsilon", 0, "a positive number"),
        ("negatives.optimisation.warmup_steps", -1, "at least 0"),
        ("negatives.optimisation.gradient_clip", 0, "a positive number"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_place(key, value, expected):
    assert_refused("segmentation", key, value, expected)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("seed", -1, "a number from 0"),
        ("flow.name", "magic", "one of "),
        ("crops.size", 12, "a multiple of 8"),
        ("crops.size", 0, "a multiple of 8"),
        ("crops", {"size": 64, "short_side": 63}, "at least size, 64"),
        ("crops.mirror", -0.1, "a probability"),
        ("crops.validation_crops", 0, "at least 1"),
        ("optimisation.learning_rate", -1, "at least 0"),
        ("optimisation.final_learning_rate", 1.0, "a number from 0 to learning_rate"),
        ("optimisation.steps", 0, "at least 1"),
        ("optimisation.epochs", 0, "at least 1"),
        ("optimisation.batch", 0, "at least 1"),
        ("optimisation.validate_every", 0, "at least 1"),
        ("optimisation.save_every", 0, "at least 1"),
        ("optimisation.gradient_clip", -1, "a positive number"),
    ],
)
def test_a_value_out_of_range_is_named_in_recipes_of_flows(key, value, expected):
    assert_refused("flow", key, value, expected)


def assert_refused(task, key, value, expected):
    """Beside everything else as it is by default; the section of a whole value names its part."""
    content = {"name": "a", "task": task}
    *sections, last = key.split(".")
    part = content
    for section in sections:
        part = part.setdefault(section, {})
    part[last] = value
    with pytest.raises(RecipeError) as caught:
        recipe_from_mapping(content)
    place, _, message = str(caught.value).partition(": expected ")
    assert place == key or (isinstance(value, dict) and place.startswith(f"{key}."))
    assert message.startswith(expected)


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
    path.write_text("name: a\noptimisation: {steps: 7, batch: 2}\nnegatives:\n")
    recipe = load_recipe(
        path,
        [
            "optimisation.steps=9",
            "seed=3",
            "optimisation.learning_rate=1e-4",
            "data.simulation.cache=/x=y",
            "negatives.weight=0.5",
        ],
    )
    assert recipe.optimisation.steps == 9
    assert recipe.optimisation.batch == 2
    assert recipe.optimisation.learning_rate == 1e-4
    assert recipe.seed == 3
    assert recipe.data.simulation.cache == "/x=y"
    assert recipe.negatives.weight == 0.5


def test_overrides_may_be_lists_and_sections(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nnegatives: {weight: 0.5}\n")
    recipe = load_recipe(
        path,
        [
            "data.sets=[{name: cityscapes, root: /a}, {name: vistas, root: /b, split: train}]",
            "augmentation.scale=[0.5, 2]",
            "negatives=null",
        ],
    )
    assert recipe.data.sets == (
        SetRecipe("cityscapes", "/a"),
        SetRecipe("vistas", "/b", "train"),
    )
    assert recipe.data.scenes is None
    assert recipe.augmentation.scale == (0.5, 2.0)
    assert recipe.negatives is None
    assert recipe_from_mapping(recipe_to_mapping(recipe)) == recipe


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "section.key=value"),
        ("optimisation.stepps=3", "did you mean 'steps'"),
        ("name.x=3", "is a value, not a section"),
        ("seed=many", "expected int, found 'many'"),
        ("seed=[1", r"seed: expected a value in YAML, found '\[1'"),
        ("data.sets=[{nam: a, root: b}]", r"key 'data\.sets\[0\]\.nam'; did you mean 'name'"),
        ("data.sets=[{name: a, root: b}, {name: a}]", r"data\.sets\[1\]\.root: expected a value"),
    ],
)  # fmt: skip
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
    assert recipe_from_mapping({"name": "a", "task": "flow"}) == FlowTrainingRecipe("a")
