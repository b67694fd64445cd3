"""A network as exported files hold it: one fixed size, one image in, the heads' maps out."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from open_set_seg.backends.protocol import OUTPUTS

INPUT = "image"
SMALLEST_PX = 32


@dataclass(frozen=True)
class ImageSize:
    """Pixels of the only images that an exported network takes.

    Raises:
        ValueError: less than 32 pixels, of which nothing is left at the deepest stride.
    """

    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.width, self.height) < SMALLEST_PX:
            raise ValueError(
                f"expected a size of at least {SMALLEST_PX}x{SMALLEST_PX} pixels, found {self}"
            )

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the input: one image, three planes."""
        return (1, 3, self.height, self.width)


class ExportedNetwork(nn.Module):
    """A network whose input and outputs are float32 whatever it computes in.

    Args:
        network: maps RGB (B, 3, H, W) on 0..255 to a ``SegmentationOutput``; it is copied.
        dtype: of weights and arithmetic.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval().to(dtype)
        self._dtype = dtype

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """``logits``, then ``outlier_logits`` where there is that head; features stay inside."""
        output = self.network(image.to(self._dtype))
        maps = (output.logits, output.outlier_logits)
        return tuple(one.float() for one in maps if one is not None)


def output_names(outlier_head: bool) -> list[str]:
    """Of what ``ExportedNetwork`` returns."""
    return list(OUTPUTS) if outlier_head else [OUTPUTS[0]]


def trace_network(network: ExportedNetwork, size: ImageSize) -> ExportedProgram:
    """The network's graph for images of one size.

    The size is fixed because the pyramid's grid follows from the aspect ratio.
    """
    image = torch.zeros(size.shape)
    with torch.no_grad(), warnings.catch_warnings():
        # torch's own use of what it deprecates.
        warnings.simplefilter("ignore", FutureWarning)
        return torch.export.export(network.eval(), (image,), strict=False)
