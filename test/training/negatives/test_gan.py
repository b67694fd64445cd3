"""The adversarial source: one backward pass gives each network its own gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from training.negatives import build_source
from training.randomness import draw_normal, make_generator

SIZES = [(8, 8), (16, 24), (40, 8)]


def tiny_gan():
    torch.manual_seed(0)
    return build_source("gan", latent_channels=3, width=4).double()


def crops(height=16, width=24, count=3):
    random = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, 3, height, width), generator=random).double()


def generators(*slots):
    return [make_generator(1, slot) for slot in slots or range(3)]


def downstream(patches):
    weights = torch.linspace(-1, 1, patches.numel(), dtype=patches.dtype)
    return (weights * patches.flatten()).sum()


def gradients(loss, parameters):
    return torch.autograd.grad(loss, list(parameters), allow_unused=True, retain_graph=True)


@pytest.mark.parametrize("size", SIZES)
def test_one_backward_pass_gives_each_network_its_own_gradient(size):
    source = tiny_gan()
    drawn = source.draw(crops(*size), generators())
    total = downstream(drawn.patches) + drawn.losses["generator"] + drawn.losses["discriminator"]
    total.backward()
    # The two objectives, each written down with nothing detached, for its own network.
    cells = (3, size[0] // 8, size[1] // 8)
    latents = draw_normal(generators(), cells, torch.empty(0, dtype=torch.float64))
    samples = source.generator(latents)
    probability = torch.sigmoid(source.discriminator(samples))
    real = torch.sigmoid(source.discriminator(crops(*size) / 255))
    of_discriminator = -(real.log() + (1 - probability).log()).mean()
    of_generator = -probability.log().mean()
    torch.testing.assert_close(drawn.losses["discriminator"], of_discriminator)
    torch.testing.assert_close(drawn.losses["generator"], of_generator)
    for network, objective in (
        (source.discriminator, of_discriminator),
        (source.generator, of_generator + downstream(samples)),
    ):
        expected = gradients(objective, network.parameters())
        for parameter, gradient in zip(network.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12)
        assert sum(gradient.abs().sum() for gradient in expected) > 0


def test_the_terms_reach_no_network_but_their_own():
    source = tiny_gan()
    drawn = source.draw(crops(), generators())
    for name, spared in (
        ("generator", source.discriminator),
        ("discriminator", source.generator),
    ):
        assert all(g is None for g in gradients(drawn.losses[name], spared.parameters()))


@pytest.mark.parametrize("size", SIZES)
def test_patches_and_losses_do_not_depend_on_the_batch(size):
    source = tiny_gan()
    whole = source.draw(crops(*size), generators())
    assert whole.patches.shape == (3, 3, *size)
    assert 0 < whole.patches.min() < whole.patches.max() < 1
    parts = [source.draw(crops(*size)[i : i + 1], generators(i)) for i in range(3)]
    torch.testing.assert_close(torch.cat([part.patches for part in parts]), whole.patches)
    for name, loss in whole.losses.items():
        torch.testing.assert_close(torch.stack([p.losses[name] for p in parts]).mean(), loss)


def test_measures_are_the_mean_probabilities_of_being_real():
    source = tiny_gan()
    drawn = source.draw(crops(), generators())
    real = torch.sigmoid(source.discriminator(crops() / 255)).mean().item()
    invented = torch.sigmoid(source.discriminator(drawn.patches)).mean().item()
    assert drawn.measures["real"] == pytest.approx(real)
    assert drawn.measures["invented"] == pytest.approx(invented)
    assert drawn.measures["red"] == pytest.approx(drawn.patches[:, 0].mean().item())


def test_it_learns_the_colour_of_what_it_replaces():
    torch.manual_seed(1)
    source = build_source("gan", latent_channels=4, width=8)
    optimiser = torch.optim.Adam(source.parameters(), lr=2e-3, betas=(0.5, 0.99))
    colour = torch.tensor([230.0, 40.0, 120.0])
    distances = []
    for step in range(80):
        random = torch.Generator().manual_seed(step)
        noise = torch.randint(-20, 21, (8, 3, 16, 16), generator=random)
        drawn = source.draw(
            colour[:, None, None] + noise, [make_generator(step, i) for i in range(8)]
        )
        optimiser.zero_grad()
        sum(drawn.losses.values()).backward()
        optimiser.step()
        mean = drawn.patches.detach().mean(dim=(0, 2, 3))
        distances.append(functional.l1_loss(mean, colour / 255).item())
    assert min(distances[-20:]) < 0.5 * distances[0]


def test_refusals():
    with pytest.raises(ValueError, match="found 3 and 6"):
        build_source("gan", latent_channels=3, width=6)
    source = tiny_gan()
    with pytest.raises(ValueError, match=r"multiples of 8, found \(16, 20\)"):
        source.draw(crops(16, 20), generators())
    with pytest.raises(ValueError, match="found 2 for 3"):
        source.draw(crops(), generators(0, 1))
