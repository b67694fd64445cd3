"""Learning rates by step, and which parameters get which."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from open_set_seg.models import build_model, load_imagenet
from training.optimisers import (
    ScheduledOptimiser,
    cosine,
    learning_rate,
    network_optimiser,
    source_optimiser,
)
from training.recipes import OptimisationRecipe, SourceOptimisationRecipe


def rates_of(steps=100, **options):
    recipe = OptimisationRecipe(
        steps=steps, **{"learning_rate": 1e-2, "final_learning_rate": 1e-4, **options}
    )
    return [learning_rate(step, recipe, steps) for step in range(steps)]


def test_the_rate_warms_up_and_falls_along_a_cosine_to_its_end():
    rates = rates_of(warmup_steps=5)
    assert rates[:5] == pytest.approx([2e-3, 4e-3, 6e-3, 8e-3, 1e-2])
    assert rates[5] == pytest.approx(1e-2)
    assert rates[-1] == pytest.approx(1e-4)
    assert all(a > b for a, b in itertools.pairwise(rates[5:]))
    # Half-way between the warm-up's end and the last step it is the mean of both ends.
    assert (rates[52]) == pytest.approx((1e-2 + 1e-4) / 2)
    assert rates[28] == pytest.approx(1e-4 + (1e-2 - 1e-4) * math.cos(math.pi / 2 * (23 / 94)) ** 2)


def test_a_stretched_cosine_stops_half_way():
    rates = rates_of(warmup_steps=0, cosine_stretch=2.0)
    twice = rates_of(steps=200, warmup_steps=0)
    assert rates == pytest.approx(twice[:100])
    assert rates[-1] == pytest.approx((1e-2 + 1e-4) / 2, rel=0.02)


def test_runs_of_one_step_have_a_rate():
    assert rates_of(steps=1, warmup_steps=0) == [1e-2]
    assert rates_of(steps=2, warmup_steps=5) == pytest.approx([2e-3, 4e-3])


def test_the_cosine_stays_at_its_end():
    assert cosine(0.0, 3.0, 1.0) == pytest.approx(3.0)
    assert cosine(1.0, 3.0, 1.0) == cosine(7.0, 3.0, 1.0) == pytest.approx(1.0)


def save_torchvision(path, model, architecture):
    """A file of torchvision's names for the encoder, all zeros."""
    names = model.backbone.state_dict()
    if architecture == "swiftnet_rn18":
        names = [n for n in names if n.startswith(("conv1.", "bn1.", "layer"))]
    state = {name: torch.zeros_like(model.backbone.state_dict()[name]) for name in names}
    torch.save(state, path)


@pytest.mark.parametrize("architecture", ["swiftnet_rn18", "ldn_121"])
def test_the_encoders_factor_is_for_what_imagenet_weights_fill(tmp_path, architecture):
    model = build_model(architecture, 12, 0.125)
    save_torchvision(tmp_path / "imagenet.pth", model, architecture)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    load_imagenet(model, tmp_path / "imagenet.pth")
    filled = {name for name, p in model.named_parameters() if p.requires_grad and not p.any()}
    recipe = OptimisationRecipe(encoder_factor=0.25)
    groups = network_optimiser(model, recipe, 10).optimiser.param_groups
    slow = {id(p) for group in groups if group["factor"] == 0.25 for p in group["params"]}
    fast = {id(p) for group in groups if group["factor"] == 1.0 for p in group["params"]}
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[key] for key in slow} == filled
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {names[key] for key in fast} == learned - filled
    assert filled
    assert learned - filled


@pytest.mark.parametrize("architecture", ["swiftnet_rn18", "ldn_121"])
def test_normalisations_and_biases_do_not_decay(architecture):
    model = build_model(architecture, 12, 0.125)
    groups = network_optimiser(model, OptimisationRecipe(weight_decay=0.1), 10)
    decays = {
        id(p): group["weight_decay"]
        for group in groups.optimiser.param_groups
        for p in group["params"]
    }
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                plain = isinstance(module, nn.BatchNorm2d) or name == "bias"
                assert decays[id(parameter)] == (0.0 if plain else 0.1)


class Layers(nn.Module):
    """Two scalars, one of which ImageNet might fill."""

    ENCODER = ("first.",)

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        for layer in (self.first, self.second):
            nn.init.ones_(layer.weight)

    def push(self):
        """A gradient of 2 on both."""
        (2.0 * (self.first.weight + self.second.weight)).sum().backward()


def test_the_first_step_of_adam_is_as_long_as_its_rate():
    layers = Layers()
    recipe = OptimisationRecipe(optimiser="adam", learning_rate=0.1, encoder_factor=0.25,
                                warmup_steps=2, weight_decay=0.0)  # fmt: skip
    optimiser = network_optimiser(layers, recipe, 10)
    layers.push()
    optimiser.step(0)
    assert layers.second.weight.item() == pytest.approx(1 - 0.05, rel=1e-5)
    assert layers.first.weight.item() == pytest.approx(1 - 0.05 / 4, rel=1e-5)
    assert layers.first.weight.grad is None


def test_adamw_decays_apart_from_the_gradient_and_adam_within_it():
    weights = {}
    for name in ("adamw", "adam"):
        layers = Layers()
        recipe = OptimisationRecipe(optimiser=name, learning_rate=0.1, warmup_steps=0,
                                    weight_decay=0.5)  # fmt: skip
        optimiser = network_optimiser(layers, recipe, 10)
        layers.push()
        optimiser.step(0)
        weights[name] = layers.second.weight.item()
    # The first step of Adam does not see how long the gradient is, so neither the decay in it.
    assert weights["adam"] == pytest.approx(0.9, rel=1e-5)
    assert weights["adamw"] == pytest.approx(1 - 0.1 * 0.5 - 0.1, rel=1e-5)


def test_sources_learn_at_a_constant_rate_after_the_warm_up():
    parameter = nn.Parameter(torch.zeros(1))
    recipe = SourceOptimisationRecipe(learning_rate=0.3, warmup_steps=3)
    optimiser = source_optimiser([parameter], recipe)
    rates = [optimiser.rate(step) for step in range(5)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.3])
    parameter.grad = torch.ones(1)
    optimiser.step(0)
    assert parameter.item() == pytest.approx(-0.1, rel=1e-5)  # Adamax, like Adam


def test_there_is_no_optimiser_of_nothing():
    frozen = nn.Parameter(torch.zeros(1), requires_grad=False)
    assert source_optimiser([], SourceOptimisationRecipe()) is None
    assert source_optimiser([frozen], SourceOptimisationRecipe()) is None


def test_gradients_are_clipped_together():
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    optimiser = ScheduledOptimiser(torch.optim.SGD(parameters, lr=1.0), lambda step: 1.0, 2.5)
    for gradient, expected in (([3.0, 0.0, 4.0], 0.5), ([0.6, 0.0, 0.8], 1.0)):
        with torch.no_grad():
            for parameter in parameters:
                parameter.zero_()
        parameters[0].grad = torch.tensor(gradient[:2])
        parameters[1].grad = torch.tensor(gradient[2:])
        optimiser.step(0)
        moved = -torch.cat([parameter.detach() for parameter in parameters])
        torch.testing.assert_close(moved, expected * torch.tensor(gradient), rtol=1e-5, atol=0)
