"""What flows promise their callers: shapes, ranges, gradients, randomness, errors."""

from __future__ import annotations

import pytest
import torch

from training.flow import FLOWS, build_flow
from training.randomness import make_generator

TINY = {
    "glow_small": {"steps": 1, "hidden": 8},
    "realnvp": {"hidden": 4, "blocks": 1},
    "denseflow_25_6": {"steps": (1, 1, 1), "width": 4, "layers": 2, "layer_growth": 4},
}


def generators(count, first=0):
    return [make_generator(11, index) for index in range(first, first + count)]


def integers(count, height, width):
    return torch.randint(
        0, 256, (count, 3, height, width), generator=torch.Generator().manual_seed(height + width)
    )


def tiny(name, **options):
    """A small flow in float64 whose couplings are no identities any more."""
    torch.manual_seed(4)
    flow = build_flow(name, **TINY[name], **options).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.03 * torch.randn_like(parameter)
    flow.initialise(integers(4, 16, 24), generators(4))
    return flow


@pytest.fixture(params=sorted(FLOWS))
def name(request):
    return request.param


@pytest.mark.parametrize(("height", "width"), [(16, 16), (24, 40), (216, 216)])
def test_samples_are_images_of_any_size_that_is_a_multiple(name, height, width):
    flow = tiny(name)
    with torch.no_grad():
        images = flow.sample(height, width, generators(2))
    assert images.shape == (2, 3, height, width)
    assert images.min() >= 0
    assert images.max() <= 1


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
