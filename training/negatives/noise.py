"""Negatives that nobody trained: what a learned source has to beat."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training.negatives.protocol import Drawn, NegativeSource, check_crops, measure_colours
from training.randomness import draw_normal, draw_uniform


class WhiteNoise(NegativeSource):
    """Every value of every pixel is uniform in [0, 1) and independent of all others."""

    def draw(self, crops: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        """See ``NegativeSource``; only the crops' size matters."""
        check_crops(crops, generators)
        patches = draw_uniform(generators, crops.shape[1:], crops)
        return Drawn(patches, {}, measure_colours(patches))


class FractalNoise(NegativeSource):
    """Coloured clouds: octaves of bilinear noise around a random colour.

    patch = clamp(m + s f), with one draw a patch of
        m: the mean colour, uniform in the RGB cube;
        s: the standard deviation, log-uniform in ``contrast``;
        f: a field of mean 0 and deviation 1 over the patch and its channels together. It sums
           octaves: normal noise at the corners of cells of 1, 2, 4, ... pixels, up to the longer
           side, bilinear between them, with amplitudes cell^a, a uniform in ``falloff`` (0: grain
           of all sizes alike, 2: smooth clouds). A channel is sqrt(r) of a field common to all
           and sqrt(1 - r) of one of its own, r uniform in [0, 1]: grey through to many colours.

    The ranges are meant to be wide and know nothing of any test's objects.
    """

    def __init__(
        self,
        contrast: tuple[float, float] = (0.02, 0.4),
        falloff: tuple[float, float] = (0.0, 2.0),
    ) -> None:
        super().__init__()
        if not (0 < contrast[0] <= contrast[1] and falloff[0] <= falloff[1]):
            raise ValueError(f"expected 0 < low <= high, found {contrast} and {falloff}")
        self.contrast = contrast
        self.falloff = falloff

    def draw(self, crops: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        """See ``NegativeSource``; only the crops' size matters."""
        check_crops(crops, generators)
        chosen = draw_uniform(generators, (6, 1, 1, 1), crops)
        colour, spread, decay, common = torch.split(chosen, [3, 1, 1, 1], dim=1)
        low, high = map(math.log, self.contrast)
        contrast = torch.exp(low + (high - low) * spread[:, 0])
        power = self.falloff[0] + (self.falloff[1] - self.falloff[0]) * decay[:, 0]
        fields = _sum_octaves(crops, generators, power)
        mixed = common[:, 0].sqrt() * fields[:, :1] + (1 - common[:, 0]).sqrt() * fields[:, 1:]
        deviation, mean = torch.std_mean(mixed, dim=(1, 2, 3), keepdim=True, correction=0)
        normal = (mixed - mean) / deviation.clamp(min=1e-6)
        patches = (colour[:, :, 0] + contrast * normal).clamp(0.0, 1.0)
        return Drawn(patches, {}, measure_colours(patches))


def _sum_octaves(crops: Tensor, generators: Sequence[torch.Generator], power: Tensor) -> Tensor:
    """(n, 4, h, w): a common field and one a channel, octaves weighed by cell^power."""
    height, width = crops.shape[2:]
    longest = max(height, width)
    total = crops.new_zeros(len(crops), 4, height, width)
    for octave in range(max(1, longest.bit_length())):
        cell = 2**octave
        rows, columns = -(-(height - 1) // cell) + 1, -(-(width - 1) // cell) + 1
        corners = draw_normal(generators, (4, rows, columns), crops)
        size = ((rows - 1) * cell + 1, (columns - 1) * cell + 1)
        smooth = functional.interpolate(corners, size, mode="bilinear", align_corners=True)
        total += (cell / longest) ** power * smooth[:, :, :height, :width]
    return total
