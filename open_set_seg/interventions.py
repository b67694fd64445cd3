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
from open_set_seg.scores import Need, ScoreInputs, ScoreStatistics

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

    @property
    def changes(self) -> tuple[Need, ...]:
        """What differs from the plain pass; a score that reads none of it stays as it was."""

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

    x' = x - epsilon sign(dL/dx), L = -sum over pixels of ln max_k softmax(z / T)_k with z the
    logits upsampled to the image: a step that makes the prediction more certain. (A mean has the
    same sign, but in half precision its gradient vanishes.) ``epsilon`` is on the scale of images
    in 0..1: the published code divides the sign of the normalised image's gradient by the
    deviation, which is the same. One backward pass and one more forward pass.

    Attributes:
        epsilon: length of the step, >= 0.
        temperature: T of the loss; the score has its own.
    """

    epsilon: float = 0.0005
    temperature: float = 1.0
    fields: ClassVar[tuple[str, ...]] = ()
    gives_samples: ClassVar[bool] = False
    changes: ClassVar[tuple[Need, ...]] = ("logits", "outlier_logits", "features")

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
        _require_room(self.epsilon, image.dtype)
        # A clone is no inference tensor, whatever the caller's mode made.
        with torch.inference_mode(False), torch.enable_grad(), _frozen(network):
            wanted = image.detach().clone().requires_grad_()
            logits = network(wanted).logits
            full = functional.interpolate(
                logits, size=image.shape[2:], mode="bilinear", align_corners=False
            )
            certainty = torch.log_softmax(full.float() / self.temperature, dim=1).amax(dim=1)
            (gradient,) = torch.autograd.grad(-certainty.sum(), wanted)
        step = (self.epsilon * INPUT_RANGE) * gradient.sign()
        changed: SegmentationOutput = network(image - step.to(image.dtype))
        return ScoreInputs(*changed)


@dataclass(frozen=True)
class ReAct:
    """ReAct (Sun et al., NeurIPS 2021): activations before the classifier are clipped at a cap.

    z = W min(h, c) + b with h the activations after normalisation and ReLU, and c the fitted
    ``quantile`` of those of inlier pixels. At quantile 1 nothing changes. An outlier head has
    activations of its own, to which c does not belong: its logits stay.

    Attributes:
        quantile: in (0, 1]; one of the fitted levels, or 1.
    """

    quantile: float = 0.9
    fields: ClassVar[tuple[str, ...]] = ("activation_levels", "activation_quantiles")
    gives_samples: ClassVar[bool] = False
    changes: ClassVar[tuple[Need, ...]] = ("logits",)

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
        logits = classifier.classify(features, lambda h: h.clamp(max=cap)).logits
        return ScoreInputs(logits, plain.outlier_logits, plain.features)


@dataclass(frozen=True)
class MCDropout:
    """Monte Carlo dropout (Gal and Ghahramani 2016) before the classifier.

    S passes each drop a random share of the activations that each head reads and divide the others
    by the share that is kept. ``mutual_information`` reads the passes themselves, other scores

        z = ln mean_s softmax(z_s) + mean_s ln sum_k exp(z_s,k)

    on the network's grid: its softmax is the mean of theirs, and its logsumexp is the mean of
    theirs too, so that energies keep their meaning. Only the heads run S times. The same image
    gives the same numbers. A network that was trained without dropout there can be asked as well,
    but its answers then say less.

    Attributes:
        rate: share that is dropped, in (0, 1).
        samples: S, from 2 to 1000.
        seed: of the masks, >= 0.
    """

    rate: float = 0.2
    samples: int = 8
    seed: int = 0
    fields: ClassVar[tuple[str, ...]] = ()
    gives_samples: ClassVar[bool] = True
    changes: ClassVar[tuple[Need, ...]] = ("logits", "outlier_logits", "samples")

    def __post_init__(self) -> None:
        _require(0.0 < self.rate < 1.0, "rate in (0, 1)", self.rate)
        _require(2 <= self.samples <= 1000, "samples in 2 to 1000", self.samples)
        _require(0 <= self.seed < 2**63, "a seed from 0 to 2^63 - 1", self.seed)

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
        outliers = [one.outlier_logits for one in passes if one.outlier_logits is not None]
        outlier = _average(torch.stack(outliers)) if outliers else None
        return ScoreInputs(_average(samples), outlier, plain.features, samples)


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


def _average(samples: Tensor) -> Tensor:
    """See ``MCDropout``: (S, B, K, h, w) -> (B, K, h, w)."""
    samples = samples.float() if samples.dtype != torch.float64 else samples
    energies = samples.logsumexp(dim=2, keepdim=True)
    mean = (samples - energies).logsumexp(dim=0) - math.log(samples.shape[0])
    return mean + energies.mean(dim=0)


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


def _require_room(epsilon: float, kind: torch.dtype) -> None:
    """Raise ``ValueError`` where a step is smaller than the distance of two numbers near 255."""
    if 0.0 < epsilon < torch.finfo(kind).eps / 2.0:
        name = str(kind).removeprefix("torch.")
        raise ValueError(
            f"ODIN's step of {epsilon:g} is lost in {name}: expected a larger one, or fp32"
        )


def _require(holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise ValueError(f"expected {expected}, found {found}")
