"""Noise that is pasted as negatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.negatives import build_source
from training.randomness import make_generator

NAMES = ["white_noise", "fractal_noise"]


def crops(count=4, height=24, width=40):
    return torch.zeros(count, 3, height, width)


def generators(*slots):
    return [make_generator(7, slot) for slot in slots]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(8, 8), (24, 40), (64, 16)])
def test_patches_depend_on_their_generator_alone(name, size):
    source = build_source(name)
    whole = source.draw(crops(4, *size), generators(0, 1, 2, 3))
    assert whole.patches.shape == (4, 3, *size)
    assert whole.patches.min() >= 0.0
    assert whole.patches.max() <= 1.0
    assert whole.losses == {}
    assert whole.masks is None
    part = source.draw(crops(2, *size) + 9.0, generators(3, 1))
    torch.testing.assert_close(part.patches, whole.patches[[3, 1]])
    assert not torch.equal(whole.patches[0], whole.patches[1])
    assert list(source.parameters()) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_global_generator_is_left_alone(name):
    before = torch.get_rng_state()
    build_source(name).draw(crops(), generators(0, 1, 2, 3))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_measures_are_the_means_of_the_colours(name):
    drawn = build_source(name).draw(crops(), generators(0, 1, 2, 3))
    for channel, colour in enumerate(("red", "green", "blue")):
        expected = drawn.patches[:, channel].mean().item()
        assert drawn.measures[colour] == pytest.approx(expected, abs=1e-6)
    ends = ((drawn.patches == 0.0) | (drawn.patches == 1.0)).float().mean().item()
    assert drawn.measures["clamped"] == pytest.approx(ends, abs=1e-6)


def test_white_noise_is_uniform_and_white():
    patches = build_source("white_noise").draw(crops(4, 128, 128), generators(*range(4))).patches
    values = patches.flatten()
    counts = torch.histc(values, 16, 0.0, 1.0).numpy()
    expected = len(values) / 16
    assert ((counts - expected) ** 2 / expected).sum() < 45.0  # chi^2, 15 degrees, 99.99 %
    centred = patches - 0.5
    for shifted, rest in (
        (centred[..., 1:], centred[..., :-1]),
        (centred[:, :, 1:], centred[:, :, :-1]),
        (centred[:, 1:], centred[:, :-1]),
    ):
        # Four deviations of a correlation of that many independent values.
        assert abs((shifted * rest).mean().item() * 12) < 4 / math.sqrt(shifted.numel())


def fractal_patches(count=300, size=32, **options):
    source = build_source("fractal_noise", **options)
    return source.draw(crops(count, size, size), generators(*range(count))).patches.double()


def test_contrast_of_fractal_noise_is_what_was_asked_for():
    for contrast in (0.02, 0.05):
        patches = fractal_patches(contrast=(contrast, contrast))
        inside = (patches > 0).all(dim=(1)).flatten(1).all(1)
        inside &= (patches < 1).all(dim=1).flatten(1).all(1)
        assert inside.sum() > 100
        mean = patches.mean(dim=(2, 3), keepdim=True)
        # The deviation is over all channels around m, which is not any channel's own mean.
        field = patches - mean
        assert (field[inside].square().mean(dim=(1, 2, 3)).sqrt() <= contrast * 1.0001).all()
        assert patches[inside].mean(dim=(2, 3)).std(dim=0).min() > 0.15


def test_mean_colours_of_fractal_noise_fill_the_cube():
    means = fractal_patches(contrast=(0.02, 0.02)).mean(dim=(2, 3)).numpy()
    for channel in means.T:
        counts = np.histogram(channel, 5, (0, 1))[0]
        assert ((counts - 60.0) ** 2 / 60.0).sum() < 23.5  # chi^2, 4 degrees, 99.99 %
    assert np.abs(np.corrcoef(means.T) - np.eye(3)).max() < 0.23  # four deviations of 300


def roughness(patches):
    """Mean squared step between neighbours over the variance; 2 for white noise."""
    steps = (patches[..., 1:] - patches[..., :-1]).square().mean(dim=(1, 2, 3))
    return steps / patches.var(dim=(2, 3)).mean(dim=1)


def test_falloff_of_fractal_noise_sets_how_smooth_it_is():
    grainy = roughness(fractal_patches(100, contrast=(0.03, 0.03), falloff=(0.0, 0.0)))
    smooth = roughness(fractal_patches(100, contrast=(0.03, 0.03), falloff=(2.0, 2.0)))
    mixed = roughness(fractal_patches(100, contrast=(0.03, 0.03)))
    assert smooth.max() < 0.1 < 0.3 < grainy.mean() < 2.0
    assert smooth.mean() < mixed.mean() < grainy.mean()
    assert mixed.std() > 0.15


def test_channels_of_fractal_noise_are_correlated_by_all_degrees():
    patches = fractal_patches(200, contrast=(0.02, 0.02), falloff=(0.0, 0.0)).flatten(2).numpy()
    correlations = np.array([np.corrcoef(patch)[0, 1] for patch in patches])
    counts = np.histogram(correlations, 4, (0, 1))[0]
    assert counts.min() > 25
    assert correlations.min() > -0.4


def test_refusals():
    with pytest.raises(
        ValueError, match="unknown source 'pink_noise'; known are flow, white_noise"
    ):
        build_source("pink_noise")
    with pytest.raises(TypeError, match="loudness"):
        build_source("white_noise", loudness=3)
    with pytest.raises(ValueError, match="0 < low <= high"):
        build_source("fractal_noise", contrast=(0.3, 0.1))
    source = build_source("white_noise")
    with pytest.raises(ValueError, match="found 3 for 4"):
        source.draw(crops(), generators(0, 1, 2))
    with pytest.raises(ValueError, match="found 0 for 0"):
        source.draw(crops(0), [])
    with pytest.raises(ValueError, match=r"\(4, 3, 24, 40\) torch.uint8"):
        source.draw(crops().byte(), generators(0, 1, 2, 3))
    with pytest.raises(ValueError, match=r"\(4, 1, 24, 40\)"):
        source.draw(crops()[:, :1], generators(0, 1, 2, 3))
