"""A score on the pixels of all scenes: pooled figures, figures of resamples, and chance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import FloatImage
from open_set_seg.metrics import ImageCounts
from open_set_seg.metrics.bootstrap import Counts
from training.study.measuring.answers import BESIDE, IGNORED, ROAD, UNKNOWN, Codes, image_id
from training.study.measuring.pixel_figures import Scores, pixel_figures

# The known pixels of a region; all unknown ones belong to it.
REGIONS: dict[str, tuple[int, ...]] = {"whole": (BESIDE, ROAD), "road": (ROAD,)}
RESAMPLED_FIGURES = ("AP", "FPR95")
_SHIFTS = 17  # use of random numbers


@dataclass(frozen=True, eq=False)
class ScorePixels:
    """A score on the pixels of all scenes, by their code, in the order of the scenes."""

    beside: Scores
    road: Scores
    unknown: Scores

    @classmethod
    def gather(cls, maps: Iterable[FloatImage], codes: Iterable[Codes]) -> ScorePixels:
        """The pixels of the maps of all scenes."""
        parts: dict[int, list[Scores]] = {BESIDE: [], ROAD: [], UNKNOWN: []}
        for values, code in zip(maps, codes, strict=True):
            for kind, found in parts.items():
                found.append(values[code == kind])
        return cls(*(np.concatenate(found) for found in parts.values()))

    def by_region(self) -> dict[str, dict[str, float]]:
        """``pixel_figures`` of the whole image and of the road."""
        road, beside = np.sort(self.road), np.sort(self.beside)
        return {
            "whole": pixel_figures(self.unknown, [road, beside]),
            "road": pixel_figures(self.unknown, [road]),
        }

    def prevalence(self) -> dict[str, float]:
        """Share of unknown pixels of the whole image and of the road; NaN where there is none."""
        unknown, road, whole = self.unknown.size, self.road.size, self.road.size + self.beside.size
        known = {"whole": whole, "road": road}
        return {
            region: unknown / (unknown + px) if unknown + px else math.nan
            for region, px in known.items()
        }


def resample_figures(
    maps: Iterable[FloatImage], codes: Iterable[Codes], draws: Counts
) -> dict[str, dict[str, list[float]]]:
    """AP and FPR95 of every draw of the images, by region, rounded to five digits.

    Args:
        maps: (H, W) score maps of the scenes.
        codes: of the scenes.
        draws: (B, n) how often each scene was drawn.
    """
    counts = {region: ImageCounts() for region in REGIONS}
    tables = {region: _outlier_table(known) for region, known in REGIONS.items()}
    for index, (values, code) in enumerate(zip(maps, codes, strict=True)):
        for region, count in counts.items():
            count.add(image_id(index), values, tables[region][code])
    found = {region: count.statistics(draws) for region, count in counts.items()}
    return {
        region: {name: rounded(figures[name]) for name in RESAMPLED_FIGURES}
        for region, figures in found.items()
    }


def _outlier_table(known: tuple[int, ...]) -> Codes:
    table = np.full(IGNORED + 1, 255, np.uint8)
    table[list(known)] = 0
    table[UNKNOWN] = 1
    return table


def displace(codes: tuple[Codes, ...], seed: int) -> Iterator[Codes]:
    """Every scene's truth replaced by that of the next one, shifted cyclically at random.

    Without the shift unknown objects would still stand where they usually stand, and where a
    network may rightly be less sure.
    """
    random = np.random.default_rng([seed, _SHIFTS])
    for code in (*codes[1:], *codes[:1]):
        shift = [int(random.integers(side)) for side in code.shape]
        yield np.roll(code, shift, axis=(0, 1))


def rounded(values: NDArray[np.float64]) -> list[float]:
    """To five digits."""
    found: list[float] = values.round(5).tolist()
    return found
