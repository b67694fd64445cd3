"""What flows promise their callers: sizes, initialisation, independence of the batch, errors."""

from __future__ import annotations

import pytest
import torch
from made_flows import generators, integers, tiny

from training.flow import FLOWS, build_flow
from training.flow.bijections import ActNorm


@pytest.fixture(params=sorted(FLOWS))
def name(request):
    return request.param


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 16), (24, 40), (216, 216)])
def test_samples_are_images_of_any_size_that_is_a_multiple(name, height, width):
    flow = tiny(name)
    with torch.no_grad():
        images = flow.sample(height, width, generators(2))
    assert images.shape == (2, 3, height, width)
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std() > 0.05


def test_what_an_image_gets_does_not_depend_on_its_batch(name):
    flow = tiny(name)
    together = flow.sample(16, 24, generators(3))
    apart = torch.cat([flow.sample(16, 24, generators(1, index)) for index in range(3)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-12)
    images = integers(3, 16, 16)
    together = flow.log_prob(images, generators(3))
    apart = torch.cat([flow.log_prob(images[i : i + 1], generators(1, i)) for i in range(3)])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=0)
    assert not torch.equal(together, flow.log_prob(images, generators(3, 1)))


def test_the_global_generator_is_left_alone(name):
    flow = tiny(name)
    state = torch.get_rng_state()
    flow.log_prob(integers(2, 8, 8), generators(2))
    flow.sample(8, 8, generators(2))
    assert torch.equal(torch.get_rng_state(), state)


def test_initialise_gives_every_act_norm_mean_0_and_variance_1(name):
    flow = tiny(name)
    images = integers(3, 24, 16) // 3
    flow.initialise(images, generators(3))
    assert not flow.training
    seen = []
    for module in flow.modules():
        if isinstance(module, ActNorm):
            assert module.initialised
            module.register_forward_hook(lambda *arguments: seen.append(arguments[2][0]))
    with torch.no_grad():
        flow.log_prob(images, generators(3))
    assert seen
    for values in seen:
        deviation, mean = torch.std_mean(values, dim=(0, 2, 3), correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-9, rtol=0)
        torch.testing.assert_close(deviation, torch.ones_like(mean), atol=1e-4, rtol=0)


def test_the_first_log_prob_in_training_mode_initialises_and_no_other(name):
    images = integers(3, 16, 16)
    by_hand, by_itself = tiny(name), tiny(name)
    by_hand.initialise(images, generators(3))
    for module in by_itself.modules():
        if isinstance(module, ActNorm):
            module.initialised.fill_(False)
    before = {key: value.clone() for key, value in by_itself.state_dict().items()}
    by_itself.log_prob(images, generators(3))
    assert all(torch.equal(before[key], value) for key, value in by_itself.state_dict().items())
    by_itself.train()
    by_itself.sample(8, 8, generators(1))
    by_itself.log_prob(images, generators(3))
    by_itself.log_prob(images // 2, generators(3))
    state = by_itself.state_dict()
    assert all(torch.equal(state[key], value) for key, value in by_hand.state_dict().items())


def test_autocast_changes_nothing(name):
    flow = tiny(name).float()
    images = integers(1, 8, 8)
    plain = flow.log_prob(images, generators(1)), flow.sample(8, 8, generators(1))
    with torch.autocast("cpu", torch.bfloat16):
        cast = flow.log_prob(images, generators(1)), flow.sample(8, 8, generators(1))
    for one, other in zip(plain, cast, strict=True):
        assert torch.equal(one, other)


def test_temperature_0_gives_the_same_image_always(name):
    flow = tiny(name)
    first, second = (flow.sample(8, 16, generators(1, i), temperature=0.0) for i in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, flow.sample(8, 16, generators(1)))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 1, 8, 8), r"\(B, 3, H, W\)"),
        (torch.zeros(3, 8, 8), r"\(B, 3, H, W\)"),
        (torch.zeros(0, 3, 8, 8), r"\(B, 3, H, W\)"),
        (torch.zeros(2, 3, 8, 12), "multiples of 8, found 8 x 12"),
        (torch.zeros(2, 3, 0, 8), "multiples of 8, found 0 x 8"),
        (torch.full((2, 3, 8, 8), 0.5), "integers from 0 to 255, found values from 0.5"),
        (torch.full((2, 3, 8, 8), 256), "integers from 0 to 255, found values from 256"),
        (torch.full((2, 3, 8, 8), -1), "integers from 0 to 255, found values from -1"),
        (torch.full((2, 3, 8, 8), float("nan")), "integers from 0 to 255"),
        (torch.zeros(1, 3, 8, 8), "generator for each of 1 images, found 2"),
    ],
)
def test_images_that_are_none_are_refused(images, message):
    flow = tiny("glow_small")
    for method in (flow.log_prob, flow.bits_per_dim, flow.initialise):
        with pytest.raises(ValueError, match=message):
            method(images, generators(2))


def test_samples_that_cannot_be_are_refused():
    flow = tiny("glow_small")
    for height, width in ((12, 8), (8, 20), (0, 8), (-8, 8)):
        with pytest.raises(ValueError, match=f"multiples of 8, found {height} x {width}"):
            flow.sample(height, width, generators(1))
    with pytest.raises(ValueError, match="at least one generator"):
        flow.sample(8, 8, [])
    with pytest.raises(ValueError, match="temperature"):
        flow.sample(8, 8, generators(1), temperature=-0.1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("glow", {}, "known are denseflow_25_6, glow_small, realnvp"),
        ("glow_small", {"depth": 3}, "unknown option 'depth' of glow_small; known are levels"),
        ("glow_small", {"levels": 0}, "at least 1 for levels"),
        ("realnvp", {"blocks": 0.5}, "at least 1 for blocks"),
        ("realnvp", {"end": "round"}, "clamp, straight_through, found 'round'"),
        ("denseflow_25_6", {"units": (3, 2)}, "each block"),
        ("denseflow_25_6", {"steps": (3, 0, 8)}, "at least 1 for steps"),
        ("denseflow_25_6", {"growth": 0}, "at least 1 for growth"),
    ],
)
def test_flows_that_cannot_be_built_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_flow(name, **options)
