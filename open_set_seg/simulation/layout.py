"""Where everything stands: from a seed to a scene graph."""

from __future__ import annotations

import math

from open_set_seg.simulation.config import SceneConfig
from open_set_seg.simulation.environment import make_light, make_mount, make_optics, make_road
from open_set_seg.simulation.markings import place_decals
from open_set_seg.simulation.objects.unknown_objects import place_unknown_objects
from open_set_seg.simulation.objects.vehicles import build_vehicle
from open_set_seg.simulation.roadside import furnish_side
from open_set_seg.simulation.scene import Road, SceneGraph, SceneObject
from open_set_seg.simulation.streams import between, chance, open_stream

START = -14.0  # metres: furnished from behind the car, so that nothing appears at its sides
PARKED_CLEAR = 9.0  # metres ahead of the start that stay free of parked cars


def build_scene(seed: int, config: SceneConfig | None = None) -> SceneGraph:
    """Make the scene of a seed.

    Args:
        seed: any non-negative integer; see ``TRAINING_SEEDS`` for what is used where.
        config: what kind of scene; a still with development families by default.

    Raises:
        ValueError: a negative seed.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, not {seed}")
    config = config or SceneConfig()
    road = make_road(seed)
    own_lane = road.lanes - 1
    end = config.length + 60.0
    sides = [entry for side in (-1, 1) for entry in furnish_side(seed, road, side, START, end)]
    cars = (
        *_park_cars(seed, road, end),
        *_oncoming_cars(seed, road, end),
        *_leading_cars(seed, road, own_lane, config),
    )
    crossings, decals = place_decals(seed, road, own_lane, START, end)
    unknown = place_unknown_objects(seed, config, road, own_lane, (*cars, *crossings))
    return SceneGraph(
        seed=seed,
        config=config,
        road=road,
        light=make_light(seed),
        optics=make_optics(seed),
        mount=make_mount(seed, road.lane_centre(own_lane)),
        decals=decals,
        objects=(*sides, *cars, *crossings, *unknown),
    )


def _park_cars(seed: int, road: Road, end: float) -> list[SceneObject]:
    """Cars at the kerb, where the shoulder is wide enough for them."""
    if road.shoulder < 1.8:
        return []
    cars = []
    density = between(open_stream(seed, "parking"), 0.10, 0.55)
    for side in (-1, 1):
        rng = open_stream(seed, f"parking/{side}")
        place = START
        for index in range(math.ceil((end - START) / 6.0)):
            place += between(rng, 5.9, 6.8)
            gap = rng.random() >= density
            if gap or -8.0 < place < PARKED_CLEAR:
                continue
            lateral = side * (road.half_width - 1.05)
            turn = 0.0 if side > 0 else math.pi
            cars.append(build_vehicle(seed, f"parked/{side}/{index}", lateral, place, turn))
    return cars


def _oncoming_cars(seed: int, road: Road, end: float) -> list[SceneObject]:
    """Traffic towards the camera in the lanes left of the middle; enough of it for the drive."""
    rng = open_stream(seed, "oncoming")
    speed, spacing = between(rng, 6.0, 12.0), between(rng, 25.0, 90.0)
    cars = []
    place = between(rng, 12.0, 12.0 + spacing)
    index = 0
    while place < 2.2 * end:
        lane = int(rng.integers(max(road.lanes // 2, 1)))
        key = f"oncoming/{index}"
        cars.append(build_vehicle(seed, key, road.lane_centre(lane), place, math.pi, -speed))
        place += spacing * between(rng, 0.5, 1.6)
        index += 1
    return cars


def _leading_cars(seed: int, road: Road, own_lane: int, config: SceneConfig) -> list[SceneObject]:
    """A car or two ahead in our direction.

    Where unknown objects stand in the own lane, a moving car would drive through them: then only
    another lane carries traffic.
    """
    rng = open_stream(seed, "leading")
    cars = []
    if road.lanes >= 4 and chance(rng, 0.7):
        speed, lane = between(rng, 6.5, 9.0), road.lanes - 2
        lateral = road.lane_centre(lane)
        cars.append(build_vehicle(seed, "leading/0", lateral, between(rng, 9.0, 35.0), 0.0, speed))
    if config.spacing is None and chance(rng, 0.5):
        lateral = road.lane_centre(own_lane) + between(rng, -0.3, 0.3)
        cars.append(build_vehicle(seed, "leading/1", lateral, between(rng, 16.0, 60.0), 0.0, 8.0))
    return cars
