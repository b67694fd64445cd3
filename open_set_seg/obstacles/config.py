"""What counts as an obstacle."""

from __future__ import annotations

import math
from dataclasses import dataclass

from open_set_seg.label_spaces import UNKNOWN_NAME, LabelSpace


@dataclass(frozen=True)
class ObstacleConfig:
    """What counts as an obstacle.

    A region is kept iff it touches the ground region, has at least ``min_area_px`` pixels, and
    has either a frontal area of ``min_area_m2`` or ``min_blind_area_px`` pixels without range.
    Every one of these can only grow when the region grows, so a lower threshold never silences
    an alarm of *unknown*. One of a known class it may: pixels that become unknown are no longer
    that class.

    Args:
        min_area_px: fewest pixels.
        min_area_m2: smallest frontal area, the sum of Z^2 / (fx fy) over pixels with range, m^2.
        min_blind_area_px: pixels without range that keep a region regardless of its frontal area.
        opening: clear the mask of threads and specks by a 3x3 opening first.
        known_classes: names of known classes that are listed as obstacles too.
        max_obstacles: the most that are measured and listed; the largest in pixels are kept.
        min_valid_px: fewest pixels with range for a distance.
        min_valid_share: smallest share of pixels with range for a distance.

    Raises:
        ValueError: a number out of its range, or *unknown* among the known classes.
    """

    min_area_px: int = 12
    min_area_m2: float = 0.03
    min_blind_area_px: int = 60
    opening: bool = True
    known_classes: tuple[str, ...] = ()
    max_obstacles: int = 50
    min_valid_px: int = 4
    min_valid_share: float = 0.05

    def __post_init__(self) -> None:
        for name in ("min_area_px", "min_blind_area_px", "max_obstacles", "min_valid_px"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.min_area_m2 < math.inf:
            raise ValueError(f"min_area_m2 must not be {self.min_area_m2}")
        if not 0 <= self.min_valid_share <= 1:
            raise ValueError(f"min_valid_share must be in [0, 1], not {self.min_valid_share}")
        if UNKNOWN_NAME in self.known_classes:
            raise ValueError(f"{UNKNOWN_NAME!r} is always listed; known_classes names others")
        if len(set(self.known_classes)) != len(self.known_classes):
            raise ValueError(f"known_classes repeats a name: {self.known_classes}")

    def check_classes(self, label_space: LabelSpace) -> None:
        """Raise ``ValueError`` if a chosen class is not one of the label space's."""
        strangers = set(self.known_classes) - set(label_space.classes)
        if strangers:
            raise ValueError(
                f"known_classes has {sorted(strangers)}, but {label_space.name!r} knows "
                f"{', '.join(label_space.classes)}"
            )
