"""Road, light, lens and mounting of a scene, each from its own random stream."""

from __future__ import annotations

import math

import numpy as np

from open_set_seg.simulation.objects.palettes import ASPHALTS, pick, vary
from open_set_seg.simulation.objects.shapes import texture_origin
from open_set_seg.simulation.scene import Colour, Light, Mount, Optics, Road
from open_set_seg.simulation.streams import between, chance, log_between, open_stream

PAVINGS: tuple[Colour, ...] = (
    (0.52, 0.50, 0.47),
    (0.58, 0.57, 0.55),
    (0.50, 0.42, 0.37),
    (0.45, 0.45, 0.45),
)
VERGES: tuple[Colour, ...] = ((0.24, 0.33, 0.13), (0.31, 0.37, 0.16), (0.36, 0.36, 0.18))
FOCAL = 1.1
BASELINE = 0.22


def make_road(seed: int) -> Road:
    """Lanes, markings and what lies beside them."""
    rng = open_stream(seed, "road")
    lanes = int(rng.choice([2, 2, 2, 3, 4]))
    parking = chance(rng, 0.45)
    sidewalks = (between(rng, 1.6, 3.4), between(rng, 1.6, 3.4))
    verges = tuple(between(rng, 0.8, 3.0) if chance(rng, 0.6) else 0.0 for _ in range(2))
    return Road(
        lanes=lanes,
        lane_width=between(rng, 3.0, 3.6),
        shoulder=between(rng, 2.1, 2.4) if parking else between(rng, 0.3, 0.9),
        sidewalks=sidewalks,
        kerb_height=between(rng, 0.09, 0.15),
        bend_amplitude=between(rng, -9.0, 9.0),
        bend_length=between(rng, 260.0, 520.0),
        bend_phase=between(rng, 0.0, 2.0 * math.pi),
        centre_line=("dashed", "solid", "double")[int(rng.choice(3, p=[0.5, 0.3, 0.2]))],
        line_colour=(0.78, 0.62, 0.22)
        if chance(rng, 0.15)
        else vary(rng, (0.80, 0.80, 0.78), 0.06),
        dash=(between(rng, 7.0, 11.0), between(rng, 3.0, 4.5)),
        edge_lines=chance(rng, 0.65),
        wear=between(rng, 0.0, 0.55),
        asphalt=_grey(rng),
        roughness=between(rng, 0.03, 0.075),
        paving=pick(rng, PAVINGS, 0.10),
        tile=between(rng, 0.4, 1.2),
        verge=pick(rng, VERGES, 0.12),
        verge_width=(verges[0], verges[1]),
        beyond_is_paved=(chance(rng, 0.55), chance(rng, 0.55)),
        offset=texture_origin(rng),
    )


def _grey(rng: np.random.Generator) -> Colour:
    """Asphalt varies much in brightness, little in hue."""
    colour, gain = pick(rng, ASPHALTS, 0.03), between(rng, 0.86, 1.14)
    return colour[0] * gain, colour[1] * gain, colour[2] * gain


def make_light(seed: int) -> Light:
    """A sunny, veiled or overcast day."""
    rng = open_stream(seed, "light")
    azimuth, elevation = between(rng, -math.pi, math.pi), math.radians(between(rng, 28.0, 68.0))
    cover = between(rng, 0.0, 1.0)
    strength = 1.0 if cover < 0.6 else (0.55 if cover < 0.8 else 0.12)
    warm = 0.10 * (1.0 - math.sin(elevation))
    sun = 0.80 * strength
    grey = 0.66 + 0.32 * (1.0 - strength)
    blue = 0.05 * strength
    zenith = vary(rng, (0.30, 0.47, 0.74), 0.10)
    veil = 0.75 * (1.0 - strength)
    red, green, blue_sky = (c + (0.66 - c) * veil for c in zenith)
    horizon = vary(rng, (0.76, 0.82, 0.88), 0.05)
    level = sum(horizon) / 3.0
    return Light(
        sun=(
            math.cos(elevation) * math.sin(azimuth),
            -math.sin(elevation),
            math.cos(elevation) * math.cos(azimuth),
        ),
        sun_colour=(sun * (1.0 + warm), sun, sun * (1.0 - 1.4 * warm)),
        ambient=(grey * (1.0 - blue), grey, grey * (1.0 + 1.4 * blue)),
        haze=log_between(rng, 0.0012, 0.010),
        haze_colour=(
            0.5 * (horizon[0] + level),
            0.5 * (horizon[1] + level),
            0.5 * (horizon[2] + level),
        ),
        zenith=(red, green, blue_sky),
        horizon=horizon,
        clouds=cover,
        offset=texture_origin(rng),
    )


def make_optics(seed: int) -> Optics:
    """Mild traces of a camera."""
    rng = open_stream(seed, "optics")
    return Optics(
        exposure=between(rng, 0.92, 1.24),
        white_balance=(between(rng, 0.965, 1.035), 1.0, between(rng, 0.955, 1.045)),
        gamma=between(rng, 0.80, 1.04),
        vignette=between(rng, 0.04, 0.20),
        blur=between(rng, 0.0004, 0.0011),
        read_noise=between(rng, 0.003, 0.008),
        shot_noise=between(rng, 0.006, 0.018),
    )


def make_mount(seed: int, lane_centre: float) -> Mount:
    """The stereo camera on the car, a little off the middle of the lane."""
    rng = open_stream(seed, "mount")
    return Mount(
        height=between(rng, 1.25, 1.60),
        horizon=between(rng, 0.40, 0.47),
        focal=FOCAL,
        baseline=BASELINE,
        lateral=lane_centre + between(rng, -0.35, 0.35),
        yaw=between(rng, -0.03, 0.03),
    )
