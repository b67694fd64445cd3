"""Random numbers that depend on a key alone: the recipe's seed, the use, the step and the image.

What an image of a batch gets thus depends neither on how the batch is split over processes nor on
where a run was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


def make_generator(*key: int) -> torch.Generator:
    """A generator on the CPU whose numbers are a function of ``key``.

    Args:
        key: whole numbers from 0, below 2^32; each use of random numbers has keys of one length.
    """
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def draw_normal(
    generators: Sequence[torch.Generator], shape: Sequence[int], like: Tensor
) -> Tensor:
    """Standard normal numbers (n, *shape), row i from generator i; type and device of ``like``."""
    return _draw(torch.randn, generators, shape, like)


def draw_uniform(
    generators: Sequence[torch.Generator], shape: Sequence[int], like: Tensor
) -> Tensor:
    """Uniform numbers in [0, 1), otherwise like ``draw_normal``."""
    return _draw(torch.rand, generators, shape, like)


def _draw(
    draw: Callable[..., Tensor],
    generators: Sequence[torch.Generator],
    shape: Sequence[int],
    like: Tensor,
) -> Tensor:
    # Half precision is drawn in float32, so that every precision sees the same numbers.
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    rows = [draw(tuple(shape), generator=each, dtype=dtype) for each in generators]
    return torch.stack(rows).to(device=like.device, dtype=like.dtype)
