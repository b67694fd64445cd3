"""Interventions: they change the forward pass, then any score follows.

Each takes a network in evaluation mode, an image, and what the plain pass gave, and returns what
the score reads instead. All of them need the network in PyTorch; all but ODIN only its classifier.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from open_set_seg.models import PixelClassifier, SegmentationOutput
from open_set_seg.scores import ScoreInputs, ScoreStatistics

# Networks take RGB on this scale; ODIN's step is stated on 0..1.
INPUT_RANGE = 255.0


class Intervention(Protocol):
    """See the module."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of ``ScoreStatistics`` that are needed."""

    @property
    def gives_samples(self) -> bool:
        """Whether ``ScoreInputs.samples`` is there."""

    def apply(
        self,
        network: nn.Module,
        image: Tensor,
        plain: SegmentationOutput,
        statistics: ScoreStatistics | None,
    ) -> ScoreInputs:
        """What scores read instead of ``plain``.

        Args:
            network: in evaluation mode.
            image: (B, 3, H, W) RGB on 0..255, as the network takes it.
            plain: the network's output for ``image``.
            statistics: of inlier data.

        Raises:
            ValueError: the network or the statistics lack what is needed.
        """


@dataclass(frozen=True)
class Odin:
    """ODIN's input preprocessing (Liang et al., ICLR 2018; as coded in facebookresearch/odin).

    x' = x - epsilon sign(dL/dx), L = -mean over pixels of ln max_k softmax(z / T)_k with z the
    logits upsampled to the image: a step that makes the prediction more certain. ``epsilon`` is on
    the scale of images in 0..1: the published code divides the sign of the normalised image's
    gradient by the deviation, which is the same. One backward pass and one more forward pass.

    Attributes:
        epsilon: length of the step, >= 0.
        temperature: T of the loss; the score has its own.
    """

    epsilon: float = 0.0005
    temperature: float = 1.0
    fields: ClassVar[tuple[str, ...]] = ()
    gives_samples: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _require(0.0 <= self.epsilon <= 1.0, "epsilon in [0, 1]", self.epsilon)
        _require(0.0 < self.temperature <= 1e6, "temperature in (0, 1e6]", self.temperature)

    def apply(
        self,
        network: nn.Module,
        image: Tensor,
        plain: SegmentationOutput,
        statistics: ScoreStatistics | None,
    ) -> ScoreInputs:
        """See ``Intervention``."""
        # A clone is no inference tensor, whatever the caller's mode made.
        with torch.inference_mode(False), torch.enable_grad(), _frozen(network):
            wanted = image.detach().clone().requires_grad_()
            logits = network(wanted).logits
            full = functional.interpolate(
                logits, size=image.shape[2:], mode="bilinear", align_corners=False
            )
            certainty = torch.log_softmax(full.float() / self.temperature, dim=1).amax(dim=1)
            (gradient,) = torch.autograd.grad(-certainty.mean(), wanted)
        step = (self.epsilon * INPUT_RANGE) * gradient.sign()
        changed: SegmentationOutput = network(image - step.to(image.dtype))
        return ScoreInputs(*changed)


@dataclass(frozen=True)
class ReAct:
    """ReAct (Sun et al., NeurIPS 2021): activations before the classifier are clipped at a cap.

    z = W min(h, c) + b with h the activations after normalisation and ReLU, and c the fitted
    ``quantile`` of those of inlier pixels. At quantile 1 nothing changes.

    Attributes:
        quantile: in (0, 1]; one of the fitted levels, or 1.
    """

    quantile: float = 0.9
    fields: ClassVar[tuple[str, ...]] = ("activation_levels", "activation_quantiles")
    gives_samples: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _require(0.0 < self.quantile <= 1.0, "quantile in (0, 1]", self.quantile)

    def cap(self, statistics: ScoreStatistics) -> float:
        """The fitted quantile.

        Raises:
            ValueError: that level was not fitted.
        """
        if self.quantile == 1.0:
            return math.inf
        levels, quantiles = statistics.activation_levels, statistics.activation_quantiles
        if levels is None or quantiles is None:
            raise ValueError("ReAct needs fitted statistics of activations")
        names = (round(level, 6) for level in levels.tolist())
        known: dict[float, float] = dict(zip(names, quantiles.tolist(), strict=True))
        if round(self.quantile, 6) not in known:
            fitted = ", ".join(f"{level:g}" for level in known)
            raise ValueError(f"ReAct's quantile {self.quantile:g} was not fitted; known: {fitted}")
        return known[round(self.quantile, 6)]

    def apply(
        self,
        network: nn.Module,
        image: Tensor,
        plain: SegmentationOutput,
        statistics: ScoreStatistics | None,
    ) -> ScoreInputs:
        """See ``Intervention``."""
        classifier, features = _classifier_of(network, plain, "ReAct")
        cap = self.cap(statistics or ScoreStatistics())
        return ScoreInputs(*classifier.classify(features, lambda h: h.clamp(max=cap)))


@dataclass(frozen=True)
class MCDropout:
    """Monte Carlo dropout (Gal and Ghahramani 2016) before the classifier.

    S passes each drop a random share of the activations that the classifier reads; scores of class
    logits follow ln of the mean of their softmax outputs (taken on the network's grid), and
    ``mutual_information`` the passes themselves. Only the classifier runs S times. The same image
    gives the same numbers. A network that was trained without dropout there can be asked as well,
    but its answers then say less.

    Attributes:
        rate: share that is dropped, in (0, 1).
        samples: S >= 2.
        seed: of the masks.
    """

    rate: float = 0.2
    samples: int = 8
    seed: int = 0
    fields: ClassVar[tuple[str, ...]] = ()
    gives_samples: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _require(0.0 < self.rate < 1.0, "rate in (0, 1)", self.rate)
        _require(2 <= self.samples <= 1000, "samples in 2 to 1000", self.samples)

    def apply(
        self,
        network: nn.Module,
        image: Tensor,
        plain: SegmentationOutput,
        statistics: ScoreStatistics | None,
    ) -> ScoreInputs:
        """See ``Intervention``."""
        classifier, features = _classifier_of(network, plain, "MC dropout")
        generator = torch.Generator(device=features.device).manual_seed(self.seed)

        def drop(activations: Tensor) -> Tensor:
            kept = torch.empty_like(activations).bernoulli_(1.0 - self.rate, generator=generator)
            return activations * kept / (1.0 - self.rate)

        passes = [classifier.classify(features, drop) for _ in range(self.samples)]
        samples = torch.stack([one.logits for one in passes])
        mean = torch.log_softmax(samples.float(), dim=2).logsumexp(dim=0) - math.log(self.samples)
        return ScoreInputs(mean, plain.outlier_logits, plain.features, samples)


INTERVENTIONS: dict[str, type[Odin] | type[ReAct] | type[MCDropout]] = {
    "odin": Odin,
    "react": ReAct,
    "mc_dropout": MCDropout,
}


def _classifier_of(
    network: nn.Module, plain: SegmentationOutput, name: str
) -> tuple[PixelClassifier, Tensor]:
    if not isinstance(network, PixelClassifier) or plain.features is None:
        raise ValueError(f"{name} needs a network that gives its features and its classifier")
    return network, plain.features


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Parameters take no part in the gradient: less memory, and nobody's gradients are touched."""
    wanted = [p for p in network.parameters() if p.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)


def _require(holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise ValueError(f"expected {expected}, found {found}")
