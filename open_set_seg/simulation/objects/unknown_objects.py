"""Putting things on the road that no network was taught."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from open_set_seg.simulation.config import SceneConfig
from open_set_seg.simulation.objects.hazards import DEVELOPMENT, Family, choose_look
from open_set_seg.simulation.objects.sealed_hazards import SEALED
from open_set_seg.simulation.scene import Primitive, Road, SceneObject
from open_set_seg.simulation.streams import between, chance, log_between, open_stream

DEVELOPMENT_FAMILIES = tuple(DEVELOPMENT)
SEALED_FAMILIES = tuple(SEALED)
FAMILIES: dict[str, dict[str, Family]] = {"development": DEVELOPMENT, "sealed": SEALED}

NEAREST, FARTHEST = 5.0, 50.0  # metres, of the objects of a still
SCALES = (0.70, 1.45)
ATTEMPTS = 20


def place_unknown_objects(
    seed: int,
    config: SceneConfig,
    road: Road,
    own_lane: int,
    others: tuple[SceneObject, ...],
) -> tuple[SceneObject, ...]:
    """Unknown objects on the road, clear of the cars that stand or start there."""
    if not config.unknown_objects:
        return ()
    rng = open_stream(seed, f"unknown/{config.families}")
    if config.spacing is None:
        places = [log_between(rng, NEAREST, FARTHEST) for _ in range(int(rng.integers(1, 4)))]
    else:
        places = []
        place = between(rng, 9.0, 14.0)
        while place < config.length - 60.0:
            places.append(place)
            place += between(rng, *config.spacing)
    placed: list[SceneObject] = []
    for index, place in enumerate(places):
        key = f"unknown/{config.families}/{index}"
        made = _place_one(seed, key, config, road, own_lane, place, (*others, *placed))
        if made is not None:
            placed.append(replace(made, unknown_id=len(placed) + 1))
    return tuple(placed)


def build_unknown(
    seed: int, key: str, family: str, group: str, camouflaged: bool, lateral: float, distance: float
) -> SceneObject:
    """One unknown object of a family, with its own shape, paint, size and turn."""
    rng = open_stream(seed, key)
    scale = log_between(rng, *SCALES)
    parts, size = FAMILIES[group][family](rng, choose_look(rng, camouflaged))
    return SceneObject(
        key=key,
        kind=family,
        lateral=lateral,
        distance=distance,
        parts=tuple(_scaled(part, scale) for part in parts),
        size=(size[0] * scale, size[1] * scale, size[2] * scale),
        turn=between(rng, -math.pi, math.pi),
        camouflaged=camouflaged,
    )


def _place_one(
    seed: int,
    key: str,
    config: SceneConfig,
    road: Road,
    own_lane: int,
    distance: float,
    others: tuple[SceneObject, ...],
) -> SceneObject | None:
    """Try places at this distance until one is free; None where the road is full."""
    rng = open_stream(seed, f"{key}/place")
    families = list(FAMILIES[config.families])
    family = families[int(rng.integers(len(families)))]
    camouflaged = chance(rng, config.camouflaged_share)
    for _ in range(ATTEMPTS):
        lateral = _choose_lateral(rng, config, road, own_lane)
        made = build_unknown(seed, key, family, config.families, camouflaged, lateral, distance)
        if not _collides(made, others):
            return made
    return None


def _choose_lateral(
    rng: np.random.Generator, config: SceneConfig, road: Road, own_lane: int
) -> float:
    """Anywhere on the road for a still; in and beside the own lane for a drive."""
    if config.spacing is None:
        return between(rng, -0.92, 0.92) * road.half_width
    reach = 0.5 * road.lane_width + min(road.shoulder, 0.8)
    return road.lane_centre(own_lane) + between(rng, -0.5 * road.lane_width, reach)


def _collides(made: SceneObject, others: tuple[SceneObject, ...]) -> bool:
    radius = 0.5 * math.hypot(made.size[0], made.size[2])
    return any(
        abs(entry.lateral - made.lateral) < 0.5 * entry.size[0] + radius + 0.1
        and abs(entry.distance - made.distance) < 0.5 * entry.size[2] + radius + 0.1
        for entry in others
    )


def _scaled(part: Primitive, scale: float) -> Primitive:
    centre, half = part.centre, part.half
    return replace(
        part,
        centre=(centre[0] * scale, centre[1] * scale, centre[2] * scale),
        half=(half[0] * scale, half[1] * scale, half[2] * scale),
    )
