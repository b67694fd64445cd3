"""Ground that was seen to be free: what a costmap may clear.

A costmap clears every cell on the way from the camera to a clearing point. A point may therefore
only be given out where the whole way to it was seen: in its image column, from the lowest row up,
there must be ground and nothing else, and no obstacle of that column may be nearer. Columns stand
for directions in the plane, which holds for a camera that is not rolled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import FrameResult, Mask
from open_set_seg.label_spaces import LabelSpace

EVERY_COLUMN = slice(None)


@dataclass(frozen=True)
class FreeGroundConfig:
    """How free ground is thinned.

    Args:
        max_columns: columns that give points, spread over the image: a costmap's cells are wider
            than the pixels of all but the farthest ground.
        spacing: ratio of the distances of neighbouring points of a column, above 1.
        robot_rows: rows at the bottom of the image that show the robot itself (a bonnet), which
            stands in the way of nothing.

    Raises:
        ValueError: numbers out of range.
    """

    max_columns: int = 512
    spacing: float = 1.4
    robot_rows: int = 0

    def __post_init__(self) -> None:
        if self.max_columns < 1 or self.robot_rows < 0 or not self.spacing > 1:
            raise ValueError(
                "max_columns >= 1, robot_rows >= 0 and spacing > 1 are needed, not "
                f"{self.max_columns}, {self.robot_rows} and {self.spacing}"
            )


def find_free_ground(
    result: FrameResult,
    space: LabelSpace,
    config: FreeGroundConfig | None = None,
    columns: slice = EVERY_COLUMN,
) -> Mask:
    """Pixels that may clear, (H, W) bool: ground with valid range, seen without a gap from below.

    ``columns`` leaves out the others, and the result has as many: each stands for itself.

    In each column, above ``robot_rows``, the walk goes up from the bottom over pixels that are
    labelled as a ground class, and ends at the first that is anything else: unknown, another class,
    or part of an obstacle. Ground without range is walked over and not given out. Nothing as far as
    the nearest obstacle pixel of its column, or farther, is given out, which matters where an
    obstacle hangs over ground that is seen beneath it.

    Nothing at all for a frame that was not examined or carries no range.
    """
    config = config or FreeGroundConfig()
    labels = result.prediction.labels[:, columns]
    free = np.zeros(labels.shape, np.bool_)
    if not result.examined or result.range_map is None:
        return free
    obstacle, nearest = _find_obstacles(result)
    is_ground = np.zeros(256, np.bool_)
    is_ground[list(space.ground_ids)] = True
    ground = is_ground[labels] & ~obstacle[:, columns]
    bottom = labels.shape[0] - config.robot_rows
    if bottom <= 0:
        return free
    walked = np.logical_and.accumulate(ground[bottom - 1 :: -1], axis=0)[::-1]
    depth = result.range_map.depth[:bottom, columns]
    # NaN compares as false: ground without range is not given out.
    free[:bottom] = walked & (depth > 0) & (depth < nearest[columns])
    return free


def thin_free_ground(
    result: FrameResult, space: LabelSpace, config: FreeGroundConfig | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pixels of ``find_free_ground`` that are given out.

    A ray to the farthest point clears the nearer ones' cells too; points at several distances of a
    column are kept because a costmap refuses some (too far, too high by an error of the pitch). Of
    each chosen column and band of distances, [spacing^k, spacing^(k+1)) metres, it is the farthest.
    """
    config = config or FreeGroundConfig()
    width = result.prediction.labels.shape[1]
    step = -(-width // config.max_columns)
    columns = slice(step // 2, None, step)
    free = find_free_ground(result, space, config, columns)
    if result.range_map is None or not free.any():
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    z = np.where(free, result.range_map.depth[:, columns], -np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        band = np.floor(np.log(z.astype(np.float64)) / np.log(config.spacing))
    numbers = np.arange(width)[columns]
    rows, chosen = [], []
    for number in np.unique(band[np.isfinite(band)]):
        inside = np.where(band == number, z, -np.inf)
        farthest = inside.argmax(axis=0)
        there = np.isfinite(inside[farthest, np.arange(numbers.size)])
        rows.append(farthest[there])
        chosen.append(numbers[there])
    return np.concatenate(rows), np.concatenate(chosen)


def _find_obstacles(result: FrameResult) -> tuple[Mask, NDArray[np.float32]]:
    """Pixels of listed obstacles, (H, W), and the nearest depth of each column's, (W,)."""
    assert result.range_map is not None
    height, width = result.prediction.labels.shape
    mask = np.zeros((height, width), np.bool_)
    nearest = np.full(width, np.inf, np.float32)
    for obstacle in result.obstacles:
        left, top, across, down = obstacle.box
        window = np.s_[top : top + down, left : left + across]
        mask[window] |= obstacle.mask
        depth = np.where(obstacle.mask, result.range_map.depth[window], np.inf)
        depth = np.where(np.isnan(depth), np.inf, depth)
        part = nearest[left : left + across]
        np.minimum(part, depth.min(axis=0), out=part)
    return mask, nearest
