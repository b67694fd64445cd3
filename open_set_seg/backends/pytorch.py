"""The network in PyTorch, on a CPU or a CUDA device."""

from __future__ import annotations

import platform

import torch
from torch import Tensor, nn

from open_set_seg.backends.protocol import Arithmetic
from open_set_seg.backends.transfer import view_image
from open_set_seg.frame import ImageRGB
from open_set_seg.models import SegmentationOutput

DTYPES: dict[Arithmetic, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


class PyTorchBackend:
    """Runs a network as it is.

    Args:
        network: maps RGB (B, 3, H, W) on 0..255 to a ``SegmentationOutput``; it is moved.
        device: where to.
        arithmetic: of the network.
    """

    name = "pytorch"
    image_size: tuple[int, int] | None = None

    def __init__(self, network: nn.Module, device: torch.device, arithmetic: Arithmetic) -> None:
        self.device = device
        self._dtype = DTYPES[arithmetic]
        # What is moved in a caller's inference mode could never have a gradient.
        with torch.inference_mode(False):
            network = network.eval().to(device=device, dtype=self._dtype)
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: nn.Module = network
        if device.type == "cuda":
            where = f"{device} ({torch.cuda.get_device_name(device)})"
        else:
            where = f"{device} ({platform.machine()}, {torch.get_num_threads()} threads)"
        self.description = f"PyTorch on {where}, {arithmetic}"

    def __call__(self, rgb: ImageRGB) -> SegmentationOutput:
        """See ``Backend``."""
        with torch.inference_mode():
            output: SegmentationOutput = self.network(self.image_tensor(rgb))
        return output

    def image_tensor(self, rgb: ImageRGB) -> Tensor:
        """What the network takes: (1, 3, H, W) on 0..255 on the device."""
        return self.prepare(view_image(rgb).to(self.device))

    def prepare(self, image: Tensor) -> Tensor:
        """What the network takes, of an (H, W, 3) uint8 image on the device."""
        # Bytes in this order are a channels-last image already: a view, and one conversion.
        return image.permute(2, 0, 1).unsqueeze(0).to(torch.float32).to(self._dtype)
