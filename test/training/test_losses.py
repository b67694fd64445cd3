"""The training loss against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from training.divergences import DIVERGENCES
from training.losses import (
    class_weights_from_counts,
    mixed_content_sums,
    upsampled_cross_entropy,
)


def problem(seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 5, 4, 6, generator=generator)
    labels = torch.randint(0, 5, (3, 16, 24), generator=generator)
    labels[0, :5] = 255
    return logits, labels.to(torch.uint8)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5, 0.0, 3.0])])
def test_equals_cross_entropy_of_the_upsampled_logits(weights):
    logits, labels = problem()
    logits.requires_grad_()
    full = functional.interpolate(logits, (16, 24), mode="bilinear", align_corners=False)
    expected = functional.cross_entropy(full, labels.long(), weights, ignore_index=255)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    loss = upsampled_cross_entropy(logits, labels, weights)
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)


def test_unlabelled_images_cost_nothing():
    logits, labels = problem()
    logits.requires_grad_()
    loss = upsampled_cross_entropy(logits, torch.full_like(labels, 255))
    loss.backward()
    assert loss.item() == 0.0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("power", [0.0, 0.25, 1.0])
def test_rare_classes_weigh_more_and_the_mean_is_one(power):
    counts = np.array([600, 300, 90, 10, 0])
    weights = class_weights_from_counts(counts, power)
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1.0)
    assert weights[4] == weights[3]
    for one in range(3):
        ratio = (counts[one] / counts[one + 1]) ** power
        assert weights[one + 1] / weights[one] == pytest.approx(ratio, rel=1e-5)


def test_without_any_label_all_classes_weigh_the_same():
    assert class_weights_from_counts(np.zeros(3, np.int64), 0.5).tolist() == [1.0, 1.0, 1.0]


def mixed_problem(seed=0):
    """Logits, labels with 255 on pasted pixels, and pasted pixels; image 1 has none."""
    logits, labels = problem(seed)
    pasted = torch.zeros(3, 16, 24, dtype=torch.bool)
    pasted[0, 3:9, 2:13] = True
    pasted[0, 12:, 20:] = True
    pasted[2, 5, 7] = True
    return logits, labels.masked_fill(pasted, 255), pasted


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5, 0.0, 3.0])])
@pytest.mark.parametrize("name", ["js", "kl"])
def test_sums_are_those_over_all_pixels(weights, name):
    logits, labels, pasted = mixed_problem()
    logits = logits.double().requires_grad_()
    full = functional.interpolate(logits, (16, 24), mode="bilinear", align_corners=False)
    nll = functional.cross_entropy(
        full, labels.long(), None if weights is None else weights.double(),
        ignore_index=255, reduction="none",
    )  # fmt: skip
    spread = DIVERGENCES[name](full)
    inliers = labels[labels != 255].long()
    weight = len(inliers) if weights is None else weights[inliers].sum().item()
    sums = mixed_content_sums(logits, labels, pasted, DIVERGENCES[name], weights)
    assert sums.cross_entropy.item() == pytest.approx(nll.sum().item(), rel=1e-5)
    assert sums.weight.item() == pytest.approx(weight, rel=1e-6)
    assert sums.divergence.item() == pytest.approx(spread[pasted].sum().item(), rel=1e-5)
    assert sums.pasted.item() == pasted.sum().item() == 6 * 11 + 4 * 4 + 1
    cross_entropy, divergence = sums.mean()
    expected = nll.sum() / weight + 0.3 * spread[pasted].mean()
    loss = cross_entropy + 0.3 * divergence
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-7)


def test_published_numbers():
    channel, row, column = np.indices((3, 2, 3))
    logits = torch.from_numpy(((3 * channel + 2 * row + column) % 5) - 1.5)[None]
    labels = torch.tensor([[[0, 1, 255], [2, 255, 255]]])
    pasted = torch.tensor([[[False, False, False], [False, True, True]]])
    sums = mixed_content_sums(logits, labels, pasted, DIVERGENCES["js"])
    cross_entropy, divergence = sums.mean()
    assert cross_entropy.item() == pytest.approx(1.2295680853, abs=2e-7)
    assert divergence.item() == pytest.approx(0.1416145910, abs=1e-7)


def test_sums_of_parts_of_a_batch_add_up():
    logits, labels, pasted = mixed_problem()
    whole = mixed_content_sums(logits, labels, pasted, DIVERGENCES["js"])
    parts = [
        mixed_content_sums(logits[part], labels[part], pasted[part], DIVERGENCES["js"])
        for part in (slice(0, 1), slice(1, 3))
    ]
    for name in whole._fields:
        first, second = (getattr(part, name) for part in parts)
        torch.testing.assert_close(first + second, getattr(whole, name))


def test_without_pasted_or_labelled_pixels_a_term_and_its_gradient_are_zero():
    logits, labels, pasted = mixed_problem()
    for which, nothing in ((1, torch.zeros_like(pasted)), (0, pasted)):
        asked = logits.clone().requires_grad_()
        targets = labels if which else torch.full_like(labels, 255)
        term = mixed_content_sums(asked, targets, nothing, DIVERGENCES["js"]).mean()[which]
        term.backward()
        assert term.item() == 0.0
        assert (asked.grad == 0).all()


def test_the_divergence_sees_pasted_pixels_only():
    logits, labels, pasted = mixed_problem()
    seen = []

    def record(values):
        seen.append(values.shape)
        return values.sum(dim=1)

    mixed_content_sums(logits, labels, pasted, record)
    assert seen == [(1, 5, 6 * 11 + 4 * 4), (1, 5, 1)]


def test_pasted_pixels_without_a_divergence_are_refused():
    logits, labels, pasted = mixed_problem()
    with pytest.raises(ValueError, match="need a divergence"):
        mixed_content_sums(logits, labels, pasted)
