"""Divergences to the uniform distribution against their definitions and published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.divergences import DIVERGENCES

NAMES = list(DIVERGENCES)
BOUNDED = [name for name in NAMES if math.isfinite(DIVERGENCES[name].maximum(3))]


def golden_logits():
    channel, row, column = np.indices((3, 2, 3))
    return torch.from_numpy(((3 * channel + 2 * row + column) % 5) - 1.5)[None]


def definition(name, p):
    """The plain formula on probabilities (N, K)."""
    uniform = torch.full_like(p, 1.0 / p.shape[1])

    def kl(first, second):
        return (first * (first / second).log()).sum(dim=1)

    middle = (uniform + p) / 2
    return {
        "js": lambda: (kl(uniform, middle) + kl(p, middle)) / 2,
        "kl": lambda: kl(uniform, p),
        "reverse_kl": lambda: kl(p, uniform),
        "pearson": lambda: ((uniform - p).square() / p).sum(dim=1),
        "squared_hellinger": lambda: (p.sqrt() - uniform.sqrt()).square().sum(dim=1) / 2,
    }[name]()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 3, 19])
def test_values_and_gradients_are_those_of_the_definition(name, classes):
    generator = torch.Generator().manual_seed(classes)
    logits = 3 * torch.randn(50, classes, generator=generator, dtype=torch.float64)
    logits.requires_grad_()
    weights = torch.rand(50, generator=generator, dtype=torch.float64)
    expected = definition(name, torch.softmax(logits, dim=1))
    found = DIVERGENCES[name](logits)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    (expected_gradient,) = torch.autograd.grad((weights * expected).sum(), logits)
    (gradient,) = torch.autograd.grad((weights * found).sum(), logits)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_differences(name):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(DIVERGENCES[name].function, (logits,))


def test_published_numbers_of_jensen_shannon():
    found = DIVERGENCES["js"](golden_logits())[0]
    expected = [
        [0.1495380371, 0.1495380371, 0.1060986295],
        [0.1060986295, 0.1060986295, 0.1771305526],
    ]
    np.testing.assert_allclose(found.numpy(), expected, atol=5e-11)
    assert found[1, 1:].mean().item() == pytest.approx(0.1416145910, abs=5e-11)


def test_published_bounds_of_jensen_shannon():
    published = {19: 0.588665, 12: 0.546253, 14: 0.561935, 65: 0.653285}
    for classes, value in published.items():
        assert DIVERGENCES["js"].maximum(classes) == pytest.approx(value, abs=5e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 19])
def test_zero_at_uniform_predictions_and_at_most_the_maximum(name, classes):
    divergence = DIVERGENCES[name]
    assert divergence(torch.full((1, classes, 2), 7.0)).abs().max().item() < 3e-7
    one_hot = torch.zeros(1, classes, dtype=torch.float64)
    one_hot[0, 1] = 100.0
    if name in BOUNDED:
        assert divergence(one_hot).item() == pytest.approx(divergence.maximum(classes), abs=1e-9)
    else:
        assert divergence.maximum(classes) == math.inf
        assert divergence(one_hot).item() > 49
    generator = torch.Generator().manual_seed(0)
    logits = 10 * torch.randn(500, classes, generator=generator, dtype=torch.float64)
    values = divergence(logits)
    assert (values > 0).all()
    assert (values <= divergence.maximum(classes)).all()


# chi^2 is larger than every float32 where logits lie further apart than about 88.
SIZES = [*((name, size) for name in NAMES for size in (1.0, 40.0)),
         *((name, size) for name in NAMES if name != "pearson" for size in (1e3, 1e4))]  # fmt: skip


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_finite_in_single_precision_up_to_large_logits(name, size):
    generator = torch.Generator().manual_seed(2)
    logits = size * (2 * torch.rand(200, 12, generator=generator) - 1)
    logits[0], logits[0, 3] = -size, size
    logits[1], logits[1, 3] = size, -size
    logits.requires_grad_()
    values = DIVERGENCES[name](logits)
    (gradient,) = torch.autograd.grad(values.sum(), logits)
    exact = logits.detach().double().requires_grad_()
    reference = DIVERGENCES[name](exact)
    (reference_gradient,) = torch.autograd.grad(reference.sum(), exact)
    torch.testing.assert_close(values.double(), reference, rtol=3e-5, atol=3e-6)
    largest = reference_gradient.abs().amax(dim=1, keepdim=True).clamp(min=1.0)
    error = (gradient.double() - reference_gradient).abs() / largest
    assert error.max().item() < 3e-5


@pytest.mark.parametrize("name", NAMES)
def test_shifts_of_all_logits_and_the_order_of_classes_do_not_count(name):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(20, 5, 2, generator=generator, dtype=torch.float64)
    values = DIVERGENCES[name](logits)
    torch.testing.assert_close(DIVERGENCES[name](logits + 11.0), values)
    torch.testing.assert_close(DIVERGENCES[name](logits.flip(1)), values)


def test_rigour_of_the_published_curves():
    # NFlowJS, figure 3 left (two classes): at a confident prediction JS is the mildest.
    p = torch.tensor([[0.99, 0.01]], dtype=torch.float64)
    values = {name: DIVERGENCES[name](p.log()).item() for name in NAMES}
    assert values["js"] < values["reverse_kl"] < values["kl"] < values["pearson"]
