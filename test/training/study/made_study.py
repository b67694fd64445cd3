"""Made-up results of the study, for tests only."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from training.study.results.files import FinalValues, Probe, ProbeImages, Result, Training
from training.study.results.measurements import (
    Band,
    ClosedSet,
    Confidence,
    Detection,
    Measured,
    NullTest,
    Resampled,
    Strata,
    Stratum,
)

SCORES = ("msp", "max_logit", "jsd")
DRAWS = 40
CLASSES = ("sky", "road", "car")
# AP and FPR95 on the whole image, then on the road.
CONTROL = (0.05, 0.50, 0.30, 0.25)


def make_result(
    arm: str = "nflowjs",
    seed: int = 0,
    endpoints: tuple[float, float, float, float] = CONTROL,
    mIoU: float = 0.60,
    families: str = "sealed",
    jump: float = 0.1,
    spread: float = 0.01,
    **changes,
) -> Result:
    """One result; the score ``jsd`` has the endpoints, ``max_logit`` is worse, ``msp`` worst.

    Resamples scatter by ``spread`` around the figures in a way that all arms and seeds share.
    """
    scores, kept = {}, {}
    for place, score in enumerate(reversed(SCORES)):
        worse = 0.01 * place
        figures = [one + sign * worse for one, sign in zip(endpoints, (-1, 1) * 2, strict=True)]
        regions = {"whole": figures[:2], "road": figures[2:]}
        scores[score] = {region: detection(*values) for region, values in regions.items()}
        kept[score] = {
            region: {
                "AP": resample(values[0], spread),
                "FPR95": resample(values[1], spread),
            }
            for region, values in regions.items()
        }
    measured = Measured(
        images=200,
        families=families,
        closed_set=ClosedSet(mIoU, dict.fromkeys(CLASSES, mIoU) | {"fence": math.nan}),
        scores=scores,
        resampled=Resampled(0, DRAWS, resample(mIoU, spread), kept),
        strata={"jsd": make_strata(endpoints), "max_logit": make_strata(CONTROL)},
        confidence=Confidence(0.24, 0.81),
        null=NullTest({"whole": 0.012, "road": 0.036}, {"whole": 0.0125, "road": 0.037}),
    )
    before = tuple(np.linspace(0.3, 0.5, 20).tolist())
    after = tuple(one + jump for one in before)
    result = Result(
        study="made up",
        arm=arm,
        title=arm.capitalize(),
        seed=seed,
        families=families,
        config_sha256="ab" * 32,
        code_revision="0123456789abcdef",
        package_version="1.0",
        versions={"torch": "2"},
        device={"name": "a device"},
        made="2026-01-02",
        training=Training(600, 123.0, FinalValues(0.5, 0.25, 3.9, 0.01, (0.4, 0.5, 0.6)), ()),
        measured=measured,
        probe=Probe(0.4, 0.4 + jump, jump, ProbeImages(before, after)),
    )
    return dataclasses.replace(result, **changes)


def detection(ap: float, fpr95: float) -> Detection:
    return Detection(ap, fpr95, 0.9, 0.3)


def resample(value: float, spread: float) -> tuple[float, ...]:
    shared = spread * np.random.default_rng(7).normal(size=DRAWS)
    return tuple(np.clip(value + shared, 0, 1).round(6).tolist())


def make_strata(endpoints: tuple[float, float, float, float]) -> Strata:
    ap, fpr95 = endpoints[2:]

    def stratum(weight: float) -> tuple[float, float, int, int]:
        return ap * weight, fpr95, 30, 4000

    limits = ((5.0, 10.0), (10.0, 20.0), (20.0, 30.0))
    bands = [
        Band(*stratum(1 - 0.2 * place), low=low, high=high)
        for place, (low, high) in enumerate(limits)
    ]
    sizes = [Band(*stratum(0.9), low=20.0, high=50.0), Band(*stratum(1.0), 50.0, math.nan)]
    nothing = Stratum(math.nan, math.nan, 0, 0)
    families = {"ball": Stratum(*stratum(1.0)), "crate": Stratum(*stratum(0.5)), "none": nothing}
    return Strata(tuple(bands), tuple(sizes), families, Stratum(*stratum(0.8)))


def make_arm(
    arm: str,
    endpoints: tuple[float, float, float, float] = CONTROL,
    seeds: int = 8,
    jitter: float = 0.004,
    **changes,
) -> dict[int, Result]:
    """An arm whose seeds scatter by ``jitter``, each arm in its own way."""
    random = np.random.default_rng([len(arm), *arm.encode()])
    made = {}
    for seed in range(seeds):
        shifted = tuple(one + jitter * float(random.normal()) for one in endpoints)
        made[seed] = make_result(arm, seed, shifted, **changes)
    return made
