"""RealNVP (Dinh, Sohl-Dickstein and Bengio 2017), the weaker flow of the comparison."""

from __future__ import annotations

import torch
from torch import Tensor

from training.flow.bijections import (
    ActNorm,
    AffineCoupling,
    Bijection,
    Chain,
    FactorOut,
    Squeeze,
)
from training.flow.coupling_networks import GaussianNetwork, ResidualNetwork, split_log_scale
from training.flow.image_flow import End, ImageFlow, check_counts
from training.flow.noise import NoiseSource

CHECKERBOARDS = 3  # couplings of each kind at every scale but the last
CHANNEL_SPLITS = 3
LAST_CHECKERBOARDS = 4


class CheckerboardCoupling(Bijection):
    """The pixels of one colour of a checkerboard rule an affine map of the others (figure 3, left).

    z = b x + (1 - b)(shift + exp(s) x) with (s, shift) from a network of b x, b the mask of the
    ruling pixels.

    Args:
        network: (B, C, H, W) -> (B, 2C, H, W), see ``split_log_scale``.
        parity: of row + column of the ruling pixels, 0 or 1.
    """

    def __init__(self, network: GaussianNetwork, parity: int) -> None:
        super().__init__()
        self.network = network
        self.parity = parity

    def forward(self, x: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """ln |det| = sum of s over the pixels that change."""
        log_scale, shift = self._affine(x)
        return shift + log_scale.exp() * x, log_scale.sum(dim=(1, 2, 3))

    def inverse(self, z: Tensor, noise: NoiseSource) -> Tensor:
        """x = (z - shift) exp(-s) where pixels change."""
        log_scale, shift = self._affine(z)
        return (z - shift) * (-log_scale).exp()

    def _affine(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Log-scale and shift, both 0 at the ruling pixels."""
        rows = torch.arange(x.shape[2], device=x.device)[:, None]
        columns = torch.arange(x.shape[3], device=x.device)
        ruling = ((rows + columns) % 2 == self.parity).to(x.dtype)
        log_scale, shift = split_log_scale(self.network(ruling * x))
        return (1 - ruling) * log_scale, (1 - ruling) * shift


class RealNVP(ImageFlow):
    """The multi-scale architecture of section 3.6: affine couplings and no 1 x 1 convolutions.

    Each scale: three couplings by checkerboard, a squeeze, three by channels, half of the channels
    leave as standard normal numbers; at the last scale four couplings by checkerboard. Hidden
    channels double with every squeeze.

    What differs from the paper: ActNorm after each coupling instead of batch normalisation, so that
    densities are the same in training and evaluation; no batch or weight normalisation inside the
    residual networks; log-scales bounded by 2 tanh(s / 2); a shift by -1/2 instead of the logit of
    the pixels.

    Args:
        levels: number of squeezes; sides are multiples of 2 ** levels.
        hidden: channels inside the first coupling networks.
        blocks: residual blocks of each coupling network.
        end: see ``ImageFlow``; ``checkpointing`` too.

    Raises:
        ValueError: a number below 1, or an ``end`` that is none.
    """

    def __init__(
        self,
        levels: int = 3,
        hidden: int = 32,
        blocks: int = 2,
        end: End = "clamp",
        checkpointing: bool = False,
    ) -> None:
        check_counts(levels=levels, hidden=hidden, blocks=blocks)
        parts: list[Bijection] = []
        channels = 3
        for level in range(levels):
            width = hidden * 2**level
            parts += _checkerboards(channels, width, blocks, CHECKERBOARDS)
            channels *= 4
            parts.append(Squeeze())
            for _ in range(CHANNEL_SPLITS):
                ruled = channels // 2
                network = ResidualNetwork(channels - ruled, 2 * ruled, 2 * width, blocks)
                parts += [AffineCoupling(channels, network), ActNorm(channels)]
            channels //= 2
            parts.append(FactorOut())
        width = hidden * 2**levels
        parts += _checkerboards(channels, width, blocks, LAST_CHECKERBOARDS)
        super().__init__(Chain(*parts), channels, 2**levels, end, checkpointing)


def _checkerboards(channels: int, width: int, blocks: int, count: int) -> list[Bijection]:
    """Couplings with alternating colours."""
    parts: list[Bijection] = []
    for index in range(count):
        network = ResidualNetwork(channels, 2 * channels, width, blocks)
        parts += [CheckerboardCoupling(network, index % 2), ActNorm(channels)]
    return parts
