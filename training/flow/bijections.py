"""Invertible layers: what every flow of this package is built of.

A bijection maps x (B, C, H, W) to z and tells how much log-density the step contributes to each
image, in nats: ln |det dz/dx|, plus ln p of channels that it drops, minus ln q of noise that it
appends. So ln p(x) >= sum of contributions + ln p(latents), with equality where nothing is appended
(Grcic et al., DenseFlow). Inverses are differentiable in parameters and latents.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.flow.coupling_networks import GaussianNetwork, split_log_scale
from training.flow.noise import NoiseSource


class Bijection(nn.Module):
    """One invertible layer."""

    def forward(self, x: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """x (B, C, H, W) -> z and its contribution to the log-density (B,), in nats."""
        raise NotImplementedError

    def inverse(self, z: Tensor, noise: NoiseSource) -> Tensor:
        """The x of z; channels that were dropped are drawn from ``noise``."""
        raise NotImplementedError


class Chain(Bijection):
    """Bijections one after the other."""

    def __init__(self, *parts: Bijection) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """Contributions add up."""
        total = x.new_zeros(len(x))
        for part in self.parts:
            x, contribution = part(x, noise)
            total = total + contribution
        return x, total

    def inverse(self, z: Tensor, noise: NoiseSource) -> Tensor:
        """The inverses in reverse order."""
        for part in reversed(self.parts):
            assert isinstance(part, Bijection)
            z = part.inverse(z, noise)
        return z


class Squeeze(Bijection):
    """2 x 2 pixels of a channel, in row-major order, become four neighbouring channels."""

    def forward(self, x: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> (B, 4C, H/2, W/2)."""
        return functional.pixel_unshuffle(x, 2), x.new_zeros(len(x))

    def inverse(self, z: Tensor, noise: NoiseSource) -> Tensor:
        """(B, 4C, h, w) -> (B, C, 2h, 2w)."""
        return functional.pixel_shuffle(z, 2)


class ActNorm(Bijection):
    """z = (x + shift) exp(log_scale) for each channel (Kingma and Dhariwal, Glow, section 3.1).

    The first batch in training mode sets both so that z has mean 0 and variance 1 over batch and
    space; the buffer ``initialised`` says that this has happened.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.initialised: Tensor
        self.register_buffer("initialised", torch.tensor(False))

    def forward(self, x: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """ln |det| = H W sum_c log_scale_c, the same for every image."""
        if self.training and not self.initialised:
            self._initialise(x)
        log_det = self.log_scale.sum() * (x.shape[2] * x.shape[3])
        return (x + self.shift) * self.log_scale.exp(), log_det.expand(len(x))

    def inverse(self, z: Tensor, noise: NoiseSource) -> Tensor:
        """x = z exp(-log_scale) - shift."""
        return z * (-self.log_scale).exp() - self.shift

    @torch.no_grad()
    def _initialise(self, x: Tensor) -> None:
        if len(x) * x.shape[2] * x.shape[3] < 2:
            raise ValueError(
                "expected at least two values of each channel to initialise a flow with, found one "
                f"in a tensor of shape {tuple(x.shape)}: give more or larger images"
            )
        deviation, mean = torch.std_mean(x, dim=(0, 2, 3), correction=0, keepdim=True)
        self.shift.copy_(-mean)
        self.log_scale.copy_(-torch.log(deviation + 1e-6))
        self.initialised.fill_(True)


class InvertibleConv1x1(Bijection):
    """z = W x at every pixel, with a dense C x C matrix W, orthogonal at first (Glow, section 3.2).

    C is small, so the determinant and the inverse are computed again at every call: the inverse
    then is differentiable in W and never out of date.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(channels, channels)))

    def forward(self, x: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """ln |det| = H W ln |det W|, the same for every image."""
        log_det = torch.linalg.slogdet(self.weight)[1] * (x.shape[2] * x.shape[3])
        return functional.conv2d(x, self.weight[:, :, None, None]), log_det.expand(len(x))

    def inverse(self, z: Tensor, noise: NoiseSource) -> Tensor:
        """x = W^-1 z."""
        return functional.conv2d(z, torch.linalg.inv(self.weight)[:, :, None, None])


class AffineCoupling(Bijection):
    """The first half a of the channels rules an affine map of the second half b; then they swap.

    z = (shift + exp(s) b, a) with (s, shift) from a network of a, s in (-2, 2) (Dinh et al., Real
    NVP, section 3.2). Of an odd number of channels the larger part is a.

    Args:
        channels: C.
        network: (B, C - C // 2, H, W) -> (B, 2 (C // 2), H, W), see ``split_log_scale``.
    """

    def __init__(self, channels: int, network: GaussianNetwork) -> None:
        super().__init__()
        self.changed = channels // 2
        self.network = network

    def forward(self, x: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """ln |det| = sum of s over channels and pixels."""
        ruling, ruled = torch.split(x, [x.shape[1] - self.changed, self.changed], 1)
        log_scale, shift = split_log_scale(self.network(ruling))
        z = torch.cat((shift + log_scale.exp() * ruled, ruling), dim=1)
        return z, log_scale.sum(dim=(1, 2, 3))

    def inverse(self, z: Tensor, noise: NoiseSource) -> Tensor:
        """b = (z_1 - shift) exp(-s)."""
        ruled, ruling = torch.split(z, [self.changed, z.shape[1] - self.changed], 1)
        log_scale, shift = split_log_scale(self.network(ruling))
        return torch.cat((ruling, (ruled - shift) * (-log_scale).exp()), dim=1)


class FactorOut(Bijection):
    """Drops the second half of the channels (Dinh et al., Real NVP, section 3.6).

    Without a network the dropped half is standard normal; with one it is normal with the mean and
    log-deviation that the network gives for the other half (Glow, published code). The inverse
    draws it again.

    Args:
        network: (B, C / 2, H, W) -> (B, C, H, W), see ``split_log_scale``; None for none.
    """

    def __init__(self, network: GaussianNetwork | None = None) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """The contribution is ln p of the dropped half given the other."""
        kept, dropped = x.chunk(2, dim=1)
        noise.keep(dropped)
        if self.network is None:
            return kept, standard_normal_log_density(dropped)
        log_scale, mean = split_log_scale(self.network(kept))
        raw = (dropped - mean) * (-log_scale).exp()
        return kept, standard_normal_log_density(raw) - log_scale.sum(dim=(1, 2, 3))

    def inverse(self, z: Tensor, noise: NoiseSource) -> Tensor:
        """(B, C / 2, H, W) -> (B, C, H, W)."""
        dropped = noise.take_kept()
        if dropped is None:
            dropped = noise.normal(z.shape[1:], z) * noise.temperature
            if self.network is not None:
                log_scale, mean = split_log_scale(self.network(z))
                dropped = mean + log_scale.exp() * dropped
        return torch.cat((z, dropped), dim=1)


def standard_normal_log_density(x: Tensor) -> Tensor:
    """ln N(x; 0, I) of every image (B,), in nats."""
    return -0.5 * (x.square() + math.log(2 * math.pi)).sum(dim=(1, 2, 3))


def glow_step(channels: int, network: GaussianNetwork) -> Chain:
    """ActNorm, 1 x 1 convolution, affine coupling (Glow, figure 2a)."""
    return Chain(ActNorm(channels), InvertibleConv1x1(channels), AffineCoupling(channels, network))
