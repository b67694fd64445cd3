"""The ground in closed form: road, kerb, sidewalks and verges, with their markings and colours.

The road is the plane Y = h below the camera (Z = h / dy along a ray), the sidewalks lie a kerb
higher, and the kerb's face joins them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.simulation.rendering.textures import (
    Floats,
    Ints,
    fractal_noise,
    grain_noise,
    hash_unit,
    sample,
)
from open_set_seg.simulation.scene import Road

ROAD = STREETHAZARDS.id_of("road")
LINE = STREETHAZARDS.id_of("road line")
SIDEWALK = STREETHAZARDS.id_of("sidewalk")
VEGETATION = STREETHAZARDS.id_of("vegetation")

LINE_WIDTH = 0.14
KERB_WIDTH = 0.16


@dataclass(frozen=True, eq=False)
class GroundPoints:
    """Where rays meet the ground; N rows.

    Attributes:
        depth: Z from the camera; x: camera-relative, metres.
        lateral: metres right of the centre line; along: world z, metres.
        label: class id.
        kerb_face: on the upright face of the kerb.
        footprint: size of a sample across the ray and along the ground, metres.
    """

    depth: Floats
    x: Floats
    lateral: Floats
    along: Floats
    label: Ints
    kerb_face: NDArray[np.bool_]
    across_footprint: Floats
    along_footprint: Floats

    def take(self, chosen: NDArray[np.bool_]) -> GroundPoints:
        """The chosen rows."""
        return GroundPoints(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def meet_ground(
    dx: Floats, dy: Floats, road: Road, eye: NDArray[np.float64], footprint: float
) -> GroundPoints:
    """Intersect rays (dx, dy, 1), dy > 0, from the camera at world position ``eye`` (3,)."""
    height = np.float32(-eye[1])
    low = height / dy
    high = (height - np.float32(road.kerb_height)) / dy
    lateral_low, lateral_high = (lateral_of(dx * z, z, road, eye) for z in (low, high))
    edge = np.float32(road.half_width)
    on_top = np.abs(lateral_high) >= edge
    on_road = ~on_top & (np.abs(lateral_low) <= edge)
    face = ~on_top & ~on_road
    # Between both planes the ray crosses the kerb's face where |lateral| passes the edge.
    gap = np.abs(lateral_low) - np.abs(lateral_high)
    share = (edge - np.abs(lateral_high)) / np.where(gap == 0.0, np.float32(1.0), gap)
    depth = np.where(on_top, high, np.where(on_road, low, high + share * (low - high)))
    depth = depth.astype(np.float32)
    lateral = np.where(on_top, lateral_high, lateral_low)
    lateral = np.where(face, np.copysign(edge, lateral_high), lateral).astype(np.float32)
    along = (depth + np.float32(eye[2])).astype(np.float32)
    across_footprint = depth * np.float32(footprint)
    return GroundPoints(
        depth=depth,
        x=dx * depth,
        lateral=lateral,
        along=along,
        label=_classify(lateral, along, face | on_top, road),
        kerb_face=face,
        across_footprint=across_footprint,
        along_footprint=across_footprint / np.maximum(dy, 1e-4),
    )


def lateral_of(x: Floats, z: Floats, road: Road, eye: NDArray[np.float64]) -> Floats:
    """Lateral road position of camera-relative points."""
    rate = 2.0 * np.pi / road.bend_length
    start = np.float32(rate * eye[2] + road.bend_phase)
    bend = np.float32(road.bend_amplitude) * np.sin(np.float32(rate) * z + start)
    return np.asarray(x + np.float32(eye[0]) - bend, np.float32)


def _classify(lateral: Floats, along: Floats, raised: NDArray[np.bool_], road: Road) -> Ints:
    label = np.where(raised, SIDEWALK, np.where(_is_line(lateral, along, road), LINE, ROAD))
    for side, sign in enumerate((-1.0, 1.0)):
        outward = sign * lateral - np.float32(road.half_width)
        grass = outward > road.sidewalks[side]
        if road.beyond_is_paved[side]:
            grass &= outward < road.sidewalks[side] + road.verge_width[side]
        label = np.where(raised & grass, VEGETATION, label)
    return label.astype(np.int32)


def _is_line(lateral: Floats, along: Floats, road: Road) -> NDArray[np.bool_]:
    """Painted lines: the centre line, lane dividers, edge lines."""
    half = np.float32(0.5 * LINE_WIDTH)
    period, painted = np.float32(road.dash[0]), np.float32(road.dash[1])
    dashes = along - np.floor(along / period) * period < painted
    line = np.zeros(lateral.shape, bool)
    for lane in range(1, road.lanes):
        offset = lateral - np.float32((lane - 0.5 * road.lanes) * road.lane_width)
        if 2 * lane != road.lanes:
            line |= (np.abs(offset) < half) & dashes
        elif road.centre_line == "double":
            line |= np.abs(np.abs(offset) - 2.0 * half) < half
        elif road.centre_line == "solid":
            line |= np.abs(offset) < half
        else:
            line |= (np.abs(offset) < half) & dashes
    if road.edge_lines:
        edge = np.float32(0.5 * road.lanes * road.lane_width - 0.10)
        line |= np.abs(np.abs(lateral) - edge) < half
    return line


def ground_albedo(points: GroundPoints, road: Road) -> Floats:
    """(N, 3) colour of the bare ground, its painted lines included."""
    albedo = np.empty((len(points.depth), 3), np.float32)
    # Seen at a grazing angle a sample is long: a mean of both sides picks the pyramid's level.
    blend = points.across_footprint**0.4 * points.along_footprint**0.6
    footprint = np.asarray(blend, np.float32)
    u = points.lateral + np.float32(road.offset[0])
    v = points.along + np.float32(road.offset[1])
    coarse = sample(fractal_noise(), u / 14.0, v / 14.0, footprint / 14.0)
    fine = sample(grain_noise(), u / 2.2, v / 2.2, footprint / 2.2)
    for label, paint in (
        (ROAD, _asphalt),
        (LINE, _paint),
        (SIDEWALK, _paving),
        (VEGETATION, _grass),
    ):
        chosen = np.flatnonzero(points.label == label)
        if chosen.size:
            albedo[chosen] = paint(points, chosen, coarse[chosen], fine[chosen], road)
    return albedo


def _asphalt(
    points: GroundPoints, chosen: NDArray[np.int64], coarse: Floats, fine: Floats, road: Road
) -> Floats:
    lane = points.lateral[chosen] / np.float32(road.lane_width) + 0.5 * road.lanes
    # Wheels polish two tracks in every lane; oil darkens the middle between them.
    place = np.abs(lane - np.floor(lane) - 0.5)
    track = np.exp(-(((place - 0.25) / 0.09) ** 2)) - 0.8 * np.exp(-((place / 0.10) ** 2))
    tone = 1.0 + 0.055 * coarse + np.float32(road.roughness) * fine + 0.05 * track
    gutter = np.clip(1.0 - (road.half_width - np.abs(points.lateral[chosen])) / 0.5, 0.0, 1.0)
    tone = tone * (1.0 - 0.22 * gutter)
    return np.asarray(np.asarray(road.asphalt, np.float32) * tone[:, None], np.float32)


def _paint(
    points: GroundPoints, chosen: NDArray[np.int64], coarse: Floats, fine: Floats, road: Road
) -> Floats:
    bare = _asphalt(points, chosen, coarse, fine, road)
    worn = np.clip((0.8 * coarse + 0.6 * fine - 1.4 + 2.2 * road.wear) * 1.5, 0.0, 0.85)
    colour = np.asarray(road.line_colour, np.float32) * (1.0 + 0.04 * fine)[:, None]
    return (colour + (bare - colour) * worn[:, None]).astype(np.float32)


def _paving(
    points: GroundPoints, chosen: NDArray[np.int64], coarse: Floats, fine: Floats, road: Road
) -> Floats:
    lateral, along = points.lateral[chosen], points.along[chosen]
    outward = np.abs(lateral) - np.float32(road.half_width)
    tile = np.float32(road.tile)
    row, column = along / tile, outward / tile
    cell_row, cell_column = np.floor(row), np.floor(column)
    shade = hash_unit(cell_row.astype(np.int64), cell_column.astype(np.int64), 5) - 0.5
    tone = 1.0 + 0.06 * coarse + 0.05 * fine + 0.10 * shade
    for position, cell, footprint in (
        (row, cell_row, points.along_footprint[chosen]),
        (column, cell_column, points.across_footprint[chosen]),
    ):
        edge = np.minimum(position - cell, cell + 1.0 - position) * tile
        width = np.maximum(0.012, 0.5 * footprint)
        joint = np.clip(1.3 - edge / width, 0.0, 1.0) * np.minimum(1.0, 0.012 / width)
        tone = tone * (1.0 - 0.45 * joint)
    kerb = outward < KERB_WIDTH
    stone = along - np.floor(along)
    joint = (np.minimum(stone, 1.0 - stone) < 0.015) & (points.along_footprint[chosen] < 0.06)
    tone = np.where(kerb, 1.12 + 0.05 * fine - 0.3 * joint, tone)
    tone = np.where(points.kerb_face[chosen], 0.72 + 0.05 * fine, tone)
    return np.asarray(np.asarray(road.paving, np.float32) * tone[:, None], np.float32)


def _grass(
    points: GroundPoints, chosen: NDArray[np.int64], coarse: Floats, fine: Floats, road: Road
) -> Floats:
    tone = np.clip(1.0 + 0.16 * coarse + 0.28 * fine, 0.35, 1.9)
    colour = np.asarray(road.verge, np.float32) * tone[:, None]
    dry = np.clip(0.5 * coarse - 0.35, 0.0, 0.6)[:, None]
    earth = np.array([0.36, 0.31, 0.20], np.float32) * tone[:, None]
    return np.asarray(colour + (earth - colour) * dry, np.float32)
