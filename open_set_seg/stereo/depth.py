"""Depth maps: which of their values can be believed."""

from __future__ import annotations

import numpy as np

from open_set_seg.frame import DepthMap, FloatImage, Mask, Problem, RangeMap
from open_set_seg.stereo.config import RangeConfig

# The nearest twentieth of a depth image of a scene lies closer than this, or it is not in metres.
FARTHEST_PLAUSIBLE_FOREGROUND_M = 200.0


def range_from_depth(
    depth_map: DepthMap, config: RangeConfig
) -> tuple[RangeMap | None, tuple[Problem, ...]]:
    """See ``estimate_range``; the map has the image's size."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = depth_map.values * np.float32(config.depth_scale)
        valid: Mask = (values >= np.float32(config.min_range)) & (
            values <= np.float32(config.max_range)
        )
    if np.count_nonzero(valid) < 0.05 * valid.size:
        problems = _check_depth_unit(values, config)
        if problems:
            return None, problems
    if not valid.any():
        message = (
            "the depth has no pixel that can be believed: none is finite and between "
            f"{config.min_range:g} and {config.max_range:g} m"
        )
        return None, (Problem("depth.empty", message, "error"),)
    depth = np.where(valid, values, np.float32(np.nan))
    return RangeMap(depth, depth * depth * np.float32(config.depth_sigma_per_m2)), ()


def _check_depth_unit(values: FloatImage, config: RangeConfig) -> tuple[Problem, ...]:
    """A problem if the nearest part of the scene lies implausibly far away."""
    with np.errstate(invalid="ignore"):
        seen = values[np.isfinite(values) & (values > 0)]
    if seen.size == 0:
        return ()
    nearest = float(np.quantile(seen, 0.05))
    if nearest <= FARTHEST_PLAUSIBLE_FOREGROUND_M:
        return ()
    message = (
        f"19 of 20 depths lie beyond {nearest:g} m: they look like millimetres; send metres "
        f"(32FC1) or millimetres as 16UC1, or set depth_scale to {config.depth_scale / 1000:g}"
    )
    return (Problem("depth.unit", message, "error"),)
