"""Recipes choose among the networks by name."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from open_set_seg.checkpoint import load_checkpoint
from open_set_seg.models import LadderDenseNet, SwiftNet
from training.recipes import RecipeError, ScoreRecipe, recipe_from_mapping
from training.train import build, take_step, train

CPU = torch.device("cpu")


def recipe_of(cache="unused", **network):
    return recipe_from_mapping(
        {
            "name": "tiny",
            "seed": 3,
            "network": {"architecture": "ldn_121", "width": 0.0625, **network},
            "data": {
                "training_scenes": 2,
                "validation_scenes": 1,
                "width": 128,
                "height": 64,
                "supersampling": 1,
                "workers": 1,
                "cache": str(cache),
            },
            "augmentation": {"crop_width": 64, "crop_height": 32},
            "optimisation": {"steps": 2, "batch": 2, "warmup_steps": 0, "validate_every": 2},
        }
    )


def test_a_run_trains_it_and_writes_its_checkpoint(tmp_path):
    recipe = recipe_of(tmp_path / "cache", gradient_checkpointing=True)
    path = train(recipe, tmp_path / "run", progress=False, device="cpu")
    model, metadata = load_checkpoint(path)
    assert isinstance(model, LadderDenseNet)
    assert metadata.architecture == "ldn_121"
    assert model.backbone.features["norm0"].num_batches_tracked == 2


def test_gradient_checkpointing_changes_no_step():
    results = []
    for saving in (False, True):
        recipe = recipe_of(gradient_checkpointing=saving)
        model, optimiser = build(recipe, CPU)
        assert model.gradient_checkpointing is saving
        generator = torch.Generator().manual_seed(0)
        for step in range(2):
            images = torch.rand(2, 3, 32, 64, generator=generator) * 255
            labels = torch.randint(0, 12, (2, 32, 64), generator=generator).to(torch.uint8)
            take_step(model, optimiser, images, labels, torch.ones(12), recipe, step)
        results.append(model.state_dict())
    for name, tensor in results[0].items():
        torch.testing.assert_close(results[1][name], tensor, msg=name)


def test_what_a_network_cannot_do_is_named():
    with pytest.raises(RecipeError, match=r"gradient_checkpointing: expected false for swiftnet"):
        recipe_of(architecture="swiftnet_rn18", gradient_checkpointing=True)
    model, _ = build(recipe_of(architecture="swiftnet_rn18"), CPU)
    assert isinstance(model, SwiftNet)


def test_a_score_of_an_outlier_head_is_refused_before_the_first_step():
    recipe = dataclasses.replace(recipe_of(), score=ScoreRecipe("op_ms"))
    with pytest.raises(RecipeError, match=r"score\.name: op_ms needs an outlier head, found none"):
        build(recipe, CPU)


@pytest.mark.parametrize("architecture", ["swiftnet_rn18", "ldn_121"])
def test_imagenet_weights_go_to_the_network_that_is_built(tmp_path, architecture):
    path = tmp_path / "imagenet.pth"
    torch.manual_seed(8)
    source, _ = build(recipe_of(architecture=architecture, width=1.0), CPU)
    encoder = source.backbone.state_dict()
    if architecture == "swiftnet_rn18":
        encoder = {n: t for n, t in encoder.items() if n.startswith(("conv1", "bn1", "layer"))}
    state = {n: t + 1 for n, t in encoder.items()}
    torch.save(state, path)
    recipe = recipe_of(architecture=architecture, width=1.0, imagenet_weights=str(path))
    model, _ = build(recipe, CPU)
    found = model.backbone.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
