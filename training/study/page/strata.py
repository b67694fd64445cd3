"""The study's tables by distance, size, family and camouflage of the unknown objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from open_set_seg.report import Row, Table
from open_set_seg.report.numbers import DASH, decimal, thousands
from training.presentation.wording import score_title
from training.study.page.numbers import mean_cell
from training.study.page.tables import ordered_arms
from training.study.results.collection import Endpoint, Study
from training.study.results.measurements import Band, Strata, Stratum
from training.study.results.plan import Plan
from training.study.verdicts.differences import best_score

METRICS = ("AP", "FPR95")
ROAD_AP = Endpoint("AP", "road")


def strata_arms(study: Study, plan: Plan) -> list[tuple[str, str]]:
    """Arms and scores to show by stratum: the main ones, the control also with its best score.

    Best for AP on the road, where strata are measured, of the scores with strata.
    """
    pairs = []
    for arm in ordered_arms(study, plan):
        if arm in plan.main:
            pairs.append((arm, plan.score))
        if arm == plan.control:
            told = [one for one in study.scores(arm) if has_strata(study, arm, one)]
            if told:
                pairs.append((arm, best_score(study, arm, ROAD_AP, study.seeds(arm), told)))
    return [pair for pair in dict.fromkeys(pairs) if has_strata(study, *pair)]


def has_strata(study: Study, arm: str, score: str) -> bool:
    """Whether every seed of the arm was told apart by stratum with the score."""
    return all(score in result.measured.strata for result in study.arms[arm].values())


def band_tables(study: Study, plan: Plan, kind: str) -> list[Table]:
    """AP and FPR95 by ``distance`` or ``size``: a row an arm, a column a band."""
    pairs = strata_arms(study, plan)
    if not pairs:
        return []
    bands = bands_of(study, *pairs[0], kind)
    unit = "m" if kind == "distance" else "px"
    header = ("arm", *(f"{band_title(one)} {unit}" for one in bands))
    counts = Row(("objects; pixels", *map(_counts, bands)), "total")
    tables = []
    for metric in METRICS:
        rows = [
            Row((_label(study, *pair), *(
                mean_cell(_over_seeds(study, *pair, _pick_band(kind, place), metric))
                for place in range(len(bands))
            )))
            for pair in pairs
        ]  # fmt: skip
        tables.append(Table(header, (*rows, counts), caption=f"{metric} by {kind}, road"))
    return tables


def family_tables(study: Study, plan: Plan) -> list[Table]:
    """AP and FPR95 by family, and of the camouflaged: a row a family, a column an arm."""
    pairs = strata_arms(study, plan)
    if not pairs:
        return []
    first = _first_strata(study, *pairs[0])
    header = ("family", "objects; pixels", *(_label(study, *pair) for pair in pairs))
    tables = []
    for metric in METRICS:
        rows = []
        for name, stratum in sorted(first.family.items()):
            cells = (_over_seeds(study, *pair, _pick_family(name), metric) for pair in pairs)
            rows.append(Row((name, _counts(stratum), *map(mean_cell, cells))))
        cells = (_over_seeds(study, *pair, _pick_camouflaged, metric) for pair in pairs)
        camouflaged = ("camouflaged, any family", _counts(first.camouflaged))
        rows.append(Row((*camouflaged, *map(mean_cell, cells)), "total"))
        tables.append(Table(header, tuple(rows), caption=f"{metric} by family, road"))
    return tables


def bands_of(study: Study, arm: str, score: str, kind: str) -> tuple[Band, ...]:
    """The bands of an arm's first seed: limits and counts are the same for all."""
    bands: tuple[Band, ...] = getattr(_first_strata(study, arm, score), kind)
    return bands


def band_values(
    study: Study, arm: str, score: str, kind: str, place: int, metric: str
) -> list[float]:
    """(S,) a figure of one band; NaN for a seed without it."""
    return _over_seeds(study, arm, score, _pick_band(kind, place), metric)


def band_title(band: Band) -> str:
    """``5–10``; ``from 800`` without an upper limit."""
    return f"from {band.low:g}" if math.isnan(band.high) else f"{band.low:g}–{band.high:g}"


def _over_seeds(
    study: Study, arm: str, score: str, pick: Callable[[Strata], Stratum | None], metric: str
) -> list[float]:
    found: Iterable[Stratum | None] = (
        pick(result.measured.strata[score]) for result in study.arms[arm].values()
    )
    return [math.nan if one is None else float(getattr(one, metric)) for one in found]


def _pick_band(kind: str, place: int) -> Callable[[Strata], Stratum | None]:
    def pick(strata: Strata) -> Stratum | None:
        bands: tuple[Band, ...] = getattr(strata, kind)
        return bands[place] if place < len(bands) else None

    return pick


def _pick_family(name: str) -> Callable[[Strata], Stratum | None]:
    return lambda strata: strata.family.get(name)


def _pick_camouflaged(strata: Strata) -> Stratum | None:
    return strata.camouflaged


def _first_strata(study: Study, arm: str, score: str) -> Strata:
    return next(iter(study.arms[arm].values())).measured.strata[score]


def _label(study: Study, arm: str, score: str) -> str:
    return f"{study.title(arm)}, {score_title(score)}"


def _counts(stratum: Stratum) -> str:
    if not stratum.positives:
        return DASH
    return f"{thousands(stratum.objects)}; {decimal(stratum.positives / 1000, 1)} k"
