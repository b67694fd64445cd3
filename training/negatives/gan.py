"""Negatives of a generative adversarial network that learns with the segmenter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from training.negatives.protocol import Drawn, NegativeSource, check_crops, measure_colours
from training.randomness import draw_normal

MULTIPLE = 8  # pixels of a latent cell, three doublings


class Generator(nn.Module):
    """Fully convolutional: latents (n, Z, h / 8, w / 8) to patches (n, 3, h, w) in (0, 1).

    Normalisation is over an image's own groups of channels: a patch depends on its latent alone.
    """

    def __init__(self, latent_channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(latent_channels, 4 * width, 3, padding=1)]
        for inputs, outputs in ((4, 4), (4, 2), (2, 1)):
            layers += [
                nn.GroupNorm(4, inputs * width),
                nn.ReLU(),
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv2d(inputs * width, outputs * width, 3, padding=1),
            ]
        layers += [nn.GroupNorm(4, width), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """(n, Z, h / 8, w / 8) to (n, 3, h, w)."""
        return torch.sigmoid(self.layers(latents))


class Discriminator(nn.Module):
    """Fully convolutional: patches (n, 3, h, w) in [0, 1] to logits (n,), high for real ones.

    The logit is the mean of those of all places at stride 8, so that any size will do.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 3, padding=1))

    def forward(self, patches: Tensor) -> Tensor:
        """(n, 3, h, w) to (n,)."""
        logits: Tensor = self.layers(2.0 * patches - 1.0)
        return logits.mean(dim=(1, 2, 3))


class AdversarialPatches(NegativeSource):
    """Samples of a generator that is to fool a discriminator and to leave the segmenter undecided.

    The scheme of Lee et al. 2018 (Training confidence-calibrated classifiers), as compared with in
    NFlowJS, equation 8 and table 8, with the non-saturating loss of the generator:

        discriminator: mean of -ln D(x_crop) - ln(1 - D(G(z))), of samples without a gradient
        generator: mean of -ln D(G(z)), with the discriminator's parameters held constant

    so a single backward pass of both with the segmenter's loss gives each network the gradient of
    its own objective. Weights start from torch's global generator.

    Args:
        latent_channels: Z, normal numbers in every cell of 8 x 8 pixels.
        width: channels of both networks at their widest resolution; a multiple of 4.
    """

    def __init__(self, latent_channels: int = 32, width: int = 32) -> None:
        super().__init__()
        if latent_channels < 1 or width < 4 or width % 4:
            raise ValueError(
                f"latent_channels must be positive and width a multiple of 4, "
                f"found {latent_channels} and {width}"
            )
        self.latent_channels = latent_channels
        self.generator = Generator(latent_channels, width)
        self.discriminator = Discriminator(width)

    def draw(self, crops: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        """See ``NegativeSource``; sides are multiples of 8.

        ``measures`` has the mean probabilities that the discriminator gives real crops and samples
        of being real.
        """
        check_crops(crops, generators, MULTIPLE)
        cells = (crops.shape[2] // MULTIPLE, crops.shape[3] // MULTIPLE)
        patches = self.generator(draw_normal(generators, (self.latent_channels, *cells), crops))
        constant = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        judged = functional_call(self.discriminator, constant, (patches,))
        real = self.discriminator(crops / 255.0)
        invented = self.discriminator(patches.detach())
        losses = {
            "generator": functional.softplus(-judged).mean(),
            "discriminator": (functional.softplus(-real) + functional.softplus(invented)).mean(),
        }
        trust = torch.sigmoid(torch.stack([real.detach(), invented.detach()])).mean(dim=1).tolist()
        measures = {"real": trust[0], "invented": trust[1], **measure_colours(patches)}
        return Drawn(patches, losses, measures)
