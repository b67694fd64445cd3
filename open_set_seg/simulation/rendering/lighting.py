"""Sun, sky and haze."""

from __future__ import annotations

import numpy as np

from open_set_seg.simulation.rendering.textures import Floats, fractal_noise, sample
from open_set_seg.simulation.scene import Light


def illuminate(albedo: Floats, normal: Floats, sunlit: Floats | float, light: Light) -> Floats:
    """Radiance of a matt surface: ``albedo * (ambient(n) + sun * max(0, n.s) * sunlit)``.

    Args:
        albedo, normal: (N, 3); sunlit: (N,) share of the sun that reaches the point.
    """
    sun = np.asarray(light.sun, np.float32)
    direct = np.maximum(normal @ sun, 0.0) * sunlit
    # A surface that looks up sees the whole sky, one that looks down only the ground's bounce.
    sky_share = 0.72 - 0.28 * normal[:, 1]
    ambient = np.asarray(light.ambient, np.float32)
    colour = np.asarray(light.sun_colour, np.float32)
    arriving = sky_share[:, None] * ambient + direct[:, None] * colour
    return np.asarray(np.maximum(albedo, 0.0) * arriving, np.float32)


def add_haze(radiance: Floats, depth: Floats, light: Light) -> Floats:
    """Fade towards the haze: ``exp(-haze * depth)`` of the surface remains."""
    remains = np.exp(-np.float32(light.haze) * depth)[:, None]
    haze = np.asarray(light.haze_colour, np.float32)
    return np.asarray(haze + (radiance - haze) * remains, np.float32)


def sky_radiance(dx: Floats, dy: Floats, light: Light) -> Floats:
    """Colour of the sky along rays (dx, dy, 1): a gradient with clouds, infinitely far away."""
    height = np.maximum(-dy, 0.0) / np.sqrt(1.0 + dx * dx + dy * dy)
    share = np.sqrt(np.minimum(height * 1.9, 1.0)).astype(np.float32)[:, None]
    horizon, zenith = np.asarray(light.horizon, np.float32), np.asarray(light.zenith, np.float32)
    colour = horizon + (zenith - horizon) * share
    # Clouds lie on a plane high above: they shrink towards the horizon.
    span = 1.0 / np.maximum(-dy + 0.12, 0.12)
    u, v = dx * span * 0.11 + light.offset[0], span * 0.11 + light.offset[1]
    clouds = sample(fractal_noise(), u.astype(np.float32), v.astype(np.float32), 1.0 / 128.0)
    cover = np.clip((clouds - 1.6 + 2.4 * light.clouds) * 0.55, 0.0, 0.9) * (share[:, 0] ** 0.5)
    white = np.asarray(light.horizon, np.float32) * 0.35 + 0.62
    return np.asarray(colour + (white - colour) * cover[:, None], np.float32)
