"""Clear against blind: what an empty list of obstacles is worth in this frame.

The corridor is a strip of ground along the optical axis. It is looked at from above: points on a
grid of the ground plane are projected into the image, so shares are shares of road, not of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Camera, FrameResult, Mask
from open_set_seg.label_spaces import UNLABELLED
from open_set_seg.monitoring.detectability import Sight, find_detectable_distances
from open_set_seg.monitoring.ground_plane import GroundPlane, fit_ground_plane, level_plane
from open_set_seg.obstacles import ObstacleConfig

# A range this much nearer than the ground (and 3 sigma) belongs to something that hides it.
OCCLUSION = 0.1
SAMPLES_ACROSS, SAMPLES_PER_BAND = 15, 40
PlaneSource = Literal["ranges", "camera height"]


@dataclass(frozen=True)
class VisibilityConfig:
    """Args:
        corridor_width: metres, half of it on each side of the optical axis.
        band_edges: metres along the optical axis; from each edge to the next is a band.
        object_sizes: edges of the squares whose detectable distance is stated, metres.
        camera_height: of the camera over flat ground that it looks along, metres, for frames
            whose ranges give no plane; None: nothing is said about those.
        min_share: smallest share of a band (seen, and with range) that is not called blind, and
            of the corridor that must be seen at a distance at which an object would be found.

    Raises:
        ValueError: a number out of its range.
    """

    corridor_width: float = 2.5
    band_edges: tuple[float, ...] = (5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0)
    object_sizes: tuple[float, ...] = (0.1, 0.2, 0.3)
    camera_height: float | None = None
    min_share: float = 0.5

    def __post_init__(self) -> None:
        edges = (0.0, *self.band_edges, math.inf)
        rising = all(low < high for low, high in pairwise(edges))
        if len(self.band_edges) < 2 or not rising:
            raise ValueError(f"band_edges must rise from above 0, not {self.band_edges}")
        height = 1.0 if self.camera_height is None else self.camera_height
        for name, value in (
            ("corridor_width", self.corridor_width),
            ("camera_height", height),
            *(("object_sizes", size) for size in self.object_sizes),
        ):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive, not {value}")
        if not 0 < self.min_share <= 1:
            raise ValueError(f"min_share must be in (0, 1], not {self.min_share}")


@dataclass(frozen=True)
class Band:
    """A piece of the corridor.

    Attributes:
        near, far: metres along the optical axis.
        seen_share: share of its ground that is in the image, segmented, inside the region that
            gates obstacles, and hidden by nothing; [0, 1], NaN where no ground plane is known.
        range_share: share of its ground that is in the image and has a valid range; likewise.
    """

    near: float
    far: float
    seen_share: float
    range_share: float


@dataclass(frozen=True)
class Visibility:
    """What an empty list is worth.

    Attributes:
        bands: nearest first.
        corridor_share, range_share: as in ``Band``, over all bands.
        blind_bands: those of which too little was seen or had range. Where nothing can be said
            all of them are: silence is no evidence.
        detectable_distance_m: size in metres -> distance in metres up to which a square of that
            size on the corridor would be an obstacle by the rules of ``ObstacleConfig``, had the
            network marked all of its pixels; wherever it lies on the pixel grid. It begins where
            the corridor enters the image. 0: not even there; NaN: cannot be said.
        plane: the ground; None where it is not known, and everything above NaN.
        plane_source: where the plane is from.
    """

    bands: tuple[Band, ...]
    corridor_share: float
    range_share: float
    blind_bands: tuple[Band, ...]
    detectable_distance_m: Mapping[float, float]
    plane: GroundPlane | None
    plane_source: PlaneSource | None

    @property
    def clear_until_m(self) -> float:
        """The far end of the bands before the first blind one, metres; NaN if that is the first."""
        far = math.nan
        for band in self.bands:
            if band in self.blind_bands:
                break
            far = band.far
        return far


def assess_visibility(
    result: FrameResult, obstacles: ObstacleConfig, config: VisibilityConfig | None = None
) -> Visibility:
    """What was seen of the corridor, and what would have been found on it.

    Args:
        result: of the frame.
        obstacles: the rules by which it was searched.
        config: corridor, bands and sizes.
    """
    config = config or VisibilityConfig()
    plane, source = _find_plane(result, config)
    camera = result.camera
    if plane is None or camera is None:
        return _say_nothing(config)
    looker = _Looker(result, camera, plane, config)
    edges = config.band_edges
    bands = tuple(looker.look_at_band(near, far) for near, far in pairwise(edges))
    lengths = np.diff(edges)
    return Visibility(
        bands=bands,
        corridor_share=float(np.average([band.seen_share for band in bands], weights=lengths)),
        range_share=float(np.average([band.range_share for band in bands], weights=lengths)),
        blind_bands=_blind(bands, config),
        detectable_distance_m=find_detectable_distances(
            Sight(
                camera,
                plane,
                None if result.range_map is None else looker.valid,
                looker.seen_at,
                config.corridor_width,
            ),
            obstacles,
            config.object_sizes,
            farthest=edges[-1],
            min_share=config.min_share,
        ),
        plane=plane,
        plane_source=source,
    )


def _find_plane(
    result: FrameResult, config: VisibilityConfig
) -> tuple[GroundPlane | None, PlaneSource | None]:
    plane = fit_ground_plane(result)
    if plane is not None:
        return plane, "ranges"
    if config.camera_height is not None:
        return level_plane(config.camera_height), "camera height"
    return None, None


def _say_nothing(config: VisibilityConfig) -> Visibility:
    edges = config.band_edges
    bands = tuple(Band(near, far, math.nan, math.nan) for near, far in pairwise(edges))
    distances = dict.fromkeys(config.object_sizes, math.nan)
    return Visibility(bands, math.nan, math.nan, bands, distances, None, None)


def _blind(bands: tuple[Band, ...], config: VisibilityConfig) -> tuple[Band, ...]:
    least = config.min_share
    return tuple(
        band for band in bands if not (band.seen_share >= least and band.range_share >= least)
    )


class _Looker:
    """Answers for points of the corridor what the frame knows of them."""

    def __init__(
        self, result: FrameResult, camera: Camera, plane: GroundPlane, config: VisibilityConfig
    ) -> None:
        shape = result.prediction.labels.shape
        self._camera, self._plane, self._ranges = camera, plane, result.range_map
        # Where nothing was searched nothing was seen.
        self._examined: Mask = np.zeros(shape, np.bool_)
        if result.examined and result.ground is not None:
            self._examined = result.ground & (result.prediction.labels != UNLABELLED)
        self.valid: Mask = np.zeros(shape, np.bool_)
        if self._ranges is not None:
            self.valid = np.isfinite(self._ranges.depth)
        cells = (np.arange(SAMPLES_ACROSS) + 0.5) / SAMPLES_ACROSS - 0.5
        self._across = config.corridor_width * cells

    def look_at_band(self, near: float, far: float) -> Band:
        cells = (np.arange(SAMPLES_PER_BAND) + 0.5) / SAMPLES_PER_BAND
        seen, valid = self._look(near + (far - near) * cells)
        return Band(near, far, float(seen.mean()), float(valid.mean()))

    def seen_at(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the corridor that was seen at each distance, [0, 1]."""
        return np.asarray(self._look(distances)[0].mean(axis=1))

    def _look(self, distances: NDArray[np.float64]) -> tuple[Mask, Mask]:
        """Whether each point at (distance, place across) was seen, and whether it has range."""
        camera = self._camera
        z = distances[:, None]
        columns = np.rint(camera.fx * self._across / z + camera.cx)
        rows = np.rint(camera.fy * self._plane.heights(self._across, z) / z + camera.cy)
        inside = (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
        u = np.where(inside, columns, 0).astype(np.intp)
        v = np.where(inside, rows, 0).astype(np.intp)
        valid = self.valid[v, u] & inside
        seen = self._examined[v, u] & inside
        if self._ranges is not None:
            depth, sigma = self._ranges.depth[v, u], np.nan_to_num(self._ranges.sigma[v, u])
            with np.errstate(invalid="ignore"):
                seen &= ~(depth + 3.0 * sigma < (1.0 - OCCLUSION) * z)
        return seen, valid
