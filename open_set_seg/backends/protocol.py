"""What every backend is, and what it may say that it cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeVar

import torch

from open_set_seg.frame import ImageRGB
from open_set_seg.models import SegmentationOutput

Arithmetic = Literal["fp32", "bf16", "fp16"]
# What backends without features give, in this order.
OUTPUTS = SegmentationOutput._fields[:2]
Port = TypeVar("Port")


class BackendError(ValueError):
    """A backend that is not there, or that cannot run this network; says why in one line."""


class Backend(Protocol):
    """One network on one device, in evaluation mode."""

    @property
    def name(self) -> str:
        """Key of the backend."""

    @property
    def device(self) -> torch.device:
        """Where its output lies."""

    @property
    def description(self) -> str:
        """Backend, device and arithmetic in words."""

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(H, W) of the only images that it takes; None: of any."""

    def __call__(self, rgb: ImageRGB) -> SegmentationOutput:
        """The network's output for an (H, W, 3) uint8 image, as a batch of one.

        The tensors may be overwritten by the next call.

        Raises:
            BackendError: the network cannot be run on an image of this size.
        """


def find_outputs(by_name: Mapping[str, Port], ports: Sequence[Port]) -> dict[str, Port]:
    """The outputs of a model by the names of ``OUTPUTS``; a single output is the logits.

    Args:
        by_name: outputs that have names.
        ports: all outputs.

    Raises:
        BackendError: there are no logits.
    """
    found = {name: by_name[name] for name in OUTPUTS if name in by_name}
    if not found and len(ports) == 1:
        return {OUTPUTS[0]: ports[0]}
    if OUTPUTS[0] not in found:
        raise BackendError(f"expected an output {OUTPUTS[0]!r}, found {', '.join(by_name)}")
    return found


def shorten(error: Exception) -> str:
    """What a foreign library says, in one line of at most 200 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
