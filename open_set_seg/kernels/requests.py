"""What the open-set head's kernels are asked, and what they answer: the same on every device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

MAX_CLASSES = 254
# Within these, 1 / T and T times a logit are ordinary float32 numbers.
TEMPERATURES = (1e-6, 1e6)

# Scores and the formulas behind them: some are one formula by two names.
FORMULAS = {
    "jsd": "jsd",
    "msp": "msp",
    "entropy": "entropy",
    "reverse_kl": "entropy",
    "kl": "kl",
    "max_logit": "max_logit",
    "energy": "energy",
    "generative": "energy",
    "op": "op",
    "discriminative": "op",
    "op_ms": "op_ms",
    "dense_hybrid": "dense_hybrid",
    "sml": "sml",
}
_OUTLIER_FORMULAS = ("op", "op_ms", "dense_hybrid")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


class NotBuiltError(RuntimeError):
    """There is no usable kernel; the message says why."""


class HeadInputs(NamedTuple):
    """What a kernel reads.

    Attributes:
        logits: (B, K, h, w), float32, bfloat16 or float16 in any memory layout.
        outlier_logits: (B, 2, h, w) likewise, inlier and outlier, for the scores that read them.
        class_mean: (K,), of the largest logit by class, for ``sml``.
        class_deviation: (K,), its standard deviation.
    """

    logits: Tensor
    outlier_logits: Tensor | None = None
    class_mean: Tensor | None = None
    class_deviation: Tensor | None = None

    def are_readable(self) -> bool:
        """Whether types and sizes are known, and no gradient is wanted."""
        outlier = self.outlier_logits
        read = [self.logits] if outlier is None else [self.logits, outlier]
        return (
            all(one.dtype in _DTYPES and one.device == self.logits.device for one in read)
            and all(one.ndim == 4 and min(one.shape) > 0 for one in read)
            and 2 <= self.logits.shape[1] <= MAX_CLASSES
            and not (any(one.requires_grad for one in read) and torch.is_grad_enabled())
            and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
            and not torch.compiler.is_compiling()
        )

    def suffice(self, channel: KernelChannel) -> bool:
        """Whether the channel's formula is known, and all that it reads is here."""
        formula, classes = FORMULAS.get(channel.score), self.logits.shape[1]
        batch, _, *grid = self.logits.shape
        fitted = (self.class_mean, self.class_deviation)
        return (
            formula is not None
            and TEMPERATURES[0] <= channel.temperature <= TEMPERATURES[1]
            and (
                formula not in _OUTLIER_FORMULAS or _has_shape(self.outlier_logits, batch, 2, *grid)
            )
            and (formula != "sml" or all(_has_shape(one, classes) for one in fitted))
        )

    def without_unread(self, channels: Sequence[KernelChannel]) -> HeadInputs:
        """Outlier logits only if a channel reads them: what they hold is nothing to others."""
        reads = any(FORMULAS[channel.score] in _OUTLIER_FORMULAS for channel in channels)
        return self if reads else self._replace(outlier_logits=None)


@dataclass(frozen=True)
class KernelChannel:
    """One map to compute.

    Attributes:
        score: key in ``FORMULAS``.
        temperature: its T.
        maximum: instead of a larger value or NaN.
        logistic: location and scale of the map that publishes it; None: the score as it is.
    """

    score: str
    temperature: float
    maximum: float
    logistic: tuple[float, float] | None = None


@dataclass(frozen=True)
class UnknownRule:
    """The rule of labels: where the first channel is above ``threshold``, ``label`` is written."""

    threshold: float
    label: int


class HeadMaps(NamedTuple):
    """What a kernel writes.

    Attributes:
        nearest: (B, H, W) uint8, ties to the lower class.
        values: (B, H, W) of every channel, free of NaN.
        labels: (B, H, W) uint8, by the first channel's values; None where no rule was given.
    """

    nearest: Tensor
    values: list[Tensor]
    labels: Tensor | None = None


def _has_shape(values: Tensor | None, *shape: int) -> bool:
    return values is not None and tuple(values.shape) == shape
