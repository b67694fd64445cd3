"""Disparity maps: is the message consistent, and which of its values can be believed."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from open_set_seg.frame import Camera, DisparityMap, FloatImage, Mask, Problem, RangeMap
from open_set_seg.stereo.config import RangeConfig

PLAUSIBLE_BASELINE_M = (0.01, 5.0)
LARGEST_QUANTUM_PX = 4.0


def range_from_disparity(
    disparity: DisparityMap, camera: Camera, config: RangeConfig, right_baseline: float | None
) -> tuple[RangeMap | None, tuple[Problem, ...]]:
    """See ``estimate_range``; the map has the image's size."""
    focal, focal_problems = _choose_focal_length(disparity, camera, config)
    baseline, baseline_problems = _choose_baseline(disparity, config, right_baseline)
    quantum, quantum_problems = _check_quantum(disparity)
    problems = focal_problems + baseline_problems + quantum_problems
    with np.errstate(over="ignore", invalid="ignore"):
        values = disparity.values * np.float32(config.disparity_scale)
        sign_problems = _check_sign(disparity, values, config)
    problems += sign_problems
    if any(problem.severity == "error" for problem in problems):
        return None, problems
    focal_baseline = focal * baseline
    valid = _valid_disparity(disparity, values, focal_baseline, config)
    if not valid.any():
        return None, (*problems, _empty_disparity(values, focal_baseline, config))
    sigma_px = math.hypot(
        config.disparity_sigma, quantum * abs(config.disparity_scale) / math.sqrt(12)
    )
    depth = np.where(valid, values, np.float32(np.nan))
    np.divide(np.float32(focal_baseline), depth, out=depth)
    sigma = np.square(depth)
    sigma *= np.float32(sigma_px / focal_baseline)
    return RangeMap(depth, sigma), problems


def _choose_focal_length(
    disparity: DisparityMap, camera: Camera, config: RangeConfig
) -> tuple[float, tuple[Problem, ...]]:
    """The focal length to use; a problem if it cannot be one or contradicts the camera."""
    overridden = config.focal_override is not None
    focal = disparity.focal_length if config.focal_override is None else config.focal_override
    if not 0 < focal < math.inf:
        return focal, (
            Problem(
                "disparity.focal_length",
                f"the disparity message states a focal length of {focal:g} px while the camera's "
                f"is {camera.fx:g} px; mend the driver or set focal_override",
                "error",
            ),
        )
    if _differ(focal, camera.fx, config.tolerance):
        return focal, (
            Problem(
                "disparity.focal_length_mismatch",
                f"the {'focal_override' if overridden else 'disparity message'} says "
                f"{focal:g} px but camera_info {camera.fx:g} px; distances would be off by "
                f"{_percent_off(focal, camera.fx)} % if camera_info is right; mend the driver or "
                "set focal_override to the right one",
                "warning" if overridden else "error",
            ),
        )
    return focal, ()


def _choose_baseline(
    disparity: DisparityMap, config: RangeConfig, right_baseline: float | None
) -> tuple[float, tuple[Problem, ...]]:
    """The baseline to use; a problem if it cannot be one or contradicts the right camera."""
    overridden = config.baseline_override is not None
    baseline = disparity.baseline if config.baseline_override is None else config.baseline_override
    source = "baseline_override" if overridden else "disparity message"
    severity: Literal["warning", "error"] = "warning" if overridden else "error"
    if not 0 < baseline < math.inf:
        message = (
            f"the disparity message states a baseline of {baseline:g} m, so there is no scale; "
            "mend the driver or set baseline_override"
        )
        return baseline, (Problem("disparity.baseline", message, "error"),)
    if right_baseline is not None and right_baseline < 0:
        message = (
            f"the right camera's camera_info states a baseline of {right_baseline:g} m: left and "
            "right are swapped; swap them, or set baseline_override if only its sign is wrong"
        )
        return baseline, (Problem("disparity.swapped", message, severity),)
    if right_baseline is not None and 0 < right_baseline < math.inf:
        if _differ(baseline, right_baseline, config.tolerance):
            message = (
                f"the {source} says {baseline:g} m but the right camera's "
                f"camera_info {right_baseline:g} m (ratio {baseline / right_baseline:.4g}); mend "
                "the driver or set baseline_override to the right one"
            )
            return baseline, (Problem("disparity.baseline_mismatch", message, severity),)
        return baseline, ()
    smallest, largest = PLAUSIBLE_BASELINE_M
    if not overridden and not smallest <= baseline <= largest:
        message = (
            f"the disparity message states a baseline of {baseline:g} m, which no stereo camera "
            f"on a vehicle has ({smallest:g} to {largest:g} m): a wrong unit? Feed the right "
            "camera's camera_info to confirm it, or set baseline_override"
        )
        return baseline, (Problem("disparity.baseline_implausible", message, "error"),)
    return baseline, ()


