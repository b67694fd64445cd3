"""Whether a converted network still says what the network in PyTorch says."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from open_set_seg.backends.protocol import OUTPUTS, Arithmetic, Backend, BackendError

# Largest deviation in standard deviations of the output. For fp32 of any logit: rounding makes
# about 1e-5. For less of the root mean square: rounding makes 0.01 to 0.03, and another network
# about 1.
LIMITS: dict[Arithmetic, float] = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.1}


def check_agreement(
    backend: Backend, reference: Backend, arithmetic: Arithmetic, size: tuple[int, int]
) -> None:
    """Compare two backends on an image of noise, always the same one.

    Args:
        backend: what was converted.
        reference: the network in PyTorch, fp32.
        arithmetic: of ``backend``.
        size: (H, W) of the image.

    Raises:
        BackendError: they differ by more than rounding.
    """
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found, expected = backend(rgb), reference(rgb)
    for name in OUTPUTS:
        there, wanted = getattr(found, name), getattr(expected, name)
        if (there is None) != (wanted is None):
            raise BackendError(f"{backend.name} and PyTorch do not both give {name}")
        if wanted is None:
            continue
        if there.shape != wanted.shape:
            shapes = f"{tuple(there.shape)} instead of {tuple(wanted.shape)}"
            raise BackendError(f"{backend.name} gives {name} of shape {shapes}")
        difference = measure_deviation(there, wanted, worst=arithmetic == "fp32")
        if not difference <= LIMITS[arithmetic]:
            raise BackendError(
                f"{backend.name} ({arithmetic}) and PyTorch differ in {name} by {difference:.2g} "
                f"standard deviations, expected at most {LIMITS[arithmetic]:g}"
            )


def measure_deviation(found: Tensor, expected: Tensor, worst: bool) -> float:
    """Difference of two tensors of one shape in standard deviations of the second.

    Args:
        worst: the largest difference; else the root of the mean square.

    Returns:
        the deviation; infinity where one is a number and the other is none.
    """
    found, expected = found.double(), expected.double()
    known = torch.isfinite(expected)
    if not torch.equal(known, torch.isfinite(found)):
        return math.inf
    found, expected = found[known], expected[known]
    if not expected.numel():
        return 0.0
    difference = (found - expected).abs()
    # A network that answers everything alike is judged by the size of its answer.
    spread = max(expected.std(correction=0).item(), 0.1 * expected.abs().max().item())
    size = difference.max().item() if worst else difference.square().mean().sqrt().item()
    if spread == 0.0:
        return 0.0 if size == 0.0 else math.inf
    return size / spread
