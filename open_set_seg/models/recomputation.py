"""Gradient checkpointing that leaves running statistics as they would be without it.

The usual way updates the statistics of every normalisation twice a step, once in the forward pass
and once when it is computed again for the gradients; here the second pass leaves them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

# How a network calls its units: one of the two functions below.
Call = Callable[..., Tensor]


def call_plainly(unit: nn.Module, *inputs: Tensor) -> Tensor:
    """``unit(*inputs)``."""
    result: Tensor = unit(*inputs)
    return result


def call_recomputed(unit: nn.Module, *inputs: Tensor) -> Tensor:
    """``unit(*inputs)``, which keeps only its inputs for the gradients and is computed again then.

    Same values, gradients and running statistics as ``call_plainly``; random numbers drawn inside
    are drawn alike in both passes.
    """

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), keep_statistics(unit)

    result: Tensor = checkpoint(unit, *inputs, use_reentrant=False, context_fn=contexts)
    return result


@contextmanager
def keep_statistics(unit: nn.Module) -> Iterator[None]:
    """Inside, the batch normalisations of ``unit`` read and change copies of their statistics."""
    # Copies rather than none: the backward pass wants as many saved tensors as there were.
    kept = [
        (module, name, tensor)
        for module in unit.modules()
        if isinstance(module, _BatchNorm)
        for name, tensor in module.named_buffers(recurse=False)
    ]
    for module, name, tensor in kept:
        setattr(module, name, tensor.clone())
    try:
        yield
    finally:
        for module, name, tensor in kept:
            setattr(module, name, tensor)
