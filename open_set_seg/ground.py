"""The region of the image in which an obstacle must stand: the ground focus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.components import Runs, find_runs, label_components
from open_set_seg.frame import LabelImage, Mask
from open_set_seg.label_spaces import LabelSpace

GroundMode = Literal["hull", "off"]


@dataclass(frozen=True)
class GroundConfig:
    """How the ground region is found.

    Args:
        mode: ``hull``: the convex hull of all pixels predicted as a ground class of the label
            space; ``off``: the whole image.
        min_speck_share: connected groups of ground pixels that are smaller than this share of the
            image are left out of the hull: one stray pixel in the sky would open the gate for the
            whole image. 0 is the definition of the paper.

    Raises:
        ValueError: an unknown mode or a share outside [0, 1).
    """

    mode: GroundMode = "hull"
    min_speck_share: float = 0.001

    def __post_init__(self) -> None:
        if self.mode not in get_args(GroundMode):
            raise ValueError(f"mode is one of {', '.join(get_args(GroundMode))}, not {self.mode!r}")
        if not 0 <= self.min_speck_share < 1:
            raise ValueError(f"min_speck_share must be in [0, 1), not {self.min_speck_share}")


def find_ground(nearest: LabelImage, label_space: LabelSpace, config: GroundConfig) -> Mask | None:
    """The ground region, (H, W) bool, or None where no ground was predicted.

    The convex hull of the predicted road and sidewalk is the "ground focus" of NFlowJS (Grcic,
    Bevandic, Kalafatic, Segvic: Dense out-of-distribution detection by robust learning on
    synthetic negative data, section 5.2). None is not an empty region: nothing can be said about
    obstacles then.

    Args:
        nearest: (H, W) nearest known class of every pixel.
        label_space: says which classes are ground.
        config: mode and robustness.
    """
    if config.mode == "off":
        return np.ones(nearest.shape, np.bool_)
    is_ground = np.zeros(256, np.uint8)
    is_ground[list(label_space.ground_ids)] = 1
    ground = np.asarray(cv2.LUT(nearest, is_ground), np.uint8)
    corners = _row_ends(_ground_runs(ground, config.min_speck_share * ground.size))
    if corners.shape[0] == 0:
        return None
    region = np.zeros(ground.shape, np.uint8)
    cv2.fillConvexPoly(region, cv2.convexHull(corners), 1)
    return region.view(np.bool_)


def _ground_runs(ground: NDArray[np.uint8], min_area: float) -> Runs:
    """Runs of the mask, without those of components that are smaller."""
    if min_area <= 0:
        return find_runs(ground)
    components = label_components(ground)
    return components.runs.select((components.areas() >= min_area)[components.numbers])


def _row_ends(runs: Runs) -> NDArray[np.int32]:
    """(N, 2) (column, row) of the first and last pixel of each row: the hull's corners."""
    rows, begin = np.unique(runs.rows, return_index=True)
    first = runs.columns[begin]
    end = np.append(begin, runs.rows.size)[1:] - 1
    last = (runs.columns + runs.lengths)[end] - 1
    corners = np.stack([np.concatenate([first, last]), np.concatenate([rows, rows])], axis=1)
    return corners.astype(np.int32)
