"""What may be said of the results, in words: nothing that their seeds and families do not carry.

A claim ("improves ...") needs all seeds, sealed families, a configuration frozen before, a
corrected p of at most the level and an interval without 0. Otherwise only directions are told;
agreement with a paper is "same ordering as", never a number.
"""

from __future__ import annotations

from open_set_seg.report.numbers import decimal
from training.study.page.numbers import digits_of, points
from training.study.results.collection import ENDPOINTS, Endpoint, Study
from training.study.results.plan import FULL_SEEDS, Ordering, Plan
from training.study.verdicts.differences import Comparison, Difference
from training.study.verdicts.margins import Margin

WHERE = "on the synthetic benchmark, sealed families"
_REGIONS = {"whole": "whole-image", "road": "road"}


def difference_verdict(plan: Plan, comparison: Comparison, one: Difference) -> str:
    """What a difference shows."""
    name = endpoint_name(one.endpoint)
    if not comparison.confirmatory:
        seeds = len(one.by_seed)
        return f"exploratory: {name} better in {one.better_seeds} of {seeds} seeds, no claim"
    if not one.is_significant(plan.level):
        return f"shows no {name} difference"
    low, high, mean = one.interval.low, one.interval.high, one.interval.estimate
    if mean < 0:
        low, high, mean = -high, -low, -mean
    digits = digits_of(low, high)
    size = f"{points(mean, digits)} points [{points(low, digits)}, {points(high, digits)}]"
    if one.endpoint.metric == "FPR95":
        verb = "lowers" if one.gain > 0 else "worsens (raises)"
    else:
        verb = "improves" if one.gain > 0 else "worsens (lowers)"
    return f"{verb} {name} by {size} {WHERE}"


def margin_verdict(study: Study, plan: Plan, margin: Margin) -> str:
    """Whether the closed set stayed as good."""
    seeds, limit = len(margin.by_seed), points(margin.margin)
    start = f"mIoU on known classes differs from the control's by {points(margin.mean, 2)} points"
    if seeds < 2:
        return f"{start} in one seed: no verdict."
    level = f"{100 * (1 - plan.level):g} %"
    limits = (
        f"one-sided {level} lower limits {points(margin.low_t, 2)} (Student's t over {seeds} "
        f"seeds) and {points(margin.low, 2)} (bootstrap over images and seeds)"
    )
    if margin.holds:
        verdict = f"not worse by {limit} points or more"
    elif margin.is_broken:
        verdict = f"worse by more than {limit} points"
    else:
        verdict = f"not shown to be within {limit} points"
    if seeds < FULL_SEEDS or study.families != "sealed":
        verdict = f"exploratory: {verdict}"
    return f"{start}; {limits}: **{verdict}**."


def noise_verdict(study: Study, plan: Plan, gains: tuple[Endpoint, ...] | None) -> str:
    """Whether noise does better than the flow anywhere."""
    noise, ours = study.title(plan.noise), study.title(plan.ours)
    if gains is None:
        return f"{noise} and {ours} have no seed in common yet."
    if not gains:
        return f"{noise} is significantly better than {ours} in no endpoint."
    names = ", ".join(map(endpoint_name, gains))
    return f"{noise} is significantly better than {ours} in: **{names}**."


def ordering_verdict(study: Study, plan: Plan, ordering: Ordering) -> str | None:
    """In which endpoints two arms stand as a paper has them; None without shared seeds."""
    pairs = (
        (ordering.better, ordering.better_score or plan.score),
        (ordering.worse, ordering.worse_score or plan.score),
    )
    seeds = study.seeds(ordering.better, ordering.worse)
    if not seeds or any(score not in study.scores(arm) for arm, score in pairs):
        return None
    same: list[str] = []
    other: list[str] = []
    for endpoint in ENDPOINTS:
        first, second = (study.values(arm, seeds, score, endpoint).mean() for arm, score in pairs)
        found = same if endpoint.sign * (first - second) > 0 else other
        found.append(endpoint_name(endpoint))
    if not other:
        return f"same ordering as {ordering.source} in all {len(ENDPOINTS)} endpoints"
    if not same:
        return f"not the ordering of {ordering.source} in any endpoint"
    return f"same ordering as {ordering.source} in {', '.join(same)}; not in {', '.join(other)}"


def endpoint_name(endpoint: Endpoint) -> str:
    """Such as ``whole-image AP``."""
    return f"{_REGIONS[endpoint.region]} {endpoint.metric}"


def p_text(p: float) -> str:
    """A p value; small ones not smaller than they can be told."""
    return "< 0.0001" if p < 1e-4 else decimal(p, 4)
