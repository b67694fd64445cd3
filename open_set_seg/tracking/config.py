"""When two obstacles of different frames are one, and when to believe in it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TrackingConfig:
    """When two obstacles of different frames are one, and when to believe in it.

    Args:
        confirm_hits, confirm_window: an obstacle is confirmed when it was seen in k of the last n
            examined frames. The default, 2 of 3, adds one frame of delay: 0 for tentative ones.
        lose_misses, lose_window: a confirmed one stays so until it was missed in m of the last n.
        max_gap_s: seconds between examined frames beyond which everything begins anew.
        largest_speed: m/s; nothing moves faster, relative to the camera (to the ground where the
            camera's pose is given).
        own_speed: m/s, standard deviation of an obstacle's motion against the common one.
        turn_rate: rad/s, standard deviation of how fast the camera turns; for frames without pose.
        gate_sigmas: largest distance of an obstacle from where it is expected, in standard
            deviations of that difference.
        min_overlap: smallest intersection over union of two boxes where a range is unknown.

    Raises:
        ValueError: a number out of its range.
    """

    confirm_hits: int = 2
    confirm_window: int = 3
    lose_misses: int = 4
    lose_window: int = 5
    max_gap_s: float = 2.0
    largest_speed: float = 40.0
    own_speed: float = 5.0
    turn_rate: float = 0.2
    gate_sigmas: float = 3.5
    min_overlap: float = 0.2

    def __post_init__(self) -> None:
        for count, window in (("confirm_hits", "confirm_window"), ("lose_misses", "lose_window")):
            few, many = getattr(self, count), getattr(self, window)
            if not 1 <= few <= many:
                raise ValueError(f"{count} must be 1 to {window}, not {few} of {many}")
        for name in ("max_gap_s", "largest_speed", "gate_sigmas"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("own_speed", "turn_rate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be {getattr(self, name)}")
        if not 0 < self.min_overlap <= 1:
            raise ValueError(f"min_overlap must be in (0, 1], not {self.min_overlap}")
