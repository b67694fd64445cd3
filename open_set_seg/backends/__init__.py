"""What runs the network: one interface, an image in, the network's maps out."""

from __future__ import annotations

from typing import Protocol

import torch

from open_set_seg.backends.pytorch import Arithmetic, PyTorchBackend
from open_set_seg.frame import ImageRGB
from open_set_seg.models import SegmentationOutput

__all__ = ["Arithmetic", "Backend", "PyTorchBackend"]


class Backend(Protocol):
    """One network on one device, in evaluation mode.

    Attributes:
        name: key of the backend.
        device: where its output lies.
        description: backend, device and arithmetic in words.
    """

    name: str
    device: torch.device
    description: str

    def __call__(self, rgb: ImageRGB) -> SegmentationOutput:
        """The network's output for an (H, W, 3) uint8 image of any size, as a batch of one.

        The tensors may be overwritten by the next call.
        """
