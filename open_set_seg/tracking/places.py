"""Where obstacles are, as arrays, and how well two of different frames fit together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Mask, Obstacle
from open_set_seg.tracking.config import TrackingConfig

if TYPE_CHECKING:
    from typing_extensions import Self

Floats = NDArray[np.float64]
X, Y, Z = 0, 1, 2
GROUND = (X, Z)

# A region's centre and near face move a little from frame to frame although nothing else does.
SHAPE_SIGMA = 0.2  # metres
SHARE_OF_WIDTH, SHARE_OF_HEIGHT = 0.25, 0.5
PITCH_SIGMA = 0.02  # radians: the camera nods
FARTHEST = 1e6  # metres; anything beyond is no measurement


@dataclass(frozen=True, eq=False)
class Places:
    """Where N obstacles are.

    Attributes:
        position: (N, 3) x, y, z in metres, optical frame; NaN where unknown.
        variance: (N, 3) of it, m^2, finite everywhere.
        box: (N, 4) left, top, width, height in pixels.
    """

    position: Floats
    variance: Floats
    box: Floats

    @classmethod
    def of(cls, obstacles: Sequence[Obstacle]) -> Self:
        """The places of obstacles, with what their measurement and their shape leave uncertain."""
        position = _column([one.position for one in obstacles], 3)
        known = (np.abs(position) < FARTHEST).all(axis=1) & (position[:, Z] > 0)
        position[~known] = np.nan
        sizes = _column([(one.distance_sigma, one.width, one.height) for one in obstacles], 3)
        sigma, width, height = np.where((sizes >= 0) & (sizes < FARTHEST), sizes, 0.0).T
        # x and y are a bearing times the distance.
        with np.errstate(over="ignore", invalid="ignore"):
            scale = np.abs(position / position[:, Z:])
        spread = np.where(known[:, None], np.minimum(scale, FARTHEST), 0.0) * sigma[:, None]
        shape = np.full_like(position, SHAPE_SIGMA**2)
        shape[:, X] += (SHARE_OF_WIDTH * width) ** 2
        shape[:, Y] += (SHARE_OF_HEIGHT * height) ** 2
        shape[:, Y] += (PITCH_SIGMA * np.where(known, position[:, Z], 0.0)) ** 2
        return cls(position, spread**2 + shape, _column([one.box for one in obstacles], 4))

    def select(self, order: Sequence[int]) -> Self:
        """Some of the places, in the order of their indices."""
        return type(self)(
            *(a[np.array(order, np.intp)] for a in (self.position, self.variance, self.box))
        )

    def joined(self, other: Self) -> Self:
        """These places and then the others."""
        return type(self)(
            np.concatenate([self.position, other.position]),
            np.concatenate([self.variance, other.variance]),
            np.concatenate([self.box, other.box]),
        )

    def moved(self, shift: Floats) -> Self:
        """All of them moved by (x, z) metres."""
        position = self.position.copy()
        position[:, GROUND] += shift
        return type(self)(position, self.variance, self.box)

    def waited(self, seconds: float, config: TrackingConfig, turning: bool) -> Self:
        """As uncertain as they are some seconds later.

        Args:
            turning: whether the camera may have turned in an unknown way meanwhile.
        """
        variance = self.variance.copy()
        variance[:, GROUND] += (config.own_speed * seconds) ** 2
        if turning:
            depth = np.nan_to_num(self.position[:, Z])
            variance[:, X] += (config.turn_rate * seconds * depth) ** 2
        return type(self)(self.position, variance, self.box)


def _column(rows: Sequence[Sequence[float]], width: int) -> Floats:
    return np.array(rows, np.float64).reshape(len(rows), width)


def find_reachable(before: Places, after: Places, seconds: float, config: TrackingConfig) -> Mask:
    """(N, M) bool: both positions are known, and no farther apart than the largest speed allows.

    The uncertainty of both comes on top of ``largest_speed * seconds``.
    """
    apart = after.position[:, GROUND] - before.position[:, None, GROUND]
    variance = after.variance[:, GROUND] + before.variance[:, None, GROUND]
    sigma = np.sqrt(variance.max(axis=2))
    reach = config.largest_speed * seconds + config.gate_sigmas * sigma
    near: Mask = np.hypot(apart[..., 0], apart[..., 1]) <= reach
    return near


def measure_costs(before: Places, after: Places, reachable: Mask, config: TrackingConfig) -> Floats:
    """(N, M) costs in [0, 1], inf where two cannot be one.

    Where both positions are known: the squared distance in standard deviations of the difference,
    over the square of ``gate_sigmas``; the height counts too, because parts of one thing may lie
    above each other. Elsewhere: (1 - IoU) / (1 - ``min_overlap``) of the boxes.

    Args:
        before: where the tracks are expected.
        after: where the obstacles are.
        reachable: (N, M), see ``find_reachable``.
    """
    apart = after.position - before.position[:, None]
    variance = after.variance + before.variance[:, None]
    costs: Floats = (apart**2 / variance).sum(axis=2) / config.gate_sigmas**2
    blind = np.isnan(costs)
    costs[~(reachable | blind)] = np.inf
    overlap = measure_overlaps(before.box, after.box)[blind]
    allowance = max(1.0 - config.min_overlap, np.finfo(np.float64).tiny)
    costs[blind] = np.where(overlap >= config.min_overlap, (1.0 - overlap) / allowance, np.inf)
    costs[costs > 1.0] = np.inf
    return costs


def measure_overlaps(first: Floats, second: Floats) -> Floats:
    """(N, M) intersection over union of boxes (left, top, width, height)."""
    sides = []
    for start, size in ((0, 2), (1, 3)):
        begin = np.maximum(first[:, None, start], second[:, start])
        ends = first[:, start] + first[:, size], second[:, start] + second[:, size]
        sides.append(np.maximum(np.minimum(ends[0][:, None], ends[1]) - begin, 0.0))
    common = sides[0] * sides[1]
    areas = first[:, 2] * first[:, 3], second[:, 2] * second[:, 3]
    union = areas[0][:, None] + areas[1] - common
    overlap: Floats = common / np.maximum(union, np.finfo(np.float64).tiny)
    return overlap
