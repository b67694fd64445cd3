"""How range is computed and which ranges are believed."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RangeConfig:
    """How range is computed and which ranges are believed.

    Args:
        min_range: nearest distance that is believed, metres.
        max_range: farthest distance that is believed, metres.
        focal_override: focal length in pixels in place of the disparity message's; None: trust it.
        baseline_override: baseline in metres in place of the disparity message's; None: trust it.
        disparity_scale: factor on disparity values, for drivers that send fixed-point numbers
            (1/16) or the opposite sign (-1).
        disparity_sigma: standard deviation of one disparity value's error in pixels, after the
            scale and without the rounding to ``DisparityMap.quantum``, which is added.
        depth_scale: factor on depth values, for drivers that send other units than metres.
        depth_sigma_per_m2: sigma_Z = this x Z^2 for depth input, 1/metres (0.0025: 6 cm at 5 m).
        tolerance: largest relative difference between two statements of the same number.

    Raises:
        ValueError: a number that is not finite or out of its range.
    """

    min_range: float = 0.5
    max_range: float = 80.0
    focal_override: float | None = None
    baseline_override: float | None = None
    disparity_scale: float = 1.0
    disparity_sigma: float = 0.2
    depth_scale: float = 1.0
    depth_sigma_per_m2: float = 0.0025
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        if not (0 < self.min_range < self.max_range < math.inf):
            raise ValueError(
                f"ranges need 0 < min_range < max_range, not {self.min_range} and {self.max_range}"
            )
        for name in ("focal_override", "baseline_override"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive, not {value}")
        for name in ("disparity_sigma", "depth_scale", "depth_sigma_per_m2", "tolerance"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive, not {value}")
        if self.disparity_scale == 0 or not math.isfinite(self.disparity_scale):
            raise ValueError(f"disparity_scale must not be {self.disparity_scale}")
