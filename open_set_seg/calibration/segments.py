"""How many independent pieces a recording has: blocks that are longer than its memory.

Neighbouring frames of a video say nearly the same, so n of them are not n samples. The recording is
cut into blocks of equal length whose largest statistics serve as the samples.

Estimator. x_1, ..., x_N are the ranks of the frame statistics (mid-ranks for ties), over all
recordings together, less their mean; ranks, because the statistics may have heavy tails. With
c_k = sum of x_i x_{i+k} over pairs inside a recording, divided by N, and rho_k = c_k / c_0, the
integrated autocorrelation time is

    tau = 1 + 2 sum_{k=1}^{K} rho_k, in frames, K the first lag with K >= 5 tau(K)

(Madras and Sokal 1988; Sokal 1997). N / tau is the effective sample size for a mean. Blocks have
``MEMORY`` tau frames or more and are lengthened until the largest statistics of neighbouring blocks
are no longer alike (rank correlation at lag 1 below ``LIKENESS`` / sqrt(blocks)).

Limits. It sees linear correlation of ranks, and nothing that changes more slowly than the
recordings are long: an hour of one street on one morning is one sample of streets and mornings,
however many blocks it has. The remedy is recordings of the places, hours and weathers of the later
use; no estimator is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from open_set_seg.calibration.statistic import FrameStatistic

Values = NDArray[np.float64]
# An exponential memory has faded to exp(-2 MEMORY) after so many autocorrelation times.
MEMORY = 3.0
WINDOW = 5.0
# One-sided, independent blocks are taken for alike once in 2000 times.
LIKENESS = 3.3
# A gap in the stamps that is longer than so many usual steps begins a new recording.
GAP = 5.0


@dataclass(frozen=True, eq=False)
class Segments:
    """Equal blocks of frames that may count as independent.

    Attributes:
        blocks: the frames of each, in the order of time.
        length: frames in each.
        seconds: length times the usual step of the stamps; NaN without stamps.
        autocorrelation_time: tau in frames.
        left_out: frames that belong to no whole block.
    """

    blocks: tuple[tuple[FrameStatistic, ...], ...]
    length: int
    seconds: float
    autocorrelation_time: float
    left_out: int


def find_segments(frames: Sequence[FrameStatistic], shortest: int = 1) -> Segments:
    """Cut recordings into blocks that are longer than their memory; see the module.

    Args:
        frames: in the order of time within each recording.
        shortest: fewest frames of a block.
    """
    runs = split_recordings(frames)
    tau = autocorrelation_time([_scores(run) for run in runs])
    length = max(shortest, math.ceil(MEMORY * tau) if tau > 1.5 else 1)
    blocks = _cut(runs, length)
    while len(_all(blocks)) > 1 and are_alike([_largest(parts) for parts in blocks]):
        length = math.ceil(1.5 * length)
        blocks = _cut(runs, length)
    found = _all(blocks)
    return Segments(
        tuple(found),
        length,
        length * usual_step(frames),
        tau,
        len(frames) - length * len(found),
    )


def split_recordings(frames: Sequence[FrameStatistic]) -> list[list[FrameStatistic]]:
    """Unbroken runs of frames: of one recording, with stamps that rise without gaps."""
    longest = GAP * usual_step(frames) * 1e9
    runs: list[list[FrameStatistic]] = []
    for frame in frames:
        before = runs[-1][-1] if runs else None
        if (
            before is None
            or frame.recording != before.recording
            or frame.stamp_ns < before.stamp_ns
            or frame.stamp_ns - before.stamp_ns > longest
        ):
            runs.append([])
        runs[-1].append(frame)
    return runs


def usual_step(frames: Sequence[FrameStatistic]) -> float:
    """Median of the rising steps between stamps within recordings, seconds; NaN without any."""
    steps = [
        after.stamp_ns - before.stamp_ns
        for before, after in pairwise(frames)
        if after.recording == before.recording and after.stamp_ns > before.stamp_ns
    ]
    return float(np.median(steps)) * 1e-9 if steps else math.nan


def autocorrelation_time(runs: Sequence[Values]) -> float:
    """tau of the module in frames, at least 1; 1 for a constant statistic."""
    ranks = _centred_ranks(runs)
    total = sum(float(part @ part) for part in ranks)
    if total <= 0:
        return 1.0
    longest = max(part.size for part in ranks)
    # Zeros behind each run keep the end from meeting the beginning.
    size = 1 << (2 * longest - 1).bit_length()
    power = sum(np.abs(np.fft.rfft(part, size)) ** 2 for part in ranks)
    correlation = np.fft.irfft(power, size)[:longest] / total
    tau = 2 * np.cumsum(correlation) - 1
    ends = np.flatnonzero(np.arange(longest) >= WINDOW * tau)
    return max(1.0, float(tau[ends[0] if ends.size else -1]))


def are_alike(runs: Sequence[Values]) -> bool:
    """Whether neighbours within runs have ranks that are correlated beyond chance."""
    ranks = _centred_ranks(runs)
    total = sum(float(part @ part) for part in ranks)
    count = sum(part.size for part in ranks)
    if total <= 0 or count < 3:
        return False
    neighbours = sum(float(part[:-1] @ part[1:]) for part in ranks)
    return neighbours / total > LIKENESS / math.sqrt(count)


def _centred_ranks(runs: Sequence[Values]) -> list[Values]:
    """Mid-ranks over all runs together, less their mean."""
    together = np.concatenate([np.empty(0), *runs])
    _, place, counts = np.unique(together, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[place] - (together.size + 1) / 2
    borders = np.cumsum([run.size for run in runs])[:-1]
    return list(np.split(ranks, borders))


def _scores(frames: Sequence[FrameStatistic]) -> Values:
    return np.array([frame.score for frame in frames], np.float64)


def _cut(
    runs: Sequence[Sequence[FrameStatistic]], length: int
) -> list[list[tuple[FrameStatistic, ...]]]:
    """Whole blocks of each run; what is left at its end belongs to none."""
    return [
        [tuple(run[at : at + length]) for at in range(0, len(run) - length + 1, length)]
        for run in runs
    ]


def _all(
    blocks: Sequence[Sequence[tuple[FrameStatistic, ...]]],
) -> list[tuple[FrameStatistic, ...]]:
    return [block for parts in blocks for block in parts]


def _largest(parts: Sequence[tuple[FrameStatistic, ...]]) -> Values:
    return np.array([max(frame.score for frame in block) for block in parts], np.float64)
