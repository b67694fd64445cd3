"""From a posed scene to pixels: one view's image, labels, depth and unknown objects.

Labels and depth are those of the ray through the pixel's centre. The colour of a pixel on an edge
is the mean of samples^2 further rays.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Camera, FloatImage, LabelImage
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.simulation.rendering.casting import cast
from open_set_seg.simulation.rendering.compiled import (
    CompiledScene,
    Integers,
    PosedScene,
    pose_scene,
)
from open_set_seg.simulation.rendering.decals import apply_decals
from open_set_seg.simulation.rendering.ground import GroundPoints, ground_albedo, meet_ground
from open_set_seg.simulation.rendering.lighting import add_haze, illuminate, sky_radiance
from open_set_seg.simulation.rendering.rays import Rays
from open_set_seg.simulation.rendering.shading import shade_solids
from open_set_seg.simulation.rendering.shadows import ShadowMap, build_shadow_map, look_up
from open_set_seg.simulation.rendering.textures import Floats
from open_set_seg.simulation.scene import SceneGraph

SKY = STREETHAZARDS.id_of("sky")
EDGE_CONTRAST = 0.055  # of full scale, between neighbours, above which a pixel gets more samples


@dataclass(frozen=True, eq=False)
class View:
    """What one camera sees, before its sensor adds anything.

    Attributes:
        radiance: (H, W, 3) float32, 1 = full scale before exposure.
        labels: (H, W) uint8; inverse_depth: (H, W) float32 1/Z in 1/m, 0 for the sky.
        unknown_ids: (H, W) int32, number of the unknown object or 0.
    """

    radiance: Floats
    labels: LabelImage
    inverse_depth: FloatImage
    unknown_ids: Integers


@dataclass(frozen=True, eq=False)
class Moment:
    """The world as one camera meets it at one moment; ``eye_shift`` is 0 for the left camera."""

    graph: SceneGraph
    scene: PosedScene
    shadows: ShadowMap
    eye: NDArray[np.float64]
    eye_shift: float


@dataclass(frozen=True, eq=False)
class Samples:
    """Per ray: radiance (N, 3), label, 1/Z, and a number that changes from thing to thing."""

    radiance: Floats
    label: Integers
    inverse_depth: Floats
    thing: Integers


def camera_of(graph: SceneGraph, width: int, height: int) -> Camera:
    """The pinhole camera of an image of this size; its pitch is the row of the horizon."""
    focal = graph.mount.focal * width
    row = graph.mount.horizon * height - 0.5
    return Camera(width, height, focal, focal, 0.5 * width - 0.5, row)


def eye_of(graph: SceneGraph, travelled: float) -> tuple[NDArray[np.float64], float]:
    """World position (3,) of the left camera after ``travelled`` metres, and its heading dx/dz."""
    mount, road = graph.mount, graph.road
    eye = np.array([road.centre(travelled) + mount.lateral, -mount.height, travelled])
    return eye, road.heading(travelled) + mount.yaw


def render_view(
    compiled: CompiledScene,
    width: int,
    height: int,
    time: float = 0.0,
    travelled: float = 0.0,
    right: bool = False,
    supersampling: int = 2,
) -> View:
    """Render the left or right view of a scene.

    Args:
        time: seconds since the start; traffic and pedestrians have moved on accordingly.
        travelled: metres that the car has driven since the start.
        supersampling: samples along each side of a pixel on an edge.
    """
    graph = compiled.graph
    left_eye, heading = eye_of(graph, travelled)
    shift = graph.mount.baseline if right else 0.0
    eye = left_eye + np.array([shift, 0.0, 0.0])
    shadows = build_shadow_map(pose_scene(compiled, time, left_eye), graph.light, left_eye)
    moment = Moment(graph, pose_scene(compiled, time, eye), shadows, eye, shift)
    camera = camera_of(graph, width, height)
    base = trace(_all_pixels(camera, heading), moment)
    radiance = base.radiance.reshape(height, width, 3)
    if supersampling > 1:
        edges = find_edges(radiance, base.thing.reshape(height, width))
        fine = trace(_edge_samples(camera, heading, edges, supersampling), moment)
        radiance[edges] = _mean_of_runs(fine.radiance, supersampling**2)
    unknown = np.zeros(base.thing.shape, np.int32)
    solid = base.thing >= 0
    owner = compiled.owner[moment.scene.row[base.thing[solid]]]
    unknown[solid] = compiled.unknown_id[owner]
    return View(
        radiance=radiance,
        labels=base.label.astype(np.uint8).reshape(height, width),
        inverse_depth=base.inverse_depth.reshape(height, width),
        unknown_ids=unknown.reshape(height, width),
    )


def trace(rays: Rays, moment: Moment) -> Samples:
    """Follow every ray to the first surface and shade it."""
    graph = moment.graph
    count = len(rays.dx)
    radiance = np.empty((count, 3), np.float32)
    label = np.full(count, SKY, np.int32)
    inverse_depth = np.zeros(count, np.float32)
    down = np.flatnonzero(rays.dy > 1e-6)
    ground = meet_ground(rays.dx[down], rays.dy[down], graph.road, moment.eye, rays.footprint)
    inverse_depth[down] = 1.0 / ground.depth
    hit = cast(rays, moment.scene, inverse_depth)

    bare = hit[down] < 0
    visible = down[bare]
    radiance[visible], label[visible] = _shade_ground(rays, moment, visible, ground.take(bare))
    solid = np.flatnonzero(hit >= 0)
    # Sorted by material, every material is one slice.
    material = moment.scene.compiled.material[moment.scene.row[hit[solid]]]
    solid = solid[np.argsort(material, kind="stable")]
    radiance[solid], label[solid] = shade_solids(
        rays, moment.scene, solid, hit[solid], inverse_depth
    )
    sky = np.flatnonzero((hit < 0) & (inverse_depth == 0.0))
    radiance[sky] = sky_radiance(rays.dx[sky], rays.dy[sky], graph.light)
    return Samples(radiance, label, inverse_depth, np.where(hit >= 0, hit, -1 - label))


def _shade_ground(
    rays: Rays, moment: Moment, visible: NDArray[np.int64], ground: GroundPoints
) -> tuple[Floats, Integers]:
    """Radiance (M, 3) and label (M,) of the rays ``visible``, which met the ``ground`` points."""
    graph = moment.graph
    order = np.full(len(rays.dx), -1, np.int32)
    order[visible] = np.arange(len(visible), dtype=np.int32)
    albedo = ground_albedo(ground, graph.road)
    apply_decals(ground, order, albedo, graph, moment.eye, rays)
    sun, ambient = look_up(moment.shadows, ground.x + np.float32(moment.eye_shift), ground.depth)
    normal = np.zeros_like(albedo)
    normal[:, 1] = -1.0
    lit = illuminate(albedo, normal, sun, graph.light) * ambient[:, None]
    return add_haze(lit, ground.depth, graph.light), ground.label


def _mean_of_runs(values: Floats, count: int) -> Floats:
    """(N * count, 3) -> (N, 3)."""
    total = values[::count].copy()
    for index in range(1, count):
        total += values[index::count]
    return np.asarray(total / np.float32(count), np.float32)


def find_edges(radiance: Floats, thing: Integers) -> NDArray[np.bool_]:
    """(H, W) pixels beside another thing or with much contrast to a neighbour."""
    grey = np.minimum(radiance, 1.2) @ np.full(3, 1.0 / 3.0, np.float32)
    kernel = np.ones((3, 3), np.uint8)
    contrast = cv2.dilate(grey, kernel) - cv2.erode(grey, kernel)
    things = thing.astype(np.float32)
    changes = cv2.dilate(things, kernel) != cv2.erode(things, kernel)
    return np.asarray(changes | (contrast > EDGE_CONTRAST))


def _all_pixels(camera: Camera, heading: float) -> Rays:
    columns, rows = np.arange(camera.width), np.arange(camera.height)
    dx = np.tile((columns - camera.cx) / camera.fx + heading, camera.height)
    dy = np.repeat((rows - camera.cy) / camera.fy, camera.width)
    slots = np.arange(camera.width * camera.height, dtype=np.int32)
    return _bundle(camera, heading, dx, dy, slots.reshape(camera.height, camera.width), 1)


def _edge_samples(
    camera: Camera, heading: float, edges: NDArray[np.bool_], supersampling: int
) -> Rays:
    rows, columns = np.nonzero(edges)
    slots = np.full(edges.shape, -1, np.int32)
    slots[rows, columns] = np.arange(len(rows), dtype=np.int32)
    shift = (np.arange(supersampling) + 0.5) / supersampling - 0.5
    across, down = np.tile(shift, supersampling), np.repeat(shift, supersampling)
    dx = ((columns[:, None] + across - camera.cx) / camera.fx + heading).ravel()
    dy = ((rows[:, None] + down - camera.cy) / camera.fy).ravel()
    return _bundle(camera, heading, dx, dy, slots, supersampling**2)


def _bundle(
    camera: Camera,
    heading: float,
    dx: NDArray[np.float64],
    dy: NDArray[np.float64],
    slots: Integers,
    samples: int,
) -> Rays:
    return Rays(
        dx=dx.astype(np.float32),
        dy=dy.astype(np.float32),
        slots=slots,
        samples=samples,
        focal=camera.fx,
        centre_column=camera.cx - camera.fx * heading,
        centre_row=camera.cy,
    )
