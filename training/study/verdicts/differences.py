"""What the study's results show: paired differences, tests and intervals.

The seed of a training is the replicate, the image the sampling unit. Every figure is a fraction;
differences are ours minus theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.bootstrap import (
    Interval,
    Values,
    holm,
    mean_of,
    resample_counts,
    resampled_interval,
    sign_flip_test,
)
from training.study.results.collection import ENDPOINTS, Endpoint, Study
from training.study.results.plan import FULL_SEEDS, Plan
from training.study.results.reading import ResultError


@dataclass(frozen=True)
class Difference:
    """Ours minus theirs in one endpoint, paired by seed.

    Attributes:
        endpoint: what is compared.
        ours_score, theirs_score: under which scores.
        by_seed: (S,) differences.
        interval: of their mean, over images and seeds.
        p: two-sided, of the sign-flip test over seeds.
        corrected: p after Holm's correction over the endpoints of the comparison.
    """

    endpoint: Endpoint
    ours_score: str
    theirs_score: str
    by_seed: tuple[float, ...]
    interval: Interval
    p: float
    corrected: float

    @property
    def gain(self) -> float:
        """The mean difference, positive where ours is better."""
        return self.endpoint.sign * self.interval.estimate

    @property
    def better_seeds(self) -> int:
        """In how many seeds ours is better."""
        return sum(self.endpoint.sign * one > 0 for one in self.by_seed)

    def is_significant(self, level: float) -> bool:
        """Whether corrected p and interval both speak for a difference."""
        apart = self.interval.low > 0 or self.interval.high < 0
        return bool(self.corrected <= level and apart)


@dataclass(frozen=True)
class Comparison:
    """Ours against one arm in all primary endpoints.

    Attributes:
        ours, theirs: keys of the arms.
        seeds: that both have.
        differences: one an endpoint; Holm's correction covers these.
        confirmatory: enough seeds on sealed families under a configuration that was frozen before,
            so that claims may follow.
    """

    ours: str
    theirs: str
    seeds: tuple[int, ...]
    differences: tuple[Difference, ...]
    confirmatory: bool


def compare(study: Study, plan: Plan, theirs: str) -> Comparison | None:
    """Our arm against another; None where no seed has both.

    The control is taken with the score that is best for it *on these very scenes*, for every
    endpoint anew: a choice that nobody could make beforehand, in the control's favour. All other
    arms are taken with our score.

    Raises:
        ResultError: an arm whose results hold no resamples of our score.
    """
    seeds = study.seeds(plan.ours, theirs)
    if not seeds:
        return None
    for arm in (plan.ours, theirs):
        if plan.score not in study.scores(arm, resampled=True):
            raise ResultError(f"{arm}: not every seed has resamples of {plan.score!r}")
    found = [_difference(study, plan, theirs, endpoint, seeds) for endpoint in ENDPOINTS]
    corrected = holm([one.p for one in found])
    differences = [replace(one, corrected=p) for one, p in zip(found, corrected, strict=True)]
    frozen = plan.is_frozen(study.results[0].config_sha256)
    confirmatory = len(seeds) >= FULL_SEEDS and study.families == "sealed" and frozen
    return Comparison(plan.ours, theirs, seeds, tuple(differences), confirmatory)


def best_score(
    study: Study,
    arm: str,
    endpoint: Endpoint,
    seeds: Sequence[int],
    candidates: Sequence[str] | None = None,
) -> str:
    """The score whose mean over the seeds is best, of the candidates: all that were resampled.

    Of several equal ones the first.
    """
    if candidates is None:
        candidates = study.scores(arm, resampled=True)
    means = {
        score: endpoint.sign * float(study.values(arm, seeds, score, endpoint).mean())
        for score in candidates
    }
    return max(means, key=means.__getitem__)


def mean_interval(study: Study, plan: Plan, arm: str, score: str, endpoint: Endpoint) -> Interval:
    """An endpoint's mean over all seeds of an arm, with its interval over images and seeds."""
    seeds = study.seeds(arm)
    figures = study.values(arm, seeds, score, endpoint)
    resampled = study.resampled(arm, seeds, score, endpoint)
    return resampled_interval(figures, resampled, level=1 - plan.level)


def extra_jump(study: Study, plan: Plan, arm: str) -> Interval | None:
    """The artefact probe's jump (after minus before pasting) beyond the control's, by image.

    Mean over images and seeds with its interval; None where not both arms were probed. An image
    in which either arm had no place has no say.
    """
    seeds = [
        seed
        for seed in study.seeds(arm, plan.control)
        if study.arms[arm][seed].probe and study.arms[plan.control][seed].probe
    ]
    if not seeds:
        return None
    extra = np.stack([_jumps(study, arm, s) - _jumps(study, plan.control, s) for s in seeds])
    drawn = study.results[0].measured.resampled
    weights = resample_counts(extra.shape[1], max(drawn.count, 1000), drawn.seed)
    once = np.ones((1, extra.shape[1]), np.int64)
    figures = np.array([float(mean_of(row)(once)[0]) for row in extra])
    resampled = np.stack([mean_of(row)(weights) for row in extra])
    return resampled_interval(figures, resampled, level=1 - plan.level)


def noise_gains(study: Study, plan: Plan) -> tuple[Endpoint, ...] | None:
    """The endpoints in which noise is significantly better than our flow; None if not compared."""
    comparison = compare(study, plan, plan.noise)
    if comparison is None:
        return None
    return tuple(
        one.endpoint
        for one in comparison.differences
        if one.gain < 0 and one.is_significant(plan.level)
    )


def _difference(
    study: Study, plan: Plan, theirs: str, endpoint: Endpoint, seeds: Sequence[int]
) -> Difference:
    """One endpoint by itself, not corrected for the others."""
    score = plan.score
    if theirs == plan.control:
        score = best_score(study, theirs, endpoint, seeds)
    pairs = ((plan.ours, plan.score), (theirs, score))
    ours, other = (study.values(arm, seeds, one, endpoint) for arm, one in pairs)
    resampled = [study.resampled(arm, seeds, one, endpoint) for arm, one in pairs]
    interval = resampled_interval(ours - other, resampled[0] - resampled[1], level=1 - plan.level)
    by_seed = tuple((ours - other).tolist())
    p = sign_flip_test(by_seed)
    return Difference(endpoint, plan.score, score, by_seed, interval, p, p)


def _jumps(study: Study, arm: str, seed: int) -> Values:
    probe = study.arms[arm][seed].probe
    if probe is None:
        raise ValueError(f"{arm}, seed {seed}: no probe")
    images = probe.images
    jumps: NDArray[np.float64] = np.array(images.after) - np.array(images.before)
    return jumps
