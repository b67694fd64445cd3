"""What lines a road: stretches of buildings, fences, walls and green, and street furniture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from open_set_seg.simulation.objects.people import build_pedestrian
from open_set_seg.simulation.objects.plants import build_bush, build_hedge, build_tree
from open_set_seg.simulation.objects.street_furniture import (
    build_bollard,
    build_lamp,
    build_sign,
    build_traffic_light,
)
from open_set_seg.simulation.objects.structures import build_building, build_fence, build_wall
from open_set_seg.simulation.scene import Road, SceneObject
from open_set_seg.simulation.streams import between, chance, open_stream

# Shares of the stretches along a side, by the character of its neighbourhood.
STRETCHES = ("block", "house", "fence", "wall", "hedge", "green")
NEIGHBOURHOODS: dict[str, tuple[float, ...]] = {
    "centre": (0.60, 0.04, 0.15, 0.13, 0.02, 0.06),
    "suburb": (0.08, 0.28, 0.36, 0.12, 0.08, 0.08),
    "works": (0.24, 0.02, 0.40, 0.24, 0.02, 0.08),
    "park": (0.04, 0.06, 0.40, 0.14, 0.12, 0.24),
}
NEIGHBOURHOOD_WEIGHTS = (0.34, 0.32, 0.16, 0.18)


def furnish_side(seed: int, road: Road, side: int, start: float, end: float) -> list[SceneObject]:
    """Everything beside the road on its left (-1) or right (1), from ``start`` to ``end``."""
    rng = open_stream(seed, f"side/{side}")
    name = list(NEIGHBOURHOODS)[int(rng.choice(4, p=NEIGHBOURHOOD_WEIGHTS))]
    objects: list[SceneObject] = []
    place, index = start, 0
    while place < end:
        stretch = STRETCHES[int(rng.choice(6, p=NEIGHBOURHOODS[name]))]
        length = between(rng, 8.0, 18.0)
        key = f"side/{side}/{index}"
        objects += _line_stretch(seed, key, road, side, place, length, stretch)
        place += length
        index += 1
    objects += _furniture(seed, road, side, start, end)
    objects += _people(seed, road, side, start, end)
    return objects


def border(road: Road, side: int) -> float:
    """Distance from the centre line to where gardens and houses begin, metres."""
    number = 0 if side < 0 else 1
    return road.half_width + road.sidewalks[number] + road.verge_width[number]


def _line_stretch(
    seed: int, key: str, road: Road, side: int, place: float, length: float, stretch: str
) -> list[SceneObject]:
    """One stretch: what stands at the border, and what shows behind it."""
    rng = open_stream(seed, key)
    edge, lift = border(road, side), road.kerb_height
    middle = place + 0.5 * length
    objects: list[SceneObject] = []
    if stretch == "block":
        depth = between(rng, 9.0, 14.0)
        lateral = side * (edge + 0.4 + 0.5 * depth + between(rng, 0.0, 0.8))
        storeys = (3, 7)
        return [
            build_building(
                seed, f"{key}/block", lateral, middle, lift, length - 0.05, depth, storeys
            )
        ]
    if stretch == "house":
        objects += _barrier(
            seed, f"{key}/front", rng, side * (edge + 0.3), place, length, lift, "low"
        )
        objects += _back(
            seed, key, rng, side, edge + between(rng, 4.0, 8.0), place, length, lift, 0.9
        )
        return objects
    if stretch != "green":
        objects += _barrier(
            seed, f"{key}/front", rng, side * (edge + 0.3), place, length, lift, stretch
        )
    objects += _back(
        seed, key, rng, side, edge + between(rng, 5.0, 11.0), place, length, lift, 0.55
    )
    for tree in range(int(rng.integers(1, 4))):
        lateral = side * (edge + between(rng, 1.8, 7.0))
        along = place + between(rng, 0.0, length)
        build = build_bush if chance(rng, 0.4) else build_tree
        objects.append(build(seed, f"{key}/plant/{tree}", lateral, along, lift))
    return objects


def _barrier(
    seed: int,
    key: str,
    rng: np.random.Generator,
    lateral: float,
    place: float,
    length: float,
    lift: float,
    kind: str,
) -> list[SceneObject]:
    """A fence, wall or hedge in pieces short enough to follow the bend of the road."""
    if kind == "low":
        kind = ("fence", "wall", "hedge")[int(rng.choice(3, p=[0.55, 0.2, 0.25]))]
    style = int(rng.choice(4, p=[0.30, 0.24, 0.30, 0.16]))
    count = max(1, round(length / 5.0))
    piece = length / count
    pieces: list[SceneObject] = []
    for index in range(count):
        middle = place + (index + 0.5) * piece
        # All pieces of a stretch share one stream: they are parts of the same fence.
        if kind == "fence":
            made = build_fence(seed, key, lateral, middle, lift, piece, style)
        elif kind == "wall":
            made = build_wall(seed, key, lateral, middle, lift, piece + 0.05)
        else:
            made = build_hedge(seed, key, lateral, middle, lift, piece)
        pieces.append(replace(made, key=f"{key}/{index}"))
    return pieces


def _back(
    seed: int,
    key: str,
    rng: np.random.Generator,
    side: int,
    edge: float,
    place: float,
    length: float,
    lift: float,
    probability: float,
) -> list[SceneObject]:
    """A house behind the border."""
    if not chance(rng, probability):
        return []
    frontage, depth = length * between(rng, 0.55, 0.9), between(rng, 8.0, 12.0)
    lateral = side * (edge + 0.5 * depth)
    middle = place + 0.5 * length
    return [build_building(seed, f"{key}/house", lateral, middle, lift, frontage, depth, (1, 3))]


def _furniture(seed: int, road: Road, side: int, start: float, end: float) -> list[SceneObject]:
    """Lamps, signs, signals, bollards and trees between kerb and sidewalk."""
    rng = open_stream(seed, f"furniture/{side}")
    lift, kerb = road.kerb_height, side * (road.half_width + 0.45)
    lamp_spacing, tree_spacing = between(rng, 18.0, 30.0), between(rng, 7.0, 16.0)
    has_trees, has_bollards = chance(rng, 0.40), chance(rng, 0.18)

    def places(name: str, spacing: float, low: float, high: float) -> list[tuple[str, float]]:
        own = open_stream(seed, f"{name}/{side}")
        starts = np.arange(start, end, spacing).tolist()
        return [
            (f"{name}/{side}/{index}", place + between(own, low, high))
            for index, place in enumerate(starts)
        ]

    objects: list[SceneObject] = []
    for key, along in places("lamp", lamp_spacing, 0.0, 3.0):
        objects.append(build_lamp(seed, key, kerb, along, lift))
    for key, along in places("sign", 12.0, 3.0, 9.0):
        kind = open_stream(seed, f"{key}/kind").random()
        if kind < 0.62:
            objects.append(build_sign(seed, key, kerb, along, lift))
        elif kind < 0.76:
            objects.append(build_traffic_light(seed, key, kerb, along, lift))
    if has_trees:
        for key, along in places("street_tree", tree_spacing, -1.0, 1.0):
            objects.append(build_tree(seed, key, 1.08 * kerb, along, lift))
    if has_bollards:
        for key, along in places("bollard", 2.4, 0.0, 0.2):
            objects.append(build_bollard(seed, key, kerb, along, lift))
    return objects


def _people(seed: int, road: Road, side: int, start: float, end: float) -> list[SceneObject]:
    """Pedestrians on the sidewalk, alone and in groups."""
    rng = open_stream(seed, f"people/{side}")
    gap = between(rng, 4.0, 12.0)
    inner = road.half_width + 0.75
    outer = border(road, side) - 0.3
    objects: list[SceneObject] = []
    place, index = start, 0
    while place < end:
        for _ in range(1 + int(rng.choice(3, p=[0.6, 0.3, 0.1]))):
            lateral = side * between(rng, inner, max(outer, inner + 0.2))
            along = place + between(rng, -1.2, 1.2)
            key = f"person/{side}/{index}"
            objects.append(build_pedestrian(seed, key, lateral, along, road.kerb_height))
            index += 1
        place += gap * between(rng, 0.4, 1.7)
    return objects
