"""What every backend is, and what it may say that it cannot do."""

from __future__ import annotations

from typing import Literal, Protocol

import torch

from open_set_seg.frame import ImageRGB
from open_set_seg.models import SegmentationOutput

Arithmetic = Literal["fp32", "bf16", "fp16"]


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


def shorten(error: Exception) -> str:
    """What a foreign library says, in one line of at most 200 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
