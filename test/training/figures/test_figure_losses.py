"""Losses of pasted pixels against the training step's own figures."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from made_figures import open_picture
from made_runs import recipe_of

from open_set_seg.models import build_model
from training.data import prepare_data, sample
from training.divergences import DIVERGENCES
from training.figures.finished_runs import Inputs, JointRun, first_batches
from training.figures.pixel_losses import (
    draw_pixel_losses,
    pixel_loss_figure,
    pixel_losses,
    summarise_losses,
)
from training.flow import build_flow
from training.negatives import build_source
from training.randomness import make_generator
from training.ranks import Ranks
from training.steps import SegmentationObjective

STEPS = 2


@pytest.fixture(scope="module")
def run(scene_cache):
    torch.manual_seed(0)
    recipe = recipe_of("joint", scene_cache)
    network = build_model("swiftnet_rn18", 12, 0.125).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 1.5  # logits that are far from uniform
    flow = build_flow("glow_small", steps=1, hidden=4).eval()
    flow.initialise(torch.randint(256, (4, 3, 16, 16)), [make_generator(at) for at in range(4)])
    return JointRun(recipe, recipe.negatives, network, flow)


@pytest.fixture(scope="module")
def data(run):
    return prepare_data(run.recipe, Ranks(), progress=False)


def test_the_mean_is_what_the_training_step_says(run, data):
    before = [copy.deepcopy(one.state_dict()) for one in (run.network, run.flow)]
    shown = list(first_batches(data, run.recipe, STEPS))
    assert shown[0][0].shape == (2, 3, 32, 64)
    found = pixel_losses(run, run.network, run.flow, shown, ("js", "kl"))
    assert found["js"].shape == found["kl"].shape
    for after, state in zip((run.network, run.flow), before, strict=True):
        for name, value in after.state_dict().items():
            assert torch.equal(value, state[name]), name

    source = build_source("flow", flow=copy.deepcopy(run.flow), joint=False)
    network = copy.deepcopy(run.network)
    objective = SegmentationObjective(network, source, run.recipe, torch.ones(12), Ranks())
    objective.train()
    total, count = 0.0, 0
    with torch.no_grad():
        for step, (images, labels) in enumerate(shown):
            pixels = images.permute(0, 2, 3, 1).to(torch.uint8)
            said = objective(pixels, labels, step).parts["negative"].item()
            mixed = objective.mix(images, labels, source, run.negatives, step)
            total += said * mixed.pasted.sum().item()
            count += mixed.pasted.sum().item()
    assert len(found["js"]) == count > 100
    assert run.negatives.weight == 0.3
    assert found["js"].mean(dtype=np.float64) == pytest.approx(0.3 * total / count, rel=1e-4)


def test_batches_are_the_first_ones_of_the_training(run, data):
    shown = list(first_batches(data, run.recipe, STEPS))
    assert len(shown) == STEPS
    for step, (images, labels) in enumerate(shown):
        for slot, (image, truth) in enumerate(zip(images, labels, strict=True)):
            expected, classes = sample(data.training, run.recipe, step, slot)
            assert (image.permute(1, 2, 0).numpy() == expected).all()
            assert (truth.numpy() == classes).all()


def test_a_divergence_is_shown_under_the_run_that_was_trained_by_it(run, data):
    negatives = dataclasses.replace(run.negatives, divergence="kl", weight=0.1)
    torch.manual_seed(5)
    other = JointRun(
        dataclasses.replace(run.recipe, negatives=negatives),
        negatives,
        build_model("swiftnet_rn18", 12, 0.125).eval(),
        run.flow,
    )
    inputs = Inputs(run.network, run.flow, (run, other), None, None, data, 1)
    figure = pixel_loss_figure(inputs)
    assert figure.numbers["lambda"] == {"js": 0.3, "kl": 0.1, "reverse_kl": 0.3}
    assert "Lambda is 0.3 for JS, 0.1 for KL, 0.3 for reverse KL." in figure.caption
    assert "Trained by JS; reverse KL are of the same pixels" in figure.caption
    ends = {
        name: pixel_losses(one, one.network, one.flow, first_batches(data, one.recipe, 1), [name])
        for name, one in (("js", run), ("kl", other), ("reverse_kl", run))
    }
    said = figure.numbers["end of the joint training"]
    for name, found in ends.items():
        assert said[name] == summarise_losses(found[name])


def test_bounded_divergences_stay_below_their_bounds(run, data):
    names = ("js", "kl", "reverse_kl")
    found = pixel_losses(run, run.network, run.flow, first_batches(data, run.recipe, 1), names)
    weight = run.negatives.weight
    for name in ("js", "reverse_kl"):
        assert found[name].max() <= weight * DIVERGENCES[name].maximum(12) + 1e-6
    # KL(U || p) is the largest of the three, everywhere.
    assert (found["kl"] >= found["js"]).all()


def test_other_samples_cost_something_else(run, data):
    shown = list(first_batches(data, run.recipe, 1))
    darker = copy.deepcopy(run.flow)
    with torch.no_grad():
        darker.base.mean -= 1.0
    one, other = (pixel_losses(run, run.network, f, shown, ["js"]) for f in (run.flow, darker))
    assert one["js"].shape == other["js"].shape
    assert np.abs(one["js"] - other["js"]).max() > 1e-4


def test_summaries_and_pictures():
    losses = np.arange(1001, dtype=np.float32) / 1000
    summary = summarise_losses(losses)
    assert summary == pytest.approx({"mean": 0.5, "quantile_99": 0.99, "maximum": 1.0})
    picture = draw_pixel_losses({"a": {"js": losses, "kl": 3 * losses}, "b": {"js": losses}})
    assert open_picture(picture).std() > 5
