"""How the whole scene moved against the camera between two frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from open_set_seg.frame import Mask
from open_set_seg.tracking.places import GROUND, Floats, Places


@dataclass(frozen=True)
class GroundPose:
    """Where the camera is in the ground plane of any fixed frame, at the stamp of a frame.

    Attributes:
        x, z: metres; right and ahead of the fixed frame's origin.
        yaw: radians; the camera looks along (sin yaw, cos yaw): positive is a turn to the right.
    """

    x: float
    z: float
    yaw: float

    @property
    def known(self) -> bool:
        """Whether all of it is finite."""
        return all(map(math.isfinite, (self.x, self.z, self.yaw)))


def move_by_poses(places: Places, before: GroundPose, now: GroundPose) -> Places:
    """Where fixed places are seen after the camera moved: p' = R1^T (R0 p + t0 - t1)."""
    turn = now.yaw - before.yaw
    gone = now.x - before.x, now.z - before.z
    # The way that was driven, in the axes that the camera has now.
    right = math.cos(now.yaw) * gone[0] - math.sin(now.yaw) * gone[1]
    ahead = math.sin(now.yaw) * gone[0] + math.cos(now.yaw) * gone[1]
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    position, variance = places.position.copy(), places.variance.copy()
    position[:, GROUND] = places.position[:, GROUND] @ rotation.T - (right, ahead)
    variance[:, GROUND] = places.variance[:, GROUND] @ (rotation**2).T
    return Places(position, variance, places.box)


def find_consensus(before: Places, after: Places, reachable: Mask) -> Floats | None:
    """The displacement (x, z) that takes most places of one frame to places of the next.

    Every reachable pair proposes its own displacement; a proposal's support is the sum over the
    places before of exp(-d^2 / 2), d being the distance to the best fitting place after it in
    standard deviations. The smallest of equally supported displacements is taken.

    Args:
        reachable: (N, M) bool, the pairs that may be one.

    Returns:
        (2,) metres; None without any reachable pair.
    """
    sources, targets = np.nonzero(reachable)
    if not sources.size:
        return None
    moves = after.position[targets][:, GROUND] - before.position[sources][:, GROUND]
    variance = after.variance[targets][:, GROUND] + before.variance[sources][:, GROUND]
    support = np.zeros(sources.size)
    for source in np.unique(sources):
        its = sources == source
        apart = (moves[its] - moves[:, None]) ** 2 / variance[its]
        support += np.exp(-0.5 * apart.sum(axis=2)).max(axis=1)
    best = np.flatnonzero(support >= support.max() - 1e-9)
    lengths = np.hypot(*moves[best].T)
    chosen: Floats = moves[best[np.lexsort((*moves[best].T, lengths))[0]]]
    return chosen


def estimate_common_motion(moves: Floats, variance: Floats, expected: Floats | None) -> Floats:
    """Weighted medians of displacements: obstacles that move by themselves do not shift it.

    Args:
        moves: (P, 2) x and z displacements of matched obstacles in metres, P >= 1.
        variance: (P, 2) of them; the weights are their inverses.
        expected: displacement by the last known velocity: one vote of average weight.
    """
    weights = 1.0 / variance
    if expected is not None:
        moves = np.concatenate([moves, expected[None]])
        weights = np.concatenate([weights, weights.mean(axis=0, keepdims=True)])
    return np.array([weighted_median(*both) for both in zip(moves.T, weights.T, strict=True)])


def weighted_median(values: Floats, weights: Floats) -> float:
    """The middle of all points with at most half of the weight on either side."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    low = int(np.argmax(share >= 0.5 - 1e-12))
    high = min(int(np.argmax(share > 0.5 + 1e-12)), values.size - 1)
    return float(values[order[low]] + values[order[high]]) / 2
