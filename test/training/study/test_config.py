"""The study's configuration: what an arm is trained from, and what its hash depends on."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from training.recipes import FlowTrainingRecipe, Recipe, RecipeError
from training.study.config import Study, changed, set_value

CONFIG = Path(__file__).parents[3] / "config"
WORK = Path("work")


@pytest.fixture
def content():
    return yaml.safe_load((CONFIG / "study.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def study(content, tmp_path):
    """Writes a configuration beside the shipped recipes and opens it."""
    (tmp_path / "training").symlink_to(CONFIG / "training")

    def open_study(changes=None):
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(changed(content, changes or {})), encoding="utf-8")
        return Study(path)

    return open_study


def test_the_shipped_configuration_has_the_arms_of_the_protocol(study):
    shipped = study()
    headline = [key for key, arm in shipped.arms.items() if arm.headline]
    assert headline == ["control", "fractal_noise", "likelihood_only", "nflowjs"]
    assert {len(shipped.seeds(key)) for key in headline} == {8}
    assert {len(shipped.seeds(key)) for key in set(shipped.arms) - set(headline)} == {3}
    assert shipped.config.scenes.sealed >= 200
    planned = {arm.key: arm.seeds for arm in shipped.plan({}).arms}
    assert planned == {key: len(shipped.seeds(key)) for key in shipped.arms}


def test_all_arms_take_the_same_steps_at_the_same_rate(study):
    recipes = {
        key: stage.recipe(WORK, 0) for key, stage in study().stages.items() if key != "closed_set"
    }
    assert len({recipe.optimisation for recipe in recipes.values()}) == 1
    assert len({recipe.augmentation for recipe in recipes.values()}) == 1
    weights = {
        recipe.negatives.weight for recipe in recipes.values() if recipe.negatives is not None
    }
    assert len(weights) == 3  # and the two arms about lambda
    assert recipes["control"].negatives is None


def test_stages_start_from_each_other(study):
    stages = study().stages
    recipe = stages["nflowjs"].recipe(WORK, 5)
    assert isinstance(recipe, Recipe)
    assert recipe.seed == 5
    closed_set, flow = stages["nflowjs"].needs.values()
    assert recipe.network.checkpoint == str(closed_set.place(WORK, 5) / "model.safetensors")
    assert recipe.negatives.flow.checkpoint == str(flow.place(WORK, 5) / "flow.safetensors")
    assert isinstance(flow.recipe(WORK, 5), FlowTrainingRecipe)
    assert stages["control"].recipe(WORK, 5).network.checkpoint == recipe.network.checkpoint
    assert stages["no_flow_pretraining"].recipe(WORK, 5).negatives.flow.checkpoint is None
    assert stages["no_classifier_pretraining"].recipe(WORK, 5).network.checkpoint is None
    assert stages["closed_set"].needs == {}
    assert stages["realnvp"].recipe(WORK, 5).negatives.flow.name == "realnvp"


@pytest.mark.parametrize(
    "changes",
    [
        {"score": "entropy"},
        {"seeds": 7},
        {"scenes.sealed": 300},
        {"flows.glow_small": {"optimisation.steps": 9}},
        {"arms.nflowjs.changes": {"negatives.weight": 0.1}},
    ],
)
def test_whatever_matters_changes_the_hash(study, changes):
    assert study(changes).digest != study().digest


def test_exploratory_arms_may_be_added_later(study):
    changes = {"arms.extra": {"title": "x", "changes": {"negatives.weight": 0.2}}}
    assert study(changes).digest == study().digest
    assert study({"arms.extra": {**changes["arms.extra"], "headline": True}}).digest != (
        study().digest
    )


def test_the_machine_does_not_change_the_hash(study, tmp_path):
    expected = study().digest
    (tmp_path / "training").unlink()
    (tmp_path / "training").mkdir()
    for path in (CONFIG / "training").glob("study_*.yaml"):
        moved = yaml.safe_load(path.read_text(encoding="utf-8"))
        set_value(moved, "data.simulation.cache", "/elsewhere")
        set_value(moved, "data.simulation.workers", 16)
        (tmp_path / "training" / path.name).write_text(yaml.safe_dump(moved), encoding="utf-8")
    assert study().digest == expected


def test_a_changed_first_stage_changes_the_place_of_all_that_follow(study):
    before, after = study(), study({"flows.glow_small": {"optimisation.steps": 9}})
    assert before.stages["nflowjs"].place(WORK, 0) != after.stages["nflowjs"].place(WORK, 0)
    assert before.stages["control"].place(WORK, 0) == after.stages["control"].place(WORK, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sead": 1}, "did you mean 'seeds'"),
        ({"ours": "magic"}, "ours: expected"),
        ({"arms.nflowjs.flow": "magic"}, r"arms\.flow: expected"),
        ({"arms.nflowjs.changes": {"negatives.wait": 1}}, "did you mean 'weight'"),
        ({"arms.nflowjs.changes": {"name.x": 1}}, "is a value, not a section"),
        ({"arms.nflowjs.headlines": True}, "did you mean 'headline'"),
    ],
)
def test_what_is_wrong_is_named(study, changes, message):
    with pytest.raises(RecipeError, match=message):
        study(changes)
