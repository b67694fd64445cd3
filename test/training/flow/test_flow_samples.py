"""Samples: the exact inverse of densities, with gradients that finite differences confirm."""

from __future__ import annotations

import pytest
import torch
from made_flows import disturb, generators, integers, tiny

from training.flow import FLOWS, build_flow
from training.flow.coupling_networks import GaussianNetwork
from training.flow.denseflow import CrossUnitNoise
from training.flow.noise import NoiseSource


@pytest.fixture(params=sorted(FLOWS))
def name(request):
    return request.param


def weights(images):
    """Different for every value, so that no gradient cancels out."""
    return torch.linspace(-1, 1, images.numel(), dtype=images.dtype).view_as(images).sin()


def sampled_parameters(flow):
    """By name: all but those of noise networks, whose outputs the inverse discards."""
    unused = {
        id(parameter)
        for module in flow.modules()
        if isinstance(module, CrossUnitNoise)
        for parameter in module.parameters()
    }
    return {n: p for n, p in flow.named_parameters() if id(p) not in unused}


@pytest.mark.parametrize(("height", "width"), [(16, 16), (24, 40), (8, 216)])
def test_decoding_undoes_encoding(name, height, width):
    flow = tiny(name)
    points = integers(2, height, width).double() / 256
    noise = NoiseSource(generators(2), keeps_dropped=True)
    latents, _ = flow.encode(points, noise)
    assert latents.shape == (2, flow.latent_channels, height // 8, width // 8)
    torch.testing.assert_close(flow.decode(latents, noise), points, rtol=0, atol=1e-9)
    # Without what was dropped it is another image.
    other = flow.decode(latents, NoiseSource(generators(2)))
    assert (other - points).abs().mean() > 0.01


@pytest.mark.parametrize("full", ["glow_small", "realnvp"])
def test_decoding_undoes_encoding_at_full_size_in_single_precision(full):
    torch.manual_seed(0)
    flow = build_flow(full)
    disturb(flow, 0.01)
    images = integers(2, 24, 16)
    flow.initialise(images, generators(2))
    noise = NoiseSource(generators(2), keeps_dropped=True)
    with torch.no_grad():
        latents, _ = flow.encode(images / 256, noise)
        torch.testing.assert_close(flow.decode(latents, noise), images / 256, rtol=0, atol=1e-4)


def test_gradients_of_samples_reach_every_part(name):
    flow = tiny(name, end="straight_through")
    images = flow.sample(16, 24, generators(2))
    (images * weights(images)).sum().backward()
    for key, parameter in sampled_parameters(flow).items():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key
    flow.zero_grad()
    flow.log_prob(integers(2, 16, 24), generators(2)).sum().backward()
    for key, parameter in flow.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key


def test_gradients_of_samples_reach_every_part_of_denseflow_25_6():
    torch.manual_seed(0)
    flow = build_flow("denseflow_25_6", end="straight_through")
    disturb(flow, 0.002)
    images = flow.sample(8, 8, generators(1))
    (images * weights(images)).sum().backward()
    found = {key: parameter.grad for key, parameter in sampled_parameters(flow).items()}
    assert len(found) == 2 + 25 * (3 + 4 + 7 * 4 + 2)
    for key, gradient in found.items():
        assert gradient is not None, key
        assert gradient.abs().max() > 0, key


def test_gradients_of_samples_are_those_of_finite_differences(name):
    # With the clamp as it is: what lies outside the range has no influence.
    flow = tiny(name)
    parameters = list(flow.parameters())

    def loss():
        images = flow.sample(8, 16, generators(2))
        assert 0 < ((images == 0) | (images == 1)).double().mean() < 0.8
        return (images * weights(images)).sum()

    gradients = torch.autograd.grad(loss(), parameters, materialize_grads=True)
    torch.manual_seed(0)
    for _ in range(3):
        direction = [torch.randn_like(parameter) for parameter in parameters]
        expected = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True))
        differences = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                for parameter, way in zip(parameters, direction, strict=True):
                    parameter += step * way
                differences.append(loss())
                for parameter, way in zip(parameters, direction, strict=True):
                    parameter -= step * way
        found = (differences[0] - differences[1]) / 2e-6
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_both_ends_of_the_inverse():
    flow = tiny("glow_small")
    points = torch.linspace(-1, 2, 31, dtype=torch.float64, requires_grad=True)
    inside = (points >= 0) & (points <= 1)
    clamped = flow.finish(points)
    assert torch.equal(clamped, points.clamp(0, 1))
    factors = torch.arange(1.0, 32.0, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((clamped * factors).sum(), points)
    assert torch.equal(gradient, torch.where(inside, factors, 0.0))
    flow.end = "straight_through"
    passed = flow.finish(points)
    assert torch.equal(passed, clamped)
    (gradient,) = torch.autograd.grad((passed * factors).sum(), points)
    assert torch.equal(gradient, factors)


def test_a_straight_sample_is_the_clamped_one_and_learns_outside_the_range():
    clamped, straight = (tiny("glow_small", end=end) for end in ("clamp", "straight_through"))
    with torch.no_grad():  # Far outside everywhere.
        for flow in (clamped, straight):
            flow.base.mean += 1e3
    images = [flow.sample(8, 8, generators(1)) for flow in (clamped, straight)]
    assert torch.equal(*images)
    for sample in images:
        assert ((sample == 0) | (sample == 1)).all()
        (sample * weights(sample)).sum().backward()
    assert clamped.base.mean.grad.abs().max() == 0
    assert straight.base.mean.grad.abs().max() > 0


def test_checkpointing_changes_nothing_but_what_is_kept(name):
    plain, checkpointed = tiny(name), tiny(name, checkpointing=True)
    networks = [m for m in checkpointed.modules() if isinstance(m, GaussianNetwork)]
    assert all(network.checkpointing for network in networks)
    calls = []
    for network in networks:
        network.layers.register_forward_pre_hook(lambda *_: calls.append(1))
    results = []
    for flow in (plain, checkpointed):
        images = flow.sample(16, 8, generators(2))
        loss = (images * weights(images)).sum()
        loss = loss + flow.log_prob(integers(2, 8, 16), generators(2)).sum()
        before = len(calls)
        loss.backward()
        gradients = [parameter.grad for parameter in flow.parameters()]
        results.append((images, loss, gradients))
    assert len(calls) == 2 * before > 0
    (images, loss, gradients), (other_images, other_loss, other_gradients) = results
    assert torch.equal(images, other_images)
    assert torch.equal(loss, other_loss)
    for one, other in zip(gradients, other_gradients, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-12)
    checkpointed.checkpointing = False
    assert not any(network.checkpointing for network in networks)