def _check_quantum(disparity: DisparityMap) -> tuple[float, tuple[Problem, ...]]:
    """The stated quantum, or 0 with a problem if no matcher can have it."""
    if 0 <= disparity.quantum <= LARGEST_QUANTUM_PX:
        return disparity.quantum, ()
    message = (
        f"the disparity message states steps of {disparity.quantum:g} px (delta_d); ignored, so "
        "the standard deviations rest on disparity_sigma alone"
    )
    return 0.0, (Problem("disparity.quantum", message),)


def _check_sign(
    disparity: DisparityMap, values: FloatImage, config: RangeConfig
) -> tuple[Problem, ...]:
    """A problem if the disparities are negative (invalid markers are too, but all alike)."""
    finite = np.isfinite(values)
    positive_count = int(np.count_nonzero(finite & (values > 0)))
    negative = finite & (values < 0)
    negative_count = int(np.count_nonzero(negative))
    if negative_count <= 100 * positive_count:
        return ()
    seen = values[negative]
    if seen.min() == seen.max():
        return ()
    flipped = -config.disparity_scale
    remedy = f"set disparity_scale to {flipped:g}"
    if disparity.baseline < 0:
        remedy += f" and baseline_override to {-disparity.baseline:g}"
    message = (
        f"disparities are negative ({seen.min():g} to {seen.max():g} px, baseline "
        f"{disparity.baseline:g} m): the driver uses the opposite sign, or left and right are "
        f"swapped; {remedy} in the first case"
    )
    return (Problem("disparity.sign", message, "error"),)


def _valid_disparity(
    disparity: DisparityMap, values: FloatImage, focal_baseline: float, config: RangeConfig
) -> Mask:
    """Where disparities can be believed; comparisons are positive, so NaN fails them all.

    The range limits are compared as disparities: no division by what may be zero or tiny.
    """
    smallest = max(focal_baseline / config.max_range, float(np.finfo(np.float32).tiny))
    largest = focal_baseline / config.min_range
    with np.errstate(invalid="ignore"):
        valid: Mask = (values >= np.float32(smallest)) & (values <= np.float32(largest))
        if disparity.min_disparity > 0:
            valid &= disparity.values >= np.float32(disparity.min_disparity)
        if disparity.max_disparity > disparity.min_disparity:
            valid &= disparity.values <= np.float32(disparity.max_disparity)
    return valid


def _empty_disparity(values: FloatImage, focal_baseline: float, config: RangeConfig) -> Problem:
    with np.errstate(invalid="ignore"):
        seen = values[np.isfinite(values) & (values > 0)]
    if seen.size == 0:
        found = "not one value is finite and positive"
    else:
        near, far = focal_baseline / float(seen.max()), focal_baseline / float(seen.min())
        found = (
            f"its positive values, {seen.min():g} to {seen.max():g} px, mean {near:g} to {far:g} m "
            "or lie outside its own min_disparity and max_disparity"
        )
    return Problem(
        "disparity.empty",
        f"the disparity has no pixel that can be believed: {found}; believed are "
        f"{config.min_range:g} to {config.max_range:g} m",
        "error",
    )


def _differ(first: float, second: float, tolerance: float) -> bool:
    return not abs(first - second) <= tolerance * abs(second)


def _percent_off(value: float, reference: float) -> str:
    return f"{100 * (value / reference - 1):+.3g}"
