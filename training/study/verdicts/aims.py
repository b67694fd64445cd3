"""What the study was hoped to show, and by how much that was missed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from training.study.results.collection import ENDPOINTS, Endpoint, Study
from training.study.results.plan import Plan
from training.study.verdicts.differences import best_score, noise_gains
from training.study.verdicts.margins import closed_set_margin


@dataclass(frozen=True)
class Aim:
    """Something hoped for.

    Attributes:
        title: in words.
        bound: whether ``needed`` is the least or the most.
        needed, reached: fractions, or numbers of endpoints; NaN without the results.
        unit: ``percent``, ``points`` (differences of percentages) or ``endpoints``.
    """

    title: str
    bound: Literal["least", "most"]
    needed: float
    reached: float
    unit: Literal["percent", "points", "endpoints"]

    @property
    def missed_by(self) -> float:
        """How far ``reached`` lies on the wrong side of ``needed``; 0 where it was met."""
        lacking = self.needed - self.reached
        return max(0.0, lacking if self.bound == "least" else -lacking) if self.known else math.nan

    @property
    def known(self) -> bool:
        """Whether there are results to judge it by."""
        return not math.isnan(self.needed) and not math.isnan(self.reached)


def list_aims(study: Study, plan: Plan) -> list[Aim]:
    """Every aim with what the means over the shared seeds of our arm and the control reached.

    The control is taken with its best score for each endpoint, as in the comparison.
    """
    aims = plan.aims
    ap, fpr95, _, road_fpr95 = (_means(study, plan, endpoint) for endpoint in ENDPOINTS)
    margin = closed_set_margin(study, plan, plan.ours)
    noise = noise_gains(study, plan)
    low = math.nan if margin is None else min(margin.low_t, margin.low)
    gains = math.nan if noise is None else float(len(noise))
    return [
        Aim(
            f"AP on the whole image at least {aims.whole_AP_factor:g} times the control's",
            "least", aims.whole_AP_factor * ap[1], ap[0], "percent",
        ),
        Aim(
            f"FPR95 on the whole image at most {aims.whole_FPR95_factor:g} of the control's "
            "(nearly halved)",
            "most", aims.whole_FPR95_factor * fpr95[1], fpr95[0], "percent",
        ),
        Aim(
            f"FPR95 on the road at least {100 * aims.road_FPR95_points:g} points below the "
            "control's",
            "most", road_fpr95[1] - aims.road_FPR95_points, road_fpr95[0], "percent",
        ),
        Aim(
            f"closed-set mIoU within {100 * plan.margin:g} points of the control's (lower limit)",
            "least", -plan.margin, low, "points",
        ),
        Aim("fractal noise significantly better in no endpoint", "most", 0.0, gains, "endpoints"),
    ]  # fmt: skip


def _means(study: Study, plan: Plan, endpoint: Endpoint) -> tuple[float, float]:
    """Ours and the control's."""
    seeds = study.seeds(plan.ours, plan.control)
    if not seeds:
        return math.nan, math.nan
    best = best_score(study, plan.control, endpoint, seeds)
    ours = study.values(plan.ours, seeds, plan.score, endpoint)
    return float(ours.mean()), float(study.values(plan.control, seeds, best, endpoint).mean())
