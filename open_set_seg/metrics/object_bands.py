"""Figures of the objects in one band of distance or of size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.object_matching import Outcome
from open_set_seg.metrics.protocols import Band

# The median of |x| of a standard Gaussian, inverted: makes a median deviation a standard deviation.
MAD_TO_SIGMA = 1.482602218505602


@dataclass(frozen=True)
class BandMetrics:
    """What happened in one band of distance, or of size; NaN where there was nothing to measure.

    Attributes:
        band: [near, far) in metres; of size: [fewest, most) in pixels.
        objects: true objects whose true distance (whose visible pixels) are in the band.
        found: how many of them were found.
        recall: found / objects.
        false_per_frame: false detections whose *measured* distance (whose area) is in the band,
            per frame.
        measured: found objects with a known measured distance.
        median_relative_error: median of |measured - true| / true.
        bias: median of measured - true, metres.
        spread: robust standard deviation of measured - true (1.4826 x MAD), metres.
        bias_in_sigmas: median of (measured - true) / stated sigma.
        spread_in_sigmas: its robust standard deviation: 1 where the stated sigma is honest.
    """

    band: Band
    objects: int
    found: int
    recall: float
    false_per_frame: float
    measured: int
    median_relative_error: float
    bias: float
    spread: float
    bias_in_sigmas: float
    spread_in_sigmas: float


def summarise_band(band: Band, inside: list[Outcome], false: int, frames: int) -> BandMetrics:
    """What became of the objects in one band.

    Args:
        band: its limits.
        inside: the objects in it.
        false: number of false detections in it.
        frames: number of frames.
    """
    found = sum(outcome.found for outcome in inside)
    known = [outcome for outcome in inside if math.isfinite(outcome.measured)]
    true = np.array([outcome.distance for outcome in known])
    error = np.array([outcome.measured for outcome in known]) - true
    in_sigmas = error / np.array([outcome.sigma for outcome in known])
    return BandMetrics(
        band=band,
        objects=len(inside),
        found=found,
        recall=found / len(inside) if inside else math.nan,
        false_per_frame=false / frames,
        measured=len(known),
        median_relative_error=_median(np.abs(error) / true),
        bias=_median(error),
        spread=_spread(error),
        bias_in_sigmas=_median(in_sigmas),
        spread_in_sigmas=_spread(in_sigmas),
    )


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if values.size else math.nan


def weighted_medians(
    values: NDArray[np.float64], weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(B,) medians of values that are each repeated as often as a row of (B, n) weights says."""
    order = np.argsort(values, kind="stable")
    ranks = np.cumsum(weights[:, order], axis=1)
    total = ranks[:, -1] if values.size else np.zeros(len(weights), np.int64)
    medians = np.full(len(weights), np.nan)
    some = total > 0
    if some.any():
        middle = ((total[some] - 1) // 2, total[some] // 2)
        places = [np.argmax(ranks[some] > rank[:, None], axis=1) for rank in middle]
        medians[some] = (values[order][places[0]] + values[order][places[1]]) / 2
    return medians


def _spread(values: NDArray[np.float64]) -> float:
    return MAD_TO_SIGMA * _median(np.abs(values - np.median(values))) if values.size else math.nan
