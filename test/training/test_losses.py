"""The training loss against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from training.losses import class_weights_from_counts, upsampled_cross_entropy


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
