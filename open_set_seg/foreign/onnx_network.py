"""An ONNX graph as a network in PyTorch, computed by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from open_set_seg.backends.onnxruntime import open_session
from open_set_seg.backends.protocol import shorten
from open_set_seg.models import AdapterError

_DTYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}


class OnnxNetwork(nn.Module):
    """The first output of an ONNX graph with one image (B, 3, H, W) as its input.

    No gradient passes through it, and it computes in its own arithmetic.

    Args:
        path: of the graph.
        device: where it is computed.

    Raises:
        BackendError: ONNX Runtime is missing, cannot use the device or cannot read the file.
        AdapterError: a graph with another input.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        super().__init__()
        self._session = open_session(path, device)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _DTYPES:
            found = ", ".join(f"{one.name} {one.shape} {one.type}" for one in inputs)
            raise AdapterError(
                f"{path}: expected one input (B, 3, H, W) of {' or '.join(_DTYPES)}, found {found}"
            )
        self._input = inputs[0]

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(H, W) if the graph takes nothing else."""
        height, width = self._input.shape[2:]
        fixed = isinstance(height, int) and isinstance(width, int)
        return (height, width) if fixed else None

    def forward(self, image: Tensor) -> Tensor:
        """The graph's first output.

        Raises:
            AdapterError: the graph fails on such an image, or a gradient is wanted.
        """
        if image.requires_grad:
            raise AdapterError("no gradient passes through an ONNX graph: leave ODIN out")
        values = image.to(_DTYPES[self._input.type]).contiguous().cpu().numpy()
        try:
            found = self._session.run(None, {self._input.name: values})[0]
        except Exception as error:  # its own classes, one for every kind of failure
            raise AdapterError(
                f"the graph fails on an image of shape {tuple(image.shape)}: {shorten(error)}"
            ) from error
        return torch.from_numpy(found).to(image.device)
