"""Recipes choose among the networks by name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from made_runs import recipe_of
from torch import nn

from open_set_seg.checkpoint import load_checkpoint
from open_set_seg.models import LadderDenseNet, SwiftNet
from training.data import TrainingData, ValidationData
from training.ranks import Ranks
from training.recipes import RecipeError, ScoreRecipe
from training.segmentation import build_network, build_optimisers, weigh_classes
from training.steps import SegmentationObjective
from training.train import train


def ldn_recipe(cache="unused", **changes):
    small = {"network__architecture": "ldn_121", "network__width": 0.0625, **changes}
    return recipe_of("closed_set", cache, **small)


def test_a_run_trains_it_and_writes_its_checkpoint(scene_cache, tmp_path):
    recipe = ldn_recipe(scene_cache, network__gradient_checkpointing=True, optimisation__steps=2)
    path = train(recipe, tmp_path, progress=False, device="cpu")
    model, metadata = load_checkpoint(path)
    assert isinstance(model, LadderDenseNet)
    assert metadata.architecture == "ldn_121"
    assert model.backbone.features["norm0"].num_batches_tracked == 2


def take_steps(recipe, count=2):
    """The network after some steps on random images."""
    torch.manual_seed(recipe.seed)
    network = build_network(recipe)
    objective = SegmentationObjective(network, None, recipe, torch.ones(12), Ranks())
    optimisers = build_optimisers(objective, count)
    objective.train()
    random = torch.Generator().manual_seed(0)
    for step in range(count):
        images = torch.randint(0, 256, (2, 32, 64, 3), generator=random, dtype=torch.uint8)
        labels = torch.randint(0, 12, (2, 32, 64), generator=random).to(torch.uint8)
        objective(images, labels, step).total.backward()
        optimisers["network"].step(step)
    return network


def test_gradient_checkpointing_changes_no_step():
    results = []
    for saving in (False, True):
        network = take_steps(ldn_recipe(network__gradient_checkpointing=saving))
        assert network.gradient_checkpointing is saving
        results.append(network.state_dict())
    for name, tensor in results[0].items():
        torch.testing.assert_close(results[1][name], tensor, msg=name)


@pytest.mark.parametrize("architecture", ["swiftnet_rn18", "ldn_121"])
def test_frozen_statistics_stay_and_are_used(architecture):
    recipe = ldn_recipe(network__architecture=architecture, network__freeze_statistics=True)
    torch.manual_seed(recipe.seed)
    before = build_network(recipe)
    after = take_steps(recipe)
    kept = dict(before.named_buffers())
    for name, buffer in after.named_buffers():
        assert torch.equal(buffer, kept[name]), name
    assert any(not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(),
                                                     strict=True))  # fmt: skip
    modes = {type(m): m.training for m in after.modules() if not list(m.children())}
    assert modes[nn.BatchNorm2d] is False
    assert after.training
    moved = take_steps(dataclasses.replace(
        recipe, network=dataclasses.replace(recipe.network, freeze_statistics=False)
    ))  # fmt: skip
    assert any(not torch.equal(b, kept[name]) for name, b in moved.named_buffers())


def test_what_a_network_cannot_do_is_named():
    with pytest.raises(RecipeError, match=r"gradient_checkpointing: expected false for swiftnet"):
        ldn_recipe(network__architecture="swiftnet_rn18", network__gradient_checkpointing=True)
    assert isinstance(build_network(recipe_of("closed_set", "unused")), SwiftNet)


def test_a_score_of_an_outlier_head_is_refused_before_the_first_step():
    recipe = dataclasses.replace(ldn_recipe(), score=ScoreRecipe("op_ms"))
    with pytest.raises(RecipeError, match=r"score\.name: op_ms needs an outlier head, found none"):
        build_network(recipe)


def test_a_checkpoint_of_another_network_is_refused(scene_cache, tmp_path):
    path = train(
        recipe_of("closed_set", scene_cache, optimisation__steps=1), tmp_path, False, False, "cpu"
    )
    for changes in ({"network__width": 0.25}, {"label_space": "streethazards_13"}):
        recipe = recipe_of("closed_set", scene_cache, network__checkpoint=str(path), **changes)
        with pytest.raises(RecipeError, match=r"network\.checkpoint: expected"):
            build_network(recipe)
    same = recipe_of("closed_set", scene_cache, network__checkpoint=str(path))
    expected, _ = load_checkpoint(path)
    found = build_network(same).state_dict()
    assert all(torch.equal(found[name], t) for name, t in expected.state_dict().items())


@pytest.mark.parametrize("architecture", ["swiftnet_rn18", "ldn_121"])
def test_imagenet_weights_go_to_the_network_that_is_built(tmp_path, architecture):
    path = tmp_path / "imagenet.pth"
    torch.manual_seed(8)
    wide = {"network__architecture": architecture, "network__width": 1.0}
    encoder = build_network(ldn_recipe(**wide)).backbone.state_dict()
    if architecture == "swiftnet_rn18":
        encoder = {n: t for n, t in encoder.items() if n.startswith(("conv1", "bn1", "layer"))}
    state = {n: t + 1 for n, t in encoder.items()}
    torch.save(state, path)
    model = build_network(ldn_recipe(**wide, network__imagenet_weights=str(path)))
    found = model.backbone.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_classes_are_weighed_by_their_pixels_unless_all_weigh_alike():
    class Frames:
        def count_classes(self, num_classes):
            return np.array([16, 1] + [0] * (num_classes - 2))

    data = TrainingData(Frames(), ValidationData())
    weights = weigh_classes(ldn_recipe(optimisation__class_weight_power=0.25), data)
    assert weights[1] / weights[0] == pytest.approx(2.0)
    assert (16 * weights[0] + weights[1]) / 17 == pytest.approx(1.0)
    none = TrainingData(None, ValidationData())
    assert weigh_classes(ldn_recipe(optimisation__class_weight_power=0), none).tolist() == [1] * 12
