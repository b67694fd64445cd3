"""The words beside an obstacle, the same in pictures and in three-dimensional scenes."""

from __future__ import annotations

import math

from open_set_seg.frame import Obstacle
from open_set_seg.label_spaces import UNKNOWN_NAME
from open_set_seg.tracking import TrackedObstacle


def caption_obstacle(obstacle: Obstacle) -> str:
    """``#7 12.3 ± 0.4 m``: who it is where it is followed, what it is if known, and how far.

    An obstacle that is not followed has no number: its place in the list changes with the frame.
    """
    followed = isinstance(obstacle, TrackedObstacle)
    words = [
        f"#{obstacle.id}" if followed else "",
        "" if obstacle.kind == UNKNOWN_NAME else obstacle.kind,
        describe_distance(obstacle.distance, obstacle.distance_sigma),
    ]
    return " ".join(filter(None, words))


def describe_distance(distance: float, sigma: float) -> str:
    """``12.3 ± 0.4 m``, ``7.31 ± 0.05 m``; ``? m`` where no range was measured.

    Args:
        distance: metres; NaN where unknown.
        sigma: its standard deviation in metres; NaN where unknown, then it is left out.
    """
    if not math.isfinite(distance):
        return "? m"
    if not math.isfinite(sigma):
        return f"{distance:.1f} m"
    # "± 0.0" would claim a certainty that no sensor has.
    shown = max(sigma, 0.01)
    digits = 1 if shown >= 0.1 else 2
    return f"{distance:.{digits}f} ± {shown:.{digits}f} m"
