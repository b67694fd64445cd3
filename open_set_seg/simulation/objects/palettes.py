"""Colours of the known world; camouflaged unknown objects wear them as well."""

from __future__ import annotations

import colorsys

import numpy as np

from open_set_seg.simulation.scene import Colour

# (colour, weight): what is on the road is mostly white, grey and black.
CAR_PAINTS: tuple[tuple[Colour, float], ...] = (
    ((0.84, 0.84, 0.83), 0.22),
    ((0.62, 0.63, 0.64), 0.18),
    ((0.36, 0.37, 0.39), 0.18),
    ((0.07, 0.07, 0.08), 0.18),
    ((0.12, 0.20, 0.36), 0.09),
    ((0.42, 0.08, 0.08), 0.07),
    ((0.14, 0.22, 0.17), 0.03),
    ((0.55, 0.49, 0.40), 0.05),
)
CLOTHES: tuple[Colour, ...] = (
    (0.10, 0.11, 0.15),
    (0.16, 0.20, 0.32),
    (0.30, 0.31, 0.33),
    (0.55, 0.54, 0.51),
    (0.42, 0.34, 0.25),
    (0.50, 0.14, 0.13),
    (0.20, 0.33, 0.25),
    (0.76, 0.75, 0.72),
    (0.63, 0.50, 0.22),
    (0.33, 0.22, 0.33),
)
SKINS: tuple[Colour, ...] = (
    (0.80, 0.62, 0.52),
    (0.66, 0.48, 0.37),
    (0.45, 0.31, 0.23),
    (0.30, 0.20, 0.15),
)
HAIR: tuple[Colour, ...] = (
    (0.07, 0.06, 0.05),
    (0.24, 0.16, 0.10),
    (0.55, 0.44, 0.28),
    (0.5, 0.5, 0.5),
)
FACADES: tuple[Colour, ...] = (
    (0.72, 0.68, 0.60),
    (0.66, 0.58, 0.46),
    (0.58, 0.42, 0.34),
    (0.50, 0.30, 0.24),
    (0.74, 0.73, 0.71),
    (0.54, 0.55, 0.55),
    (0.60, 0.62, 0.56),
    (0.73, 0.64, 0.50),
    (0.38, 0.37, 0.37),
)
MASONRY: tuple[Colour, ...] = (
    (0.55, 0.36, 0.29),
    (0.60, 0.58, 0.54),
    (0.50, 0.47, 0.42),
    (0.66, 0.61, 0.53),
    (0.44, 0.30, 0.25),
    (0.70, 0.69, 0.66),
)
ASPHALTS: tuple[Colour, ...] = ((0.30, 0.30, 0.31), (0.37, 0.36, 0.35), (0.25, 0.25, 0.26))
WOODS: tuple[Colour, ...] = (
    (0.56, 0.42, 0.27),
    (0.42, 0.30, 0.19),
    (0.66, 0.54, 0.38),
    (0.47, 0.44, 0.39),
)
LEAVES: tuple[Colour, ...] = (
    (0.19, 0.29, 0.11),
    (0.24, 0.33, 0.12),
    (0.14, 0.25, 0.13),
    (0.31, 0.34, 0.14),
    (0.36, 0.31, 0.13),
)


def pick(rng: np.random.Generator, colours: tuple[Colour, ...], spread: float = 0.05) -> Colour:
    """One colour of a palette, a little lighter or darker than it stands there."""
    return vary(rng, colours[int(rng.integers(len(colours)))], spread)


def pick_paint(rng: np.random.Generator) -> Colour:
    """The paint of a car, by how common it is."""
    weights = np.array([weight for _, weight in CAR_PAINTS])
    index = int(rng.choice(len(CAR_PAINTS), p=weights / weights.sum()))
    return vary(rng, CAR_PAINTS[index][0], 0.04)


def vary(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    """``colour`` with its brightness and, half as much, its channels changed at random."""
    gain = 1.0 + float(rng.uniform(-spread, spread))
    tint = 1.0 + rng.uniform(-0.5 * spread, 0.5 * spread, 3)
    red, green, blue = (
        float(min(max(c * gain * t, 0.02), 0.95)) for c, t in zip(colour, tint, strict=True)
    )
    return red, green, blue


def pick_any(rng: np.random.Generator) -> Colour:
    """Any colour of matter: all hues, from pale to strong, from dark to light."""
    saturation = float(rng.beta(1.6, 1.8))
    red, green, blue = colorsys.hsv_to_rgb(
        float(rng.random()), 0.85 * saturation, float(rng.uniform(0.12, 0.88))
    )
    return red, green, blue


def pick_camouflage(rng: np.random.Generator) -> Colour:
    """A colour of cars, clothes, walls or asphalt."""
    source = int(rng.integers(4))
    if source == 0:
        return pick_paint(rng)
    return pick(rng, (CLOTHES, MASONRY, ASPHALTS)[source - 1], 0.10)
