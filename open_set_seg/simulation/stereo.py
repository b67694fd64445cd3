"""A stereo frame with its truth: what the simulated camera hands out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from open_set_seg.frame import (
    Camera,
    DepthMap,
    DisparityMap,
    FloatImage,
    Frame,
    ImageRGB,
    LabelImage,
    Mask,
)
from open_set_seg.label_spaces import STREETHAZARDS, UNLABELLED
from open_set_seg.simulation.config import SceneConfig, check_view
from open_set_seg.simulation.layout import build_scene
from open_set_seg.simulation.rendering.compiled import (
    CompiledScene,
    compile_scene,
    object_positions,
)
from open_set_seg.simulation.rendering.exposure import develop
from open_set_seg.simulation.rendering.render import View, camera_of, eye_of, render_view
from open_set_seg.simulation.sensor import sense_disparity

FRAME_ID = "left_camera_optical_frame"


@dataclass(frozen=True)
class StereoRig:
    """Two rectified cameras of the same intrinsics; the right one ``baseline`` metres right."""

    camera: Camera
    baseline: float


@dataclass(frozen=True, eq=False)
class TrueObstacle:
    """An unknown object as it stands in a frame, of which at least one pixel shows.

    Attributes:
        id: the same in all frames of a scene; family: what it is.
        position: (x, y, z) of the middle of its base, metres, optical frame.
        size: (width, height, length) in metres, along its own axes.
        distance: nearest Z among its visible pixels, metres.
        visible_distance: 10th percentile of the exact Z over its visible pixels, metres.
        box: (left, top, width, height) in pixels of its visible part.
        mask: (box height, box width) bool inside ``box``.
        visible_px: number of its visible pixels.
    """

    id: int
    family: str
    camouflaged: bool
    position: tuple[float, float, float]
    size: tuple[float, float, float]
    distance: float
    visible_distance: float
    box: tuple[int, int, int, int]
    mask: Mask
    visible_px: int

    def full_mask(self, width: int, height: int) -> Mask:
        """(H, W) bool."""
        full = np.zeros((height, width), bool)
        left, top, columns, rows = self.box
        full[top : top + rows, left : left + columns] = self.mask
        return full


@dataclass(frozen=True, eq=False)
class StereoFrame:
    """One moment of the simulated stereo camera with its ground truth.

    Attributes:
        left, right: (H, W, 3) uint8 RGB; ``right`` is None where it was not asked for.
        labels: (H, W) uint8 StreetHazards ids; K = 12 on unknown objects.
        disparity: (H, W) float32 exact, pixels, at pixel centres; 0 for the sky.
        sensor_disparity: what a matcher would report.
    """

    stamp_ns: int
    left: ImageRGB
    right: ImageRGB | None
    labels: LabelImage
    disparity: FloatImage
    sensor_disparity: DisparityMap
    rig: StereoRig
    obstacles: tuple[TrueObstacle, ...]

    @property
    def outlier_mask(self) -> LabelImage:
        """(H, W) uint8: 0 inlier, 1 outlier, 255 where unlabelled."""
        mask = np.asarray(self.labels == STREETHAZARDS.unknown_id, np.uint8)
        mask[self.labels == UNLABELLED] = 255
        return mask

    @property
    def depth(self) -> FloatImage:
        """(H, W) float32 exact Z in metres, NaN for the sky."""
        seen = self.disparity > 0.0
        reach = np.float32(self.rig.camera.fx * self.rig.baseline)
        depth = np.full(self.disparity.shape, np.nan, np.float32)
        depth[seen] = reach / self.disparity[seen]
        return depth

    def frame(self, frame_id: str = FRAME_ID, exact: bool = False) -> Frame:
        """What the detector gets: the left image with sensor disparity, or with exact depth."""
        range_input = DepthMap(self.depth) if exact else self.sensor_disparity
        return Frame(
            image=self.left,
            stamp_ns=self.stamp_ns,
            frame_id=frame_id,
            camera=self.rig.camera,
            range_input=range_input,
            right_baseline=self.rig.baseline,
        )


def render_still(
    seed: int,
    width: int = 512,
    height: int = 256,
    unknown_objects: bool = True,
    right: bool = False,
    supersampling: int = 2,
) -> StereoFrame:
    """One stereo frame of the scene of a seed, development families only.

    Args:
        unknown_objects: False for scenes of known classes alone.
        right: whether the right image is rendered as well.
        supersampling: samples along each side of a pixel that lies on an edge.

    Raises:
        ValueError: a size or number out of range.
    """
    check_view(width, height, supersampling)
    compiled = compile_scene(build_scene(seed, SceneConfig(unknown_objects=unknown_objects)))
    return render_stereo(compiled, width, height, right=right, supersampling=supersampling)


def render_stereo(
    compiled: CompiledScene,
    width: int,
    height: int,
    time: float = 0.0,
    travelled: float = 0.0,
    index: int = 0,
    stamp_ns: int = 0,
    right: bool = False,
    supersampling: int = 2,
    sensor_noise: bool = True,
) -> StereoFrame:
    """Render one moment of a scene; ``index`` numbers the frame for its sensor noise.

    Args:
        time: seconds since the start; travelled: metres driven since the start.
        sensor_noise: False for ideal images (the sensor disparity keeps its defects).
    """
    graph = compiled.graph
    camera, baseline = camera_of(graph, width, height), graph.mount.baseline
    view = render_view(compiled, width, height, time, travelled, False, supersampling)
    left = develop(view.radiance, graph.optics, _noise_key(graph.seed, index, "left", sensor_noise))
    right_image = None
    if right:
        other = render_view(compiled, width, height, time, travelled, True, supersampling)
        key = _noise_key(graph.seed, index, "right", sensor_noise)
        right_image = develop(other.radiance, graph.optics, key)
    disparity = np.float32(camera.fx * baseline) * view.inverse_depth
    sensed = sense_disparity(
        disparity, left, camera.fx, baseline, (graph.seed, f"frame/{index}/disparity")
    )
    return StereoFrame(
        stamp_ns=stamp_ns,
        left=left,
        right=right_image,
        labels=view.labels,
        disparity=disparity,
        sensor_disparity=sensed,
        rig=StereoRig(camera, baseline),
        obstacles=find_true_obstacles(compiled, view, time, travelled),
    )


def find_true_obstacles(
    compiled: CompiledScene, view: View, time: float, travelled: float
) -> tuple[TrueObstacle, ...]:
    """The unknown objects of which something shows, nearest first."""
    graph = compiled.graph
    positions, _ = object_positions(compiled, time)
    eye, heading = eye_of(graph, travelled)
    found = []
    for index, entry in enumerate(graph.objects):
        if not entry.unknown_id:
            continue
        mask = view.unknown_ids == entry.unknown_id
        count = int(mask.sum())
        if count == 0:
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
        depth = 1.0 / view.inverse_depth[mask].astype(np.float64)
        x, y, z = (positions[index] - eye).tolist()
        found.append(
            TrueObstacle(
                id=entry.unknown_id,
                family=entry.kind,
                camouflaged=entry.camouflaged,
                position=(x - heading * z, y, z),
                size=entry.size,
                distance=float(depth.min()),
                visible_distance=float(np.percentile(depth, 10.0)),
                box=box,
                mask=mask[box[1] : box[1] + box[3], box[0] : box[0] + box[2]].copy(),
                visible_px=count,
            )
        )
    return tuple(sorted(found, key=lambda obstacle: obstacle.distance))


def _noise_key(seed: int, index: int, eye: str, wanted: bool) -> tuple[int, str] | None:
    return (seed, f"frame/{index}/{eye}") if wanted else None
