"""Decals on the road: wear and tear, manholes, arrows, crosswalks with those who cross there."""

from __future__ import annotations

import math

import numpy as np

from open_set_seg.simulation.objects.palettes import vary
from open_set_seg.simulation.objects.people import build_pedestrian
from open_set_seg.simulation.objects.shapes import texture_origin
from open_set_seg.simulation.rendering.ground import LINE
from open_set_seg.simulation.scene import Decal, Road, SceneObject
from open_set_seg.simulation.streams import between, chance, open_stream

# kind: (half width range, half length range, darker or lighter factors of the asphalt, opacity)
WEAR: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float], float]] = {
    "patch": ((0.25, 1.4), (0.3, 2.6), (0.68, 1.22), 0.95),
    "stain": ((0.15, 0.9), (0.2, 1.4), (0.45, 0.80), 0.75),
    "crack": ((0.02, 0.05), (0.8, 3.5), (0.35, 0.55), 0.9),
    "manhole": ((0.28, 0.36), (0.28, 0.36), (0.45, 0.90), 0.9),
    "grate": ((0.20, 0.25), (0.30, 0.45), (0.30, 0.50), 0.95),
}
WEAR_WEIGHTS = (0.36, 0.24, 0.16, 0.16, 0.08)
WEAR_SPACING = 4.0  # metres of road a decal, on average


def place_decals(
    seed: int, road: Road, own_lane: int, start: float, end: float
) -> tuple[list[SceneObject], tuple[Decal, ...]]:
    """People on crosswalks, and all decals from bottom to top."""
    decals = [
        _wear(seed, road, f"wear/{index}", place)
        for index, place in enumerate(np.arange(start, end, WEAR_SPACING).tolist())
    ]
    people: list[SceneObject] = []
    rng = open_stream(seed, "crosswalks")
    place = between(rng, 8.0, 70.0)
    index = 0
    while place < end:
        key = f"crosswalk/{index}"
        decals.append(_crosswalk(seed, road, key, place))
        decals += _arrows(seed, road, own_lane, f"arrows/{index}", place - 14.0)
        people += _crossing_people(seed, road, key, place)
        place += between(rng, 35.0, 110.0)
        index += 1
    return people, tuple(decals)


def _wear(seed: int, road: Road, key: str, place: float) -> Decal:
    rng = open_stream(seed, key)
    kind = list(WEAR)[int(rng.choice(len(WEAR), p=WEAR_WEIGHTS))]
    across, along, factors, opacity = WEAR[kind]
    half = (between(rng, *across), between(rng, *along))
    if kind == "manhole":
        half = (half[0], half[0])
    lateral = between(rng, -1.0, 1.0) * (road.half_width - 0.4)
    if kind == "grate":
        lateral = math.copysign(road.half_width - 0.32, lateral)
    gain = between(rng, *factors)
    grey = (road.asphalt[0] * gain, road.asphalt[1] * gain, road.asphalt[2] * gain)
    turn = between(rng, -0.15, 0.15) if kind != "crack" else between(rng, -1.6, 1.6)
    return Decal(
        key=key,
        kind=kind,
        lateral=lateral,
        distance=place + between(rng, -2.0, 2.0),
        half=half,
        turn=0.0 if kind == "grate" else turn,
        colour=vary(rng, grey, 0.05),
        strength=opacity * between(rng, 0.7, 1.0),
        label=None,
        offset=texture_origin(rng),
    )


def _marking(
    road: Road, key: str, kind: str, lateral: float, place: float, half: tuple[float, float]
) -> Decal:
    return Decal(
        key, kind, lateral, place, half, 0.0, road.line_colour, 0.95, LINE, (lateral, place)
    )


def _crosswalk(seed: int, road: Road, key: str, place: float) -> Decal:
    rng = open_stream(seed, key)
    half = (road.half_width - 0.25, between(rng, 1.3, 2.0))
    return _marking(road, key, "bars", 0.0, place, half)


def _arrows(seed: int, road: Road, own_lane: int, key: str, place: float) -> list[Decal]:
    """An arrow and a stop line in the own lane ahead of a crosswalk."""
    rng = open_stream(seed, key)
    decals = []
    lateral = road.lane_centre(own_lane)
    if chance(rng, 0.6):
        decals.append(_marking(road, key, "arrow", lateral, place, (0.42, 1.7)))
    if chance(rng, 0.7):
        half: tuple[float, float] = (0.5 * road.lane_width - 0.1, 0.17)
        decals.append(_marking(road, f"{key}/stop", "block", lateral, place + 11.0, half))
    return decals


def _crossing_people(seed: int, road: Road, key: str, place: float) -> list[SceneObject]:
    rng = open_stream(seed, f"{key}/people")
    people = []
    for index in range(int(rng.choice(4, p=[0.4, 0.3, 0.2, 0.1]))):
        reach = road.half_width - 0.3
        lateral = between(rng, -1.0, 1.0) * reach
        pace = between(rng, 0.9, 1.5) * (1.0 if chance(rng, 0.5) else -1.0)
        along = place + between(rng, -1.2, 1.2)
        name = f"{key}/people/{index}"
        people.append(build_pedestrian(seed, name, lateral, along, 0.0, pace, reach))
    return people
