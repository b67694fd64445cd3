"""Scores and interventions against another implementation: pytorch-ood 0.4.0 (Apache-2.0).

``pytorch_ood.json`` holds small made-up inputs and what functions of that version gave for them in
float64, under the functions' names. It negates probabilities where we take them from 1, leaves out
constant factors, and has no map to [0, 1]; each test says what stands between the two.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from open_set_seg.interventions import MCDropout, Odin, ReAct
from open_set_seg.models import PixelClassifier, SegmentationOutput
from open_set_seg.models.units import NormReluConv
from open_set_seg.scores import (
    ScoreInputs,
    ScoreStatistics,
    embedding_density,
    energy,
    entropy,
    mahalanobis,
    max_logit,
    msp,
    mutual_information,
)

CONTENT = json.loads(Path(__file__).with_name("pytorch_ood.json").read_text(encoding="utf-8"))
# The file has twelve decimals.
CLOSE = {"rtol": 0.0, "atol": 2e-12}


def golden(name):
    return torch.tensor(CONTENT[name], dtype=torch.float64)


def test_scores_of_logits():
    logits = golden("logits")
    torch.testing.assert_close(msp(logits) - 1.0, golden("MaxSoftmax t=1"), **CLOSE)
    torch.testing.assert_close(msp(logits, 2.0) - 1.0, golden("MaxSoftmax t=2"), **CLOSE)
    torch.testing.assert_close(max_logit(logits), golden("MaxLogit"), **CLOSE)
    torch.testing.assert_close(energy(logits), golden("EnergyBased t=1"), **CLOSE)
    torch.testing.assert_close(energy(logits, 2.0), golden("EnergyBased t=2"), **CLOSE)
    nats = entropy(logits) * math.log(5)
    torch.testing.assert_close(nats, golden("Entropy"), **CLOSE)


def test_scores_of_samples(monkeypatch):
    samples = golden("samples")
    nats = mutual_information(samples) * math.log(5)
    expected = golden("Entropy of MCD's mean - mean Entropy")
    torch.testing.assert_close(nats, expected, **CLOSE)

    class Passes(PixelClassifier):
        def classify(self, features, edit=None):
            return SegmentationOutput(next(given))

    given = iter(samples)
    plain = SegmentationOutput(samples[0], None, torch.zeros(1, 3, 2, 3))
    found = MCDropout(samples=4).apply(Passes(), torch.zeros(1, 3, 2, 3), plain, None)
    torch.testing.assert_close(msp(found.logits) - 1.0, golden("MCD mean"), **CLOSE)
    assert torch.equal(found.samples, samples)


def fitted():
    """Means and centred features by class."""
    features, labels = golden("training_features"), torch.tensor(CONTENT["training_labels"])
    means = torch.stack([features[labels == c].mean(dim=0) for c in range(3)])
    return means, [features[labels == c] - means[c] for c in range(3)]


def test_distances_of_features():
    """Theirs is half the distance with the sum instead of the mean of squares, and a ridge."""
    means, centred = fitted()
    precision = torch.linalg.inv(sum(x.T @ x for x in centred) + 1e-6 * torch.eye(3))
    statistics = ScoreStatistics(feature_mean=means, feature_precision=precision)
    features = golden("features").T.reshape(1, 3, 2, 3)
    found = mahalanobis(features, statistics).flatten() / 2.0
    # They add up the covariance in float32.
    torch.testing.assert_close(found, golden("Mahalanobis"), rtol=1e-6, atol=0)


def test_density_of_features():
    """Theirs has a Gaussian per class with covariances that are not unbiased, and a ridge."""
    means, centred = fitted()
    covariances = torch.stack([x.T @ x / len(x) + 1e-6 * torch.eye(3) for x in centred])
    statistics = ScoreStatistics(
        density_weight=torch.tensor([len(x) / 24 for x in centred], dtype=torch.float64),
        density_mean=means,
        density_cholesky=torch.linalg.cholesky(torch.linalg.inv(covariances)),
    )
    features = golden("features").T.reshape(1, 3, 2, 3)
    found = embedding_density(features, statistics).flatten()
    torch.testing.assert_close(found, golden("GMM"), rtol=1e-10, atol=0)


class TinyNetwork(nn.Module):
    """Two 1 x 1 convolutions with tanh between them, at the image's own size."""

    def forward(self, image):
        hidden = apply_linear(golden("first_weight"), golden("first_bias"), image / 255.0 - 0.5)
        tensors = golden("second_weight"), golden("second_bias")
        return SegmentationOutput(apply_linear(*tensors, torch.tanh(hidden)))


def apply_linear(weight, bias, x):
    return torch.einsum("ij,bjhw->bihw", weight, x) + bias.view(-1, 1, 1)


@pytest.mark.parametrize(("epsilon", "temperature"), [(0.002, 1.0), (0.02, 1000.0)])
def test_odin(epsilon, temperature):
    """Theirs has epsilon on the scale of the input: 255 times ours."""
    name, image, seen = f"eps={epsilon:g} t={temperature:g}", golden("image"), []

    class Watched(TinyNetwork):
        def forward(self, image):
            seen.append(image.detach().clone())
            return super().forward(image)

    found = Odin(epsilon, temperature).apply(Watched(), image, None, None)
    torch.testing.assert_close(seen[-1], golden(f"odin_preprocessing {name}"), rtol=0, atol=1e-9)
    torch.testing.assert_close(
        msp(found.logits, temperature) - 1.0, golden(f"ODIN {name}"), rtol=0, atol=1e-11
    )


def test_react():
    network = PixelClassifier()
    network.logits = NormReluConv(4, 5, 1, bias=True)
    network.logits_ood = None
    network.double().eval()
    convolution = network.logits.get_submodule("conv")
    # Running statistics of a normalisation that changes nothing.
    network.logits.get_submodule("norm").eps = 0.0
    with torch.no_grad():
        convolution.weight.copy_(golden("second_weight").view(5, 4, 1, 1))
        convolution.bias.copy_(golden("second_bias"))
    statistics = ScoreStatistics(
        activation_levels=torch.tensor([0.9]),
        activation_quantiles=golden("ReAct threshold").view(1),
    )
    activations = golden("activations")
    with torch.inference_mode():
        plain = network.classify(activations)
        found = ReAct(0.9).apply(network, torch.empty(0), plain, statistics)
    assert isinstance(found, ScoreInputs)
    torch.testing.assert_close(energy(found.logits), golden("ReAct"), **CLOSE)
    assert not torch.allclose(found.logits, plain.logits)
