"""A scene graph as arrays, one row a primitive, and its pose at a moment seen from a camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_set_seg.simulation.rendering.materials import MATERIAL_CODES
from open_set_seg.simulation.rendering.textures import Floats
from open_set_seg.simulation.scene import SceneGraph

SHAPES = {"box": 0, "ellipsoid": 1, "cylinder": 2}
BEHIND, AHEAD = -15.0, 230.0  # metres from the camera within which objects are drawn

Doubles = NDArray[np.float64]
Integers = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class CompiledScene:
    """All primitives of a graph in the frames of their objects; P rows, ``owner`` in objects."""

    graph: SceneGraph
    owner: Integers
    shape: Integers
    label: Integers
    material: Integers
    centre: Doubles
    angles: Doubles
    half: Doubles
    taper: Doubles
    colour: Floats
    accent: Floats
    pattern: Floats
    offset: Floats
    swing: Doubles  # (P, 5): pivot y, pivot z, amplitude, frequency, phase
    lateral: Doubles  # per object from here on
    distance: Doubles
    lift: Doubles
    turn: Doubles
    velocity: Doubles
    patrol: Doubles
    unknown_id: Integers


@dataclass(frozen=True, eq=False)
class PosedScene:
    """The primitives near a camera at one moment.

    Attributes:
        row: (Q,) row of every primitive in ``compiled``.
        centre: (Q, 3) relative to the camera, metres.
        rotation: (Q, 3, 3) world from primitive.
        to_unit: (Q, 3, 3): unit frame from world, ``diag(1 / half) rotation^T``.
        base: (Q,) camera-relative y of the ground below the object.
    """

    compiled: CompiledScene
    row: Integers
    centre: Doubles
    rotation: Doubles
    to_unit: Doubles
    base: Doubles


def compile_scene(graph: SceneGraph) -> CompiledScene:
    """Turn a graph into arrays; done once for all frames and views of a scene."""
    objects = graph.objects
    parts = [part for entry in objects for part in entry.parts]
    owner = [index for index, entry in enumerate(objects) for _ in entry.parts]
    swings = [
        (*part.swing.pivot, part.swing.amplitude, part.swing.frequency, part.swing.phase)
        if part.swing is not None
        else (0.0,) * 5
        for part in parts
    ]

    def doubles(rows: Sequence[tuple[float, ...]], columns: int) -> Doubles:
        return np.array(rows, np.float64).reshape(-1, columns)

    def floats(rows: Sequence[tuple[float, ...]], columns: int) -> Floats:
        return doubles(rows, columns).astype(np.float32)

    return CompiledScene(
        graph=graph,
        owner=np.array(owner, np.int32),
        shape=np.array([SHAPES[part.shape] for part in parts], np.int32),
        label=np.array([part.label for part in parts], np.int32),
        material=np.array([MATERIAL_CODES[part.material] for part in parts], np.int32),
        centre=doubles([part.centre for part in parts], 3),
        angles=doubles([part.angles for part in parts], 3),
        half=doubles([part.half for part in parts], 3),
        taper=doubles([part.taper for part in parts], 3),
        colour=floats([part.colour for part in parts], 3),
        accent=floats([part.accent for part in parts], 3),
        pattern=floats([part.pattern for part in parts], 4),
        offset=floats([part.offset for part in parts], 2),
        swing=doubles(swings, 5),
        lateral=np.array([entry.lateral for entry in objects], np.float64),
        distance=np.array([entry.distance for entry in objects], np.float64),
        lift=np.array([entry.lift for entry in objects], np.float64),
        turn=np.array([entry.turn for entry in objects], np.float64),
        velocity=doubles([entry.velocity for entry in objects], 2),
        patrol=np.array([entry.patrol for entry in objects], np.float64),
        unknown_id=np.array([entry.unknown_id for entry in objects], np.int32),
    )


def object_positions(compiled: CompiledScene, time: float) -> tuple[Doubles, Doubles]:
    """World position (O, 3) of every object's origin and its yaw (O,) at ``time`` seconds."""
    road = compiled.graph.road
    distance = compiled.distance + compiled.velocity[:, 1] * time
    lateral = compiled.lateral + compiled.velocity[:, 0] * time
    lateral, back = _patrol(lateral, compiled.patrol)
    rate = 2.0 * np.pi / road.bend_length
    phase = rate * distance + road.bend_phase
    x = lateral + road.bend_amplitude * np.sin(phase)
    yaw = compiled.turn + np.pi * back + np.arctan(road.bend_amplitude * rate * np.cos(phase))
    return np.stack([x, -compiled.lift, distance], axis=1), yaw


def _patrol(lateral: Doubles, reach: Doubles) -> tuple[Doubles, NDArray[np.bool_]]:
    """Fold straight ways into ways to and fro within ``reach``; and who is on the way back."""
    bounded = np.maximum(reach, 1e-9)
    phase = np.mod(lateral + bounded, 4.0 * bounded)
    folded = bounded - np.abs(phase - 2.0 * bounded)
    walks = reach > 0.0
    return np.where(walks, folded, lateral), walks & (phase > 2.0 * bounded)


def pose_scene(compiled: CompiledScene, time: float, eye: Doubles) -> PosedScene:
    """Place the primitives near ``eye`` (world position of the camera) at ``time`` seconds."""
    positions, yaw = object_positions(compiled, time)
    ahead = positions[:, 2] - eye[2]
    row = np.flatnonzero(((ahead > BEHIND) & (ahead < AHEAD))[compiled.owner]).astype(np.int32)
    owner = compiled.owner[row]
    centre, rotation = _swing(compiled, row, time)
    turn = _rotations(np.stack([yaw, 0.0 * yaw, 0.0 * yaw], axis=1))[owner]
    centre = np.einsum("qij,qj->qi", turn, centre) + positions[owner] - eye
    rotation = turn @ rotation
    to_unit = rotation.transpose(0, 2, 1) / compiled.half[row][:, :, None]
    return PosedScene(compiled, row, centre, rotation, to_unit, positions[owner, 1] - eye[1])


def _swing(compiled: CompiledScene, row: Integers, time: float) -> tuple[Doubles, Doubles]:
    """Centres and rotations in the objects' frames, limbs swung."""
    centre, rotation = compiled.centre[row].copy(), _rotations(compiled.angles[row])
    pivot_y, pivot_z, amplitude, frequency, phase = compiled.swing[row].T
    moving = np.flatnonzero(amplitude != 0.0)
    if moving.size:
        angle = (amplitude * np.sin(2.0 * np.pi * frequency * time + phase))[moving]
        turn = _rotations(np.stack([0.0 * angle, angle, 0.0 * angle], axis=1))
        pivot = np.stack([0.0 * angle, pivot_y[moving], pivot_z[moving]], axis=1)
        arm = centre[moving] - pivot
        centre[moving] = pivot + np.einsum("qij,qj->qi", turn, arm)
        rotation[moving] = turn @ rotation[moving]
    return centre, rotation


def _rotations(angles: Doubles) -> Doubles:
    """(Q, 3) yaw, pitch, roll -> (Q, 3, 3): Ry(yaw) Rx(pitch) Rz(roll)."""
    (cy, cx, cz), (sy, sx, sz) = np.cos(angles).T, np.sin(angles).T
    rows = [
        [cy * cz + sy * sx * sz, -cy * sz + sy * sx * cz, sy * cx],
        [cx * sz, cx * cz, -sx],
        [-sy * cz + cy * sx * sz, sy * sz + cy * sx * cz, cy * cx],
    ]
    return np.stack([np.stack(entries, axis=-1) for entries in rows], axis=-2)
