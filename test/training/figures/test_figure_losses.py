"""Losses of pasted pixels against the training step's own figures."""

import copy

import numpy as np
import pytest
import torch
from made_figures import open_picture
from made_runs import recipe_of

from open_set_seg.models import build_model
from training.data import prepare_data
from training.divergences import DIVERGENCES
from training.figures.finished_runs import JointRun, first_batches
from training.figures.pixel_losses import draw_pixel_losses, pixel_losses, summarise_losses
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
def frames(run):
    return prepare_data(run.recipe, Ranks(), progress=False).training


def test_the_mean_is_what_the_training_step_says(run, frames):
    before = [copy.deepcopy(one.state_dict()) for one in (run.network, run.flow)]
    batches = list(first_batches(frames, run.recipe, STEPS))
    assert batches[0][0].shape == (2, 3, 32, 64)
    found = pixel_losses(run, run.network, run.flow, batches, ("js", "kl"))
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
        for step, (images, labels) in enumerate(batches):
            pixels = images.permute(0, 2, 3, 1).to(torch.uint8)
            said = objective(pixels, labels, step).parts["negative"].item()
            mixed = objective.mix(images, labels, source, run.negatives, step)
            total += said * mixed.pasted.sum().item()
            count += mixed.pasted.sum().item()
    assert len(found["js"]) == count > 100
    assert run.negatives.weight == 0.3
    assert found["js"].mean(dtype=np.float64) == pytest.approx(0.3 * total / count, rel=1e-4)


def test_bounded_divergences_stay_below_their_bounds(run, frames):
    names = ("js", "kl", "reverse_kl")
    found = pixel_losses(run, run.network, run.flow, first_batches(frames, run.recipe, 1), names)
    weight = run.negatives.weight
    for name in ("js", "reverse_kl"):
        assert found[name].max() <= weight * DIVERGENCES[name].maximum(12) + 1e-6
    # KL(U || p) is the largest of the three, everywhere.
    assert (found["kl"] >= found["js"]).all()


def test_other_samples_cost_something_else(run, frames):
    batches = list(first_batches(frames, run.recipe, 1))
    darker = copy.deepcopy(run.flow)
    with torch.no_grad():
        darker.base.mean -= 1.0
    one, other = (pixel_losses(run, run.network, f, batches, ["js"]) for f in (run.flow, darker))
    assert one["js"].shape == other["js"].shape
    assert np.abs(one["js"] - other["js"]).max() > 1e-4


def test_summaries_and_pictures():
    losses = np.arange(1001, dtype=np.float32) / 1000
    summary = summarise_losses(losses)
    assert summary == pytest.approx({"mean": 0.5, "quantile_99": 0.99, "maximum": 1.0})
    picture = draw_pixel_losses({"a": {"js": losses, "kl": 3 * losses}, "b": {"js": losses}})
    assert open_picture(picture).std() > 5
