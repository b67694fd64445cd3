"""Normalizing flows on images of any size: densities, samples that carry gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from training.flow.bijections import ActNorm, Bijection, standard_normal_log_density
from training.flow.coupling_networks import GaussianNetwork
from training.flow.noise import NoiseSource
from training.randomness import draw_normal, draw_uniform

LEVELS = 256  # of an 8-bit image

End = Literal["clamp", "straight_through"]


class DiagonalGaussian(nn.Module):
    """Independent Gaussians, with a mean and a log-deviation for each channel, at any size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.log_deviation = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def log_prob(self, z: Tensor) -> Tensor:
        """(B, C, H, W) -> (B,), in nats."""
        raw = (z - self.mean) * (-self.log_deviation).exp()
        pixels = z.shape[2] * z.shape[3]
        return standard_normal_log_density(raw) - self.log_deviation.sum() * pixels

    def scale(self, raw: Tensor) -> Tensor:
        """From standard normal numbers to those of this distribution."""
        return self.mean + self.log_deviation.exp() * raw


class ImageFlow(nn.Module):
    """A normalizing flow on images of C channels whose sides are multiples of ``multiple``.

    Points y = (x + u) / 256, with integers x of 0..255 and u uniform in [0, 1), are shifted by -1/2
    and mapped by ``body`` to latents (B, D, H / multiple, W / multiple) with a Gaussian density.

    Densities and samples are computed at the precision of the parameters, autocast or not: half
    precision would lose the inverse.

    Args:
        body: the bijection.
        latent_channels: D.
        multiple: see above.
        end: what ends the inverse. ``clamp``: values outside [0, 1] are cut off, and pass no
            gradient on. ``straight_through``: they are cut off, and pass the gradient on unchanged.
        checkpointing: in the backward pass compute coupling networks again instead of keeping
            what they computed: less memory, more time, the same results.
        channels: C.

    Raises:
        ValueError: an ``end`` that is none.
    """

    def __init__(
        self,
        body: Bijection,
        latent_channels: int,
        multiple: int,
        end: End = "clamp",
        checkpointing: bool = False,
        channels: int = 3,
    ) -> None:
        super().__init__()
        if end not in get_args(End):
            raise ValueError(f"expected an end of {', '.join(get_args(End))}, found {end!r}")
        self.body = body
        self.base = DiagonalGaussian(latent_channels)
        self.latent_channels = latent_channels
        self.multiple = multiple
        self.end = end
        self.channels = channels
        self.checkpointing = checkpointing

    @property
    def checkpointing(self) -> bool:
        """Whether coupling networks are computed again in the backward pass."""
        return self._checkpointing

    @checkpointing.setter
    def checkpointing(self, wanted: bool) -> None:
        self._checkpointing = wanted
        for module in self.modules():
            if isinstance(module, GaussianNetwork):
                module.checkpointing = wanted

    def log_prob(self, images: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """ln p of discrete images, in nats: one draw of the lower bound by dequantisation.

        E_u ln p((x + u) / 256) - C H W ln 256 <= ln P(x) (Theis et al. 2016, section 3.1); noise
        that the flow appends makes a lower bound in the same way. The first call in training mode
        initialises the ActNorm layers with its images, see ``initialise``.

        Args:
            images: (B, C, H, W), integers 0..255 of any type.
            generators: one for each image; what an image gets depends on its own alone.

        Returns:
            (B,), with a gradient to all parameters.

        Raises:
            ValueError: images of another shape, size or range, or another number of generators.
        """
        self._check_images(images, generators)
        like = self.base.mean
        dequantised = images.to(like) + draw_uniform(generators, images.shape[1:], like)
        latents, contribution = self.encode(dequantised / LEVELS, NoiseSource(generators))
        dimensions = images[0].numel()
        return contribution + self.base.log_prob(latents) - dimensions * math.log(LEVELS)

    def bits_per_dim(self, images: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """-log2 p over the number of values of an image, (B,); 8 for uniform noise at best."""
        return -self.log_prob(images, generators) / (math.log(2) * images[0].numel())

    def sample(
        self,
        height: int,
        width: int,
        generators: Sequence[torch.Generator],
        temperature: float = 1.0,
    ) -> Tensor:
        """Images of the model in [0, 1], not rounded: (n, C, H, W), one for each generator.

        Differentiable in the parameters; how gradients pass the ends of the range, ``end`` says.

        Args:
            height: H, a multiple of ``multiple``; ``width``, W, likewise.
            generators: one for each image; what an image gets depends on its own alone.
            temperature: factor on the deviation of all latents.

        Raises:
            ValueError: a size that is no multiple, no generators, or a negative temperature.
        """
        self._check_size(height, width)
        if not generators or temperature < 0:
            raise ValueError(
                "expected at least one generator and a temperature of at least 0, found "
                f"{len(generators)} and {temperature}"
            )
        shape = (self.latent_channels, height // self.multiple, width // self.multiple)
        raw = draw_normal(generators, shape, self.base.mean)
        latents = self.base.scale(raw * temperature)
        return self.finish(self.decode(latents, NoiseSource(generators, temperature)))

    def initialise(self, images: Tensor, generators: Sequence[torch.Generator]) -> None:
        """Set every ActNorm so that its outputs on these images have mean 0 and variance 1.

        What the first ``log_prob`` in training mode does by itself; here any time, and again.

        Raises:
            ValueError: as ``log_prob``, or too few and small images for a variance.
        """
        training = self.training
        for module in self.modules():
            if isinstance(module, ActNorm):
                module.initialised.fill_(False)
        try:
            with torch.no_grad():
                self.train().log_prob(images, generators)
        finally:
            self.train(training)

    def encode(self, points: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """Points (B, C, H, W) of [0, 1] -> latents, contributions to the log-density (B,)."""
        with torch.autocast(points.device.type, enabled=False):
            latents, contribution = self.body(points - 0.5, noise)
        return latents, contribution

    def decode(self, latents: Tensor, noise: NoiseSource) -> Tensor:
        """The inverse of ``encode``, without any end: points may lie outside [0, 1]."""
        with torch.autocast(latents.device.type, enabled=False):
            return self.body.inverse(latents, noise) + 0.5

    def finish(self, points: Tensor) -> Tensor:
        """Cut off what lies outside [0, 1], with the gradient that ``end`` says."""
        clamped = points.clamp(0.0, 1.0)
        if self.end == "clamp":
            return clamped
        # The difference is exactly 0: the value is that of the clamp, to the last bit.
        return clamped.detach() + (points - points.detach())

    def _check_images(self, images: Tensor, generators: Sequence[torch.Generator]) -> None:
        if images.ndim != 4 or images.shape[1] != self.channels or len(images) == 0:
            raise ValueError(
                f"expected images of shape (B, {self.channels}, H, W), found {tuple(images.shape)}"
            )
        self._check_size(*images.shape[2:])
        if len(generators) != len(images):
            raise ValueError(
                f"expected a generator for each of {len(images)} images, found {len(generators)}"
            )
        whole = (images == images.round()) if images.is_floating_point() else images == images
        if not (whole & (images >= 0) & (images <= LEVELS - 1)).all():
            raise ValueError(
                f"expected integers from 0 to {LEVELS - 1}, found values from {images.min():g} to "
                f"{images.max():g}"
            )

    def _check_size(self, height: int, width: int) -> None:
        if min(height, width) < 1 or height % self.multiple or width % self.multiple:
            raise ValueError(
                f"expected a height and a width that are multiples of {self.multiple}, found "
                f"{height} x {width}"
            )


def check_counts(**counts: int) -> None:
    """Raise ``ValueError`` unless each is a whole number of at least 1."""
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"expected a whole number of at least 1 for {name}, found {count!r}")
