"""Non-inferiority: are known classes segmented as well as by the control, within a margin?

Figures are fractions; differences are ours minus theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from open_set_seg.metrics.bootstrap import resampled_interval
from training.study.results.collection import Study
from training.study.results.files import Result
from training.study.results.plan import Plan

_NODES = 128


@dataclass(frozen=True)
class Margin:
    """mIoU of an arm minus the control's: is it worse by less than the margin?

    Attributes:
        arm: compared with the control.
        by_seed: (S,) differences.
        low_t, high_t: one-sided limits of the mean by Student's t over seeds, each at the plan's
            level; NaN for one seed.
        low, high: the same by resampling images and seeds.
        margin: a fraction.
    """

    arm: str
    by_seed: tuple[float, ...]
    low_t: float
    high_t: float
    low: float
    high: float
    margin: float

    @property
    def mean(self) -> float:
        """Of the differences."""
        return float(np.mean(self.by_seed))

    @property
    def holds(self) -> bool:
        """Both lower limits lie above minus the margin; NaN does not."""
        return min(self.low_t, self.low) > -self.margin and not math.isnan(self.low_t)

    @property
    def is_broken(self) -> bool:
        """Both upper limits lie below minus the margin."""
        return max(self.high_t, self.high) < -self.margin and not math.isnan(self.high_t)


def closed_set_margin(study: Study, plan: Plan, arm: str) -> Margin | None:
    """Whether an arm segments known classes as well as the control; None without shared seeds."""
    seeds = study.seeds(arm, plan.control)
    if not seeds:
        return None

    def of(result: Result) -> float:
        return result.measured.closed_set.mIoU

    differences = study.figures(arm, seeds, of) - study.figures(plan.control, seeds, of)
    kept = [
        np.array([study.arms[one][seed].measured.resampled.mIoU for seed in seeds])
        for one in (arm, plan.control)
    ]
    # Two-sided at twice the level leaves the level on either side.
    interval = resampled_interval(differences, kept[0] - kept[1], level=1 - 2 * plan.level)
    low_t, high_t = math.nan, math.nan
    if len(seeds) > 1:
        error = float(differences.std(ddof=1)) / math.sqrt(len(seeds))
        reach = student_quantile(1 - plan.level, len(seeds) - 1) * error
        low_t, high_t = float(differences.mean()) - reach, float(differences.mean()) + reach
    by_seed = tuple(differences.tolist())
    return Margin(arm, by_seed, low_t, high_t, interval.low, interval.high, plan.margin)


def student_quantile(share: float, freedom: int) -> float:
    """The value that Student's t with whole ``freedom`` exceeds with probability 1 - share.

    With t = sqrt(freedom) tan(a) the density becomes cos(a)^(freedom - 1) up to a factor; its
    integral by Gauss-Legendre, its inverse by bisection: right to nine digits for shares between
    0.001 and 0.999.

    Raises:
        ValueError: a share outside (0, 1) or a freedom below 1.
    """
    if not 0 < share < 1 or freedom < 1:
        raise ValueError(f"Student's t at {share} with {freedom} degrees of freedom")
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)

    def area(angle: float) -> float:
        return angle / 2 * float(weights @ np.cos(angle / 2 * (nodes + 1)) ** (freedom - 1))

    half = area(math.pi / 2)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if area(middle) < abs(share - 0.5) * 2 * half else (low, middle)
    return math.copysign(math.sqrt(freedom) * math.tan(low), share - 0.5)
