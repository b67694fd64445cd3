"""Copies between the host and a CUDA device that wait for each other as little as possible."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from open_set_seg.frame import ImageRGB


def view_image(rgb: ImageRGB) -> Tensor:
    """(H, W, 3) uint8 in the image's own memory; copied where torch cannot view it."""
    # Negative steps and read-only memory.
    if not rgb.flags.writeable or not rgb.flags.c_contiguous:
        rgb = rgb.copy()
    return torch.from_numpy(rgb)


def download(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors on the CPU; from a CUDA device with one wait for all of them.

    The copies lie in page-locked memory, which torch gives back to itself, not to the system, when
    they are dropped.
    """
    if not all(one.is_cuda for one in tensors):
        return [one.cpu() for one in tensors]
    copies = [torch.empty(one.shape, dtype=one.dtype, pin_memory=True) for one in tensors]
    for copy, one in zip(copies, tensors, strict=True):
        copy.copy_(one, non_blocking=True)
    for device in {one.device for one in tensors}:
        torch.cuda.current_stream(device).synchronize()
    return copies


class ImageUpload:
    """Images of one size, through page-locked memory to one place on a CUDA device.

    Attributes:
        image: (H, W, 3) uint8 on the device.
    """

    def __init__(self, size: tuple[int, int], device: torch.device) -> None:
        self._staged = torch.empty((*size, 3), dtype=torch.uint8, pin_memory=True)
        self.image = torch.zeros((*size, 3), dtype=torch.uint8, device=device)
        self._sent = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def __call__(self, rgb: ImageRGB) -> None:
        """Start copying; the work of the current stream comes after it."""
        # The previous image may still be on its way out of the same memory.
        self._sent.synchronize()
        self._staged.copy_(view_image(rgb))
        self.image.copy_(self._staged, non_blocking=True)
        self._sent.record(torch.cuda.current_stream(self.image.device))
