"""Colour of surfaces in the coordinates of the object.

``MATERIALS`` maps a name to a function from a ``Surface`` to its albedo (N, 3). ``pattern`` holds
four numbers whose meaning is the material's own; each function says what they are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from open_set_seg.simulation.rendering.surface import Surface, mix
from open_set_seg.simulation.rendering.textures import Floats, fractal_noise, hash_unit, sample


def _plain(surface: Surface) -> Floats:
    """pattern[0]: strength of the mottling; pattern[1]: gloss."""
    strength = surface.pattern[:, 0] * surface.mottle(2.5)
    albedo = surface.colour * (1.0 + strength)[:, None]
    return mix(albedo, 0.75, surface.pattern[:, 1] * surface.gloss)


def _facade(surface: Surface) -> Floats:
    """pattern: width of a window axis, height of a floor, share of glass across, and up."""
    albedo = (
        surface.colour * (1.0 + 0.07 * surface.mottle(9.0) + 0.05 * surface.mottle(1.4))[:, None]
    )
    axis_width, floor = surface.pattern[:, 0], surface.pattern[:, 1]
    column = surface.across / axis_width + 0.5
    storey = surface.up / floor
    cell_x, cell_y = np.floor(column), np.floor(storey)
    x, y = np.abs(column - cell_x - 0.5), np.abs(storey - cell_y - 0.52)
    wall = surface.axis != 1
    reach_x, reach_y = 0.5 * surface.pattern[:, 2], 0.5 * surface.pattern[:, 3]
    # The ground floor has wider openings: doors and shop windows.
    ground_floor = cell_y == 0
    reach_x = np.where(ground_floor, np.minimum(1.35 * reach_x, 0.46), reach_x)
    height = 2.0 * surface.half[:, 1]
    inside = wall & (surface.up < height - 0.35 * floor)
    frame = inside & (x < reach_x + 0.07 / axis_width) & (y < reach_y + 0.07 / floor)
    glass = inside & (x < reach_x - 0.02 / axis_width) & (y < reach_y - 0.02 / floor)
    glass &= np.abs(x) > 0.03 / axis_width
    albedo = mix(albedo, surface.accent, frame)
    mood = hash_unit(cell_x.astype(np.int64), cell_y.astype(np.int64), surface.offset[:, 0])
    pane = 0.08 + 0.22 * mood * mood + 0.30 * surface.gloss * (mood > 0.3)
    pane = np.where(mood > 0.88, 0.62, pane)  # a curtain
    tint = np.array([0.92, 0.98, 1.06], np.float32)
    albedo = np.where(glass[:, None], pane[:, None] * tint, albedo)
    ledge = wall & ((surface.up > height - 0.3) | (np.abs(surface.up - floor) < 0.12))
    albedo = mix(albedo, 0.8 * surface.accent, ledge)
    plinth = wall & (surface.up < 0.5)
    return mix(albedo, 0.45 * albedo + 0.08, plinth).astype(np.float32)


def _foliage(surface: Surface) -> Floats:
    """pattern[0]: size of the noise tile in metres; pattern[1]: level of the holes."""
    leaves = surface.mottle(1.1, fine=True)
    clumps = surface.mottle(3.5)
    shade = np.clip(0.92 + 0.30 * leaves + 0.16 * clumps, 0.25, 1.9)
    glint = surface.accent * np.maximum(leaves, 0.0)[:, None]
    return np.asarray(surface.colour * shade[:, None] + glint, np.float32)


def _masonry(surface: Surface) -> Floats:
    """pattern: length and height of a block, strength of the joints, variation of blocks."""
    length, height = surface.pattern[:, 0], surface.pattern[:, 1]
    row = np.floor(surface.up / height)
    along = surface.across / length + 0.5 * (row % 2.0)
    block = np.floor(along)
    edge = np.minimum(
        np.minimum(along - block, block + 1.0 - along) * length,
        np.minimum(surface.up / height - row, row + 1.0 - surface.up / height) * height,
    )
    joint = np.clip(1.2 - edge / np.maximum(0.012, 0.5 * surface.footprint), 0.0, 1.0)
    joint *= np.minimum(1.0, 0.04 / np.maximum(surface.footprint, 1e-4))
    tone = hash_unit(block.astype(np.int64), row.astype(np.int64), surface.offset[:, 0]) - 0.5
    tone = 1.0 + surface.pattern[:, 3] * tone + 0.09 * surface.mottle(5.0)
    damp = np.clip(0.35 - surface.up, 0.0, 0.35) * 0.9
    albedo = surface.colour * (tone * (1.0 - damp))[:, None]
    return mix(albedo, surface.accent, surface.pattern[:, 2] * joint)


def _car_paint(surface: Surface) -> Floats:
    """Lower body. accent: front lights (rear is red); pattern[0]: gloss, [1]: 1 for a white van."""
    x, z = surface.local[:, 0], surface.local[:, 2]
    half = surface.half
    height = surface.up / (2.0 * half[:, 1])
    albedo = surface.colour * (1.0 + 0.02 * surface.mottle(2.0))[:, None]
    albedo = mix(
        albedo, 0.85, surface.pattern[:, 0] * surface.gloss * (0.3 + 0.7 * (height > 0.55))
    )
    trim = (height < 0.16) & (surface.axis != 1)
    side = surface.axis == 0
    for wheel in (-0.62, 0.62):
        radius = np.hypot(z - wheel * half[:, 2], surface.up + 0.02)
        trim |= side & (radius < 0.40)
    seams = side & (height > 0.16) & (np.abs(np.abs(z + 0.1) - 0.32 * half[:, 2]) < 0.015)
    handle = side & (np.abs(height - 0.78) < 0.04) & (np.abs(np.abs(z + 0.35) - 0.1) < 0.09)
    albedo = mix(albedo, 0.05, trim)
    albedo = mix(albedo, 0.5 * albedo, seams | handle)
    end = surface.axis == 2
    lamp = end & (np.abs(height - 0.68) < 0.13) & (np.abs(x) > 0.62 * half[:, 0])
    rear = z < 0.0
    albedo = np.where((lamp & rear)[:, None], np.array([0.55, 0.05, 0.05], np.float32), albedo)
    albedo = np.where((lamp & ~rear)[:, None], np.array([0.85, 0.87, 0.88], np.float32), albedo)
    plate = end & (np.abs(height - 0.36) < 0.08) & (np.abs(x) < 0.26)
    grille = end & ~rear & (np.abs(height - 0.55) < 0.10) & (np.abs(x) < 0.5 * half[:, 0])
    albedo = mix(albedo, 0.06, grille)
    return mix(albedo, 0.78, plate)


def _car_cabin(surface: Surface) -> Floats:
    """Windows all round below a roof; pattern: gloss, share of pillars, lower and upper edge."""
    height = surface.up / (2.0 * surface.half[:, 1])
    wide = np.where(surface.axis == 0, surface.half[:, 2], surface.half[:, 0])
    share = np.abs(surface.across) / wide
    glass = (
        (surface.axis != 1) & (height > surface.pattern[:, 2]) & (height < surface.pattern[:, 3])
    )
    glass &= share < 0.93 - 0.35 * (1.0 - surface.pattern[:, 1]) * height
    glass &= ~((surface.axis == 0) & (np.abs(surface.across + 0.05) < 0.05))
    body = mix(surface.colour, 0.85, surface.pattern[:, 0] * surface.gloss)
    pane = 0.05 + 0.55 * surface.gloss * (0.5 + 0.5 * height)
    return np.where(glass[:, None], pane[:, None] * np.array([0.94, 1.0, 1.05], np.float32), body)


def _sign(surface: Surface) -> Floats:
    """Plate with a rim in ``accent``; pattern[0]: 1 round, 0 square, 2 arrow; [1]: pictogram."""
    x = surface.local[:, 0] / surface.half[:, 0]
    y = surface.local[:, 1] / np.where(surface.axis == 2, surface.half[:, 1], 1.0)
    y = np.where(surface.axis == 1, surface.local[:, 2] / surface.half[:, 2], y)
    radius = np.where(
        surface.pattern[:, 0] == 1.0, np.hypot(x, y), np.maximum(np.abs(x), np.abs(y))
    )
    albedo = mix(surface.colour, surface.accent, radius > 0.78)
    choice = surface.pattern[:, 1]
    bar = (np.abs(y) < 0.16) & (np.abs(x) < 0.58)
    arrow = (np.abs(x) < 0.12 + 0.3 * (y + 0.55) * (y < -0.1)) & (np.abs(y) < 0.55)
    text = (np.abs(np.abs(y) - 0.25) < 0.12) & (np.sin(23.0 * x) > -0.2) & (np.abs(x) < 0.65)
    mark = np.where(choice < 1.0, bar, np.where(choice < 2.0, arrow, text))
    ink = np.where(surface.pattern[:, 2] > 0.5, np.float32(0.9), np.float32(0.07))
    return np.where((mark & (radius < 0.7))[:, None], ink[:, None], albedo).astype(np.float32)


def _signal(surface: Surface) -> Floats:
    """Traffic light: three lenses; pattern[0]: which of them (0, 1, 2 from above) is lit."""
    height = surface.up / (2.0 * surface.half[:, 1])
    lens = np.clip(2.0 - np.floor(height * 3.0), 0.0, 2.0)
    middle = (2.5 - lens) / 3.0
    radius = np.hypot(surface.local[:, 0], (height - middle) * 2.0 * surface.half[:, 1])
    face = (surface.axis == 2) & (radius < 0.78 * surface.half[:, 0])
    lights = np.array([[1.1, 0.15, 0.1], [1.1, 0.7, 0.1], [0.1, 1.0, 0.45]], np.float32)
    bright = np.where(lens == surface.pattern[:, 0], 1.0, 0.16).astype(np.float32)
    glow = lights[lens.astype(np.int64)] * bright[:, None]
    return np.where(face[:, None], glow, surface.colour).astype(np.float32)


def _stripes(surface: Surface) -> Floats:
    """pattern: period in metres, slope, share of the accent, mottling."""
    run = (
        surface.up + surface.pattern[:, 1] * surface.across + surface.offset[:, 0]
    ) / surface.pattern[:, 0]
    albedo = mix(surface.colour, surface.accent, run - np.floor(run) < surface.pattern[:, 2])
    return albedo * (1.0 + surface.pattern[:, 3] * surface.mottle(1.7))[:, None]


def _checks(surface: Surface) -> Floats:
    """pattern: side of a square in metres, -, -, mottling."""
    cells = np.floor(surface.across / surface.pattern[:, 0]) + np.floor(
        surface.up / surface.pattern[:, 0]
    )
    albedo = mix(surface.colour, surface.accent, cells % 2.0 == 0.0)
    return albedo * (1.0 + surface.pattern[:, 3] * surface.mottle(1.7))[:, None]


def _blotches(surface: Surface) -> Floats:
    """pattern: tile of the blotches in metres, level above which the accent shows, -, mottling."""
    scale = 1.0 / surface.pattern[:, 0]
    u, v = (
        (surface.across + surface.offset[:, 0]) * scale,
        (surface.up + surface.offset[:, 1]) * scale,
    )
    spots = sample(fractal_noise(), u, v, surface.footprint * scale)
    share = np.clip((spots - surface.pattern[:, 1]) * 4.0, 0.0, 1.0)
    albedo = mix(surface.colour, surface.accent, share)
    return albedo * (1.0 + surface.pattern[:, 3] * surface.mottle(0.9, fine=True))[:, None]


def _timber(surface: Surface) -> Floats:
    """Boards; pattern: width of a board in metres, strength of the grain, 1 if boards stand."""
    stands = surface.pattern[:, 2] > 0.5
    cross, along = (
        np.where(stands, surface.across, surface.up),
        np.where(stands, surface.up, surface.across),
    )
    board = cross / surface.pattern[:, 0]
    cell = np.floor(board)
    edge = np.minimum(board - cell, cell + 1.0 - board) * surface.pattern[:, 0]
    tone = 0.86 + 0.28 * hash_unit(cell.astype(np.int64), 0, surface.offset[:, 0])
    scale = np.float32(0.5)
    fibre = sample(
        fractal_noise(),
        (cross * 6.0 + surface.offset[:, 0]) * scale,
        (along * 0.5 + surface.offset[:, 1] + 3.7 * cell) * scale,
        surface.footprint * scale * 4.0,
    )
    albedo = surface.colour * (tone + surface.pattern[:, 1] * fibre)[:, None]
    return mix(albedo, 0.35 * albedo, edge < 0.012)


MATERIALS: dict[str, Callable[[Surface], Floats]] = {
    "plain": _plain,
    "facade": _facade,
    "foliage": _foliage,
    "masonry": _masonry,
    "car_paint": _car_paint,
    "car_cabin": _car_cabin,
    "sign": _sign,
    "signal": _signal,
    "stripes": _stripes,
    "checks": _checks,
    "blotches": _blotches,
    "timber": _timber,
    "pickets": _plain,
    "mesh": _plain,
}
MATERIAL_CODES = {name: code for code, name in enumerate(MATERIALS)}
MATERIAL_FUNCTIONS = tuple(MATERIALS.values())
