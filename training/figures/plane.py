"""NFlowJS in the plane: three clusters, a small classifier, a small flow, the losses of training.

Points are the pixels of an image one pixel wide, their two coordinates its channels, and every
network is made of 1 x 1 convolutions, so that pixels do not see each other: the flow, the losses
and the joint objective are those of images.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from open_set_seg.label_spaces import UNLABELLED
from training.divergences import DIVERGENCES
from training.flow import ImageFlow
from training.flow.bijections import Chain, glow_step
from training.flow.coupling_networks import GaussianNetwork
from training.flow.noise import NoiseSource
from training.losses import MixedContentSums, mixed_content_sums
from training.randomness import draw_normal, make_generator

CENTRES = ((0.34, 0.38), (0.66, 0.38), (0.50, 0.66))
DEVIATION = 0.04
_POINTS, _LATENTS, _START = 31, 32, 33  # uses of random numbers


@dataclass(frozen=True)
class PlaneSettings:
    """How the plane's networks are built and trained.

    Attributes:
        seed: of everything that is random.
        batch: inlier points in a step, and as many samples.
        couplings, hidden: of the flow, and channels inside its networks.
        frequencies, bandwidth: of the classifier's random waves, and the deviation of their number
            along a side of the unit square.
        units: of the classifier's hidden layer.
        steps_before: on inliers alone.
        steps: with negatives.
        rate_before, rate, flow_rate: Adam's learning rates: of both before, then of each.
        weight: lambda.
        likelihood_weight: of the bits per dimension.
    """

    seed: int = 0
    batch: int = 256
    couplings: int = 5
    hidden: int = 32
    frequencies: int = 48
    bandwidth: float = 2.0
    units: int = 64
    steps_before: int = 150
    steps: int = 400
    rate_before: float = 5e-3
    rate: float = 5e-3
    flow_rate: float = 7e-4
    weight: float = 3.0
    likelihood_weight: float = 0.3


class RandomWaves(nn.Module):
    """sin and cos of n random plane waves (1, 2n, m, 1) of points (1, 2, m, 1), not learned.

    With them a small network can tell apart places that are near each other (Rahimi and Recht
    2007), as networks on images can.

    Args:
        frequencies: n.
        bandwidth: deviation of the number of periods along a unit.
    """

    def __init__(self, frequencies: int, bandwidth: float) -> None:
        super().__init__()
        self.weight: Tensor
        waves = 2 * math.pi * bandwidth * torch.randn(frequencies, 2, 1, 1)
        self.register_buffer("weight", waves)

    def forward(self, points: Tensor) -> Tensor:
        """Values in [-1, 1]."""
        phases = functional.conv2d(points, self.weight)
        return torch.cat([phases.sin(), phases.cos()], dim=1)


class PlaneNetworks(nn.Module):
    """A classifier of points and a flow that invents points.

    Args:
        settings: sizes; weights are drawn from its seed.

    Attributes:
        classify: points (1, 2, n, 1) of the unit square to logits (1, K, n, 1).
        flow: on images of two channels.
    """

    def __init__(self, settings: PlaneSettings) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            body = Chain(*(_make_step(settings.hidden) for _ in range(settings.couplings)))
            self.flow = ImageFlow(body, 2, 1, "straight_through", channels=2)
            waves = settings.frequencies
            self.classify = nn.Sequential(
                RandomWaves(waves, settings.bandwidth),
                nn.Conv2d(2 * waves, settings.units, 1),
                nn.ReLU(),
                nn.Conv2d(settings.units, len(CENTRES), 1),
            )

    def bits_per_dim(self, points: Tensor) -> Tensor:
        """-log2 p over the number of coordinates, of points (1, 2, n, 1) that are not discrete."""
        latents, contribution = self.flow.encode(points, NoiseSource(()))
        log_prob = contribution + self.flow.base.log_prob(latents)
        return -log_prob.sum() / (math.log(2) * points.numel())

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Points (1, 2, count, 1) of the flow, with a gradient to it."""
        return self.flow.sample(count, 1, [generator])


def draw_inliers(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points (1, 2, count, 1) of Gaussian clusters around ``CENTRES``, labels (1, count, 1)."""
    labels = torch.randint(len(CENTRES), (1, count, 1), generator=generator)
    centres = torch.tensor(CENTRES)[labels[0, :, 0]].T.reshape(1, 2, count, 1)
    normal = draw_normal([generator], (2, count, 1), centres)
    return centres + DEVIATION * normal, labels


def train_before(settings: PlaneSettings) -> PlaneNetworks:
    """The classifier on inliers alone, the flow by likelihood: where joint training starts."""
    networks = PlaneNetworks(settings)

    def loss(step: int) -> Tensor:
        points, labels = draw_inliers(settings.batch, make_generator(settings.seed, _START, step))
        cross_entropy, _ = mixed_content_sums(networks.classify(points), labels).mean()
        return cross_entropy + networks.bits_per_dim(points)

    rates = settings.rate_before, settings.rate_before
    _minimise(loss, networks, settings.steps_before, rates)
    return networks


def train_with_negatives(
    networks: PlaneNetworks, settings: PlaneSettings, joint: bool
) -> PlaneNetworks:
    """A copy of the networks, trained on with samples of the flow as negatives.

    L = cross-entropy + lambda JS(U, p) on samples + w bits per dimension of inliers, in one
    backward pass (Grcic et al., NFlowJS, equations 3 to 5; there w = 1).

    Args:
        networks: to start from.
        settings: of the training.
        joint: whether JS reaches the flow through its samples; else the flow learns by likelihood
            alone.
    """
    trained = copy.deepcopy(networks)

    def loss(step: int) -> Tensor:
        points, labels = draw_inliers(settings.batch, make_generator(settings.seed, _POINTS, step))
        with torch.set_grad_enabled(joint):
            latents = make_generator(settings.seed, _LATENTS, step)
            samples = trained.sample(settings.batch, latents)
        cross_entropy, negative = _mixed_sums(trained.classify, points, labels, samples).mean()
        bits = trained.bits_per_dim(points)
        return cross_entropy + settings.weight * negative + settings.likelihood_weight * bits

    _minimise(loss, trained, settings.steps, (settings.rate, settings.flow_rate))
    return trained


def _minimise(
    loss: Callable[[int], Tensor],
    networks: PlaneNetworks,
    steps: int,
    rates: tuple[float, float],
) -> None:
    """Adam with the rates of the classifier and the flow."""
    parts = zip((networks.classify, networks.flow), rates, strict=True)
    optimiser = torch.optim.Adam(
        [{"params": part.parameters(), "lr": rate} for part, rate in parts]
    )
    networks.train()
    for step in range(steps):
        optimiser.zero_grad()
        loss(step).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    networks.eval()


def _mixed_sums(
    classify: Callable[[Tensor], Tensor], points: Tensor, labels: Tensor, samples: Tensor
) -> MixedContentSums:
    """The discriminative terms of a mixed image: inlier points, then samples."""
    pasted = torch.zeros(1, points.shape[2] + samples.shape[2], 1, dtype=torch.bool)
    pasted[:, points.shape[2] :] = True
    truth = torch.full(pasted.shape, UNLABELLED)
    truth[:, : points.shape[2]] = labels
    logits = classify(torch.cat([points, samples], dim=2))
    return mixed_content_sums(logits, truth, pasted, DIVERGENCES["js"])


def _make_step(hidden: int) -> Chain:
    layers = nn.Sequential(
        nn.Conv2d(1, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, hidden, 1), nn.ReLU()
    )
    return glow_step(2, GaussianNetwork(layers, nn.Conv2d(hidden, 2, 1)))
