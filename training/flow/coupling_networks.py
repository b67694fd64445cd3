"""Networks inside flows: from the channels that are known to scale and shift of those that are not.

None has a normalisation layer or dropout, so that densities are the same in training and
evaluation, and an image's do not depend on the rest of its batch. The last convolution of each is
zero at first: a fresh coupling is the identity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from open_set_seg.models.recomputation import call_plainly, call_recomputed


def split_log_scale(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Log-scale 2 tanh(s / 2), in (-2, 2), and shift: (B, 2C, H, W) -> two of (B, C, H, W).

    The two numbers of a channel, s and shift, are neighbours. (Grcic et al., DenseFlow, published
    models.)
    """
    count, channels, height, width = outputs.shape
    pairs = outputs.view(count, channels // 2, 2, height, width)
    return 2.0 * torch.tanh(pairs[:, :, 0] / 2.0), pairs[:, :, 1]


class GaussianNetwork(nn.Module):
    """Any network whose outputs ``split_log_scale`` reads.

    Attributes:
        checkpointing: in the backward pass compute the layers again instead of keeping what they
            computed: less memory, more time, the same results.
    """

    def __init__(self, layers: nn.Module, last: nn.Conv2d) -> None:
        super().__init__()
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(layers, last)
        self.checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 2D, H, W), any H and W."""
        call = call_recomputed if self.checkpointing and torch.is_grad_enabled() else call_plainly
        return call(self.layers, x)


class LinearNetwork(GaussianNetwork):
    """One 3 x 3 convolution."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(nn.Identity(), nn.Conv2d(channels, outputs, 3, padding=1))


class ConvolutionalNetwork(GaussianNetwork):
    """3 x 3, 1 x 1 and 3 x 3 convolutions with ReLU between (Glow, section 3.3)."""

    def __init__(self, channels: int, outputs: int, hidden: int) -> None:
        layers = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(inplace=True),
        )
        super().__init__(layers, nn.Conv2d(hidden, outputs, 3, padding=1))


class ResidualNetwork(GaussianNetwork):
    """A 3 x 3 convolution, residual blocks, ReLU, a 1 x 1 convolution (Dinh et al.)."""

    def __init__(self, channels: int, outputs: int, hidden: int, blocks: int) -> None:
        layers = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, padding=1),
            *(ResidualBlock(hidden) for _ in range(blocks)),
            nn.ReLU(),
        )
        super().__init__(layers, nn.Conv2d(hidden, outputs, 1))


class ResidualBlock(nn.Module):
    """x + f(x), where f is ReLU and a 3 x 3 convolution, twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        result: Tensor = x + self.layers(x)
        return result
