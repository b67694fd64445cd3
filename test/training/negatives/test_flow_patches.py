"""Samples of a flow as negatives: which gradients reach it."""

from __future__ import annotations

import pytest
import torch

from training.flow import build_flow
from training.negatives import build_source
from training.randomness import make_generator

COUNT = 2


def tiny_flow(**options):
    torch.manual_seed(0)
    flow = build_flow("glow_small", steps=1, hidden=4, **options).double()
    # Coupling networks end in zeros; other numbers let every parameter count.
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.05 * torch.randn(
                parameter.shape, generator=random, dtype=parameter.dtype
            )
    flow.initialise(crops(), generators())
    return flow


def crops(height=16, width=24, count=COUNT):
    random = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, 3, height, width), generator=random).double()


def generators(count=COUNT):
    return [make_generator(1, slot) for slot in range(count)]


def gradients(loss, flow):
    found = torch.autograd.grad(loss, list(flow.parameters()), allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(flow.parameters(), found, strict=True)
    ]


def downstream(patches):
    """Stands for the loss on negative pixels."""
    weights = torch.linspace(-1, 1, patches.numel(), dtype=patches.dtype)
    return (weights * patches.flatten()).sum()


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("likelihood", [True, False])
def test_patches_and_losses_are_those_of_the_flow(joint, likelihood):
    flow = tiny_flow()
    drawn = build_source("flow", flow=flow, joint=joint, likelihood=likelihood).draw(
        crops(), generators()
    )
    used = generators()
    torch.testing.assert_close(drawn.patches, flow.sample(16, 24, used), rtol=0, atol=0)
    assert drawn.patches.requires_grad == joint
    assert list(drawn.losses) == (["bits_per_dim"] if likelihood else [])
    assert set(drawn.measures) == {"red", "green", "blue", "clamped"}
    if likelihood:
        expected = flow.bits_per_dim(crops(), used).mean()
        torch.testing.assert_close(drawn.losses["bits_per_dim"], expected, rtol=0, atol=0)
    frozen = not (joint or likelihood)
    assert all(parameter.requires_grad != frozen for parameter in flow.parameters())


def test_gradient_of_the_joint_step_is_the_sum_of_both_terms():
    flow = tiny_flow(end="straight_through")
    drawn = build_source("flow", flow=flow).draw(crops(), generators())
    loss = downstream(drawn.patches) + drawn.losses["bits_per_dim"]
    used = generators()
    through_samples = gradients(downstream(flow.sample(16, 24, used)), flow)
    of_likelihood = gradients(flow.bits_per_dim(crops(), used).mean(), flow)
    found = gradients(loss, flow)
    for each, first, second in zip(found, through_samples, of_likelihood, strict=True):
        torch.testing.assert_close(each, first + second, rtol=1e-9, atol=1e-12)
    assert sum(each.abs().sum() for each in through_samples) > 0
    assert sum(each.abs().sum() for each in of_likelihood) > 0


def test_likelihood_alone_leaves_samples_without_a_gradient():
    flow = tiny_flow()
    drawn = build_source("flow", flow=flow, joint=False).draw(crops(), generators())
    negative = downstream(drawn.patches)
    assert not negative.requires_grad
    used = generators()
    flow.sample(16, 24, used)
    expected = gradients(flow.bits_per_dim(crops(), used).mean(), flow)
    found = gradients(negative + drawn.losses["bits_per_dim"], flow)
    for each, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(each, reference)


@pytest.mark.parametrize("likelihood", [True, False])
@pytest.mark.parametrize("feedback", [0.125, 1.0, 3.0])
def test_feedback_scales_the_gradient_through_samples_and_nothing_else(feedback, likelihood):
    flow = tiny_flow(end="straight_through")
    options = {"flow": flow, "likelihood": likelihood}
    plain = build_source("flow", **options).draw(crops(), generators())
    drawn = build_source("flow", **options, feedback=feedback).draw(crops(), generators())
    torch.testing.assert_close(drawn.patches, plain.patches, rtol=0, atol=0)
    assert drawn.measures == plain.measures
    losses, plain_losses = sum(drawn.losses.values()), sum(plain.losses.values())
    assert losses == plain_losses
    used = generators()
    through_samples = gradients(downstream(flow.sample(16, 24, used)), flow)
    of_likelihood = [torch.zeros_like(each) for each in through_samples]
    if likelihood:
        of_likelihood = gradients(flow.bits_per_dim(crops(), used).mean(), flow)
    found = gradients(downstream(drawn.patches) + losses, flow)
    assert sum(each.abs().sum() for each in through_samples) > 0
    for each, first, second in zip(found, through_samples, of_likelihood, strict=True):
        torch.testing.assert_close(each, feedback * first + second, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("joint", [True, False])
def test_feedback_is_harmless_where_samples_carry_no_gradient(joint):
    source = build_source("flow", flow=tiny_flow(), joint=joint, feedback=0.5)
    with torch.no_grad():
        drawn = source.draw(crops(), generators())
    assert not drawn.patches.requires_grad
    assert source.draw(crops(), generators()).patches.requires_grad == joint


def test_patches_do_not_depend_on_the_batch():
    source = build_source("flow", flow=tiny_flow())
    whole = source.draw(crops(count=3), generators(3))
    parts = [source.draw(crops(count=3)[i : i + 1], generators(3)[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(torch.cat([part.patches for part in parts]), whole.patches)
    losses = torch.stack([part.losses["bits_per_dim"] for part in parts])
    torch.testing.assert_close(losses.mean(), whole.losses["bits_per_dim"])


def test_temperature_reaches_the_flow():
    flow = tiny_flow()
    cold = build_source("flow", flow=flow, temperature=0.1).draw(crops(), generators())
    torch.testing.assert_close(cold.patches, flow.sample(16, 24, generators(), 0.1))


def test_refusals():
    flow = tiny_flow()
    source = build_source("flow", flow=flow)
    with pytest.raises(ValueError, match=r"multiples of 8, found \(16, 20\)"):
        source.draw(crops(16, 20), generators())
    with pytest.raises(ValueError, match="found 1 for 2"):
        source.draw(crops(), generators(1))
    with pytest.raises(ValueError, match="temperature must be positive, found 0"):
        build_source("flow", flow=flow, temperature=0.0)
    for feedback in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"feedback must be positive, found {feedback}"):
            build_source("flow", flow=flow, feedback=feedback)
