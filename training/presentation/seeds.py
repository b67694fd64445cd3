"""Several training runs of the same recipe: what holds beyond the luck of one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from open_set_seg.metrics.bootstrap import (
    Interval,
    Statistics,
    differences_of,
    hierarchical_intervals,
    holm,
    sign_flip_test,
)
from open_set_seg.report import Block, Cell, Row, Section, Table
from open_set_seg.report.numbers import decimal
from training.presentation.collection import collect_results
from training.presentation.differences import LEVEL, RESAMPLES, kept_statistics, signed
from training.presentation.runs import Run, groups_of
from training.presentation.wording import METRICS, percent, score_title


@dataclass(frozen=True, eq=False)
class Arm:
    """One recipe under one score, trained with several seeds.

    Attributes:
        name: of the recipe.
        runs: one a seed, all on the same frames.
    """

    name: str
    runs: tuple[Run, ...]

    def values(self, key: str) -> list[float]:
        """The figure of every seed; empty if one of them lacks it."""
        numbers = [run.numbers().get(key) for run in self.runs]
        found = [one.value for one in numbers if one is not None and one.value is not None]
        return found if len(found) == len(self.runs) else []


def collect_arms(places: Mapping[str, Sequence[Path]]) -> list[Arm]:
    """The arms whose seeds' results lie at the places given under their names.

    Raises:
        ValueError: no result at a place, results of different protocols or frames, or of
            different scores.
    """
    if not places:
        return []
    found = {name: collect_results(folders) for name, folders in places.items()}
    everything = [pair for pairs in found.values() for pair in pairs]
    results, folders = [one for one, _ in everything], [folder for _, folder in everything]
    groups = groups_of(results, folders)
    if len(groups) != 1:
        titles = "; ".join(group.title for group in groups)
        raise ValueError(f"seeds are compared on the same frames under one protocol, not: {titles}")
    arms = []
    for name, pairs in found.items():
        own = {id(result) for result, _ in pairs}
        runs = [run for run in groups[0].runs if id(run.result) in own]
        scores = list(dict.fromkeys(run.score for run in runs))
        for score in scores:
            chosen = tuple(run for run in runs if run.score == score)
            if len(chosen) != len(pairs):
                raise ValueError(f"not every seed of {name!r} was measured with {score}")
            title = f"{name}, {score_title(score)}" if len(scores) > 1 else name
            arms.append(Arm(title, chosen))
    return arms


def seed_section(arms: Sequence[Arm]) -> Section:
    """Means over seeds, and differences between arms whose seeds are paired."""
    blocks: list[Block] = [mean_table(arms)]
    differences = arm_difference_table(arms)
    return Section("Over seeds", (*blocks, *([differences] if differences else [])))


def mean_table(arms: Sequence[Arm]) -> Table:
    """The mean of every figure over the seeds, with its deviation and interval."""
    keys = [key for key in METRICS if any(arm.values(key) for arm in arms)]
    rows = []
    for arm in arms:
        intervals = seed_intervals(arm)
        cells = [_mean_cell(arm.values(key), intervals.get(key)) for key in keys]
        rows.append(Row((arm.name, str(len(arm.runs)), *cells)))
    return Table(
        ("arm", "seeds", *(METRICS[key].heading for key in keys)),
        tuple(rows),
        caption="Means over seeds, %",
        notes=(
            f"± standard deviation of the seeds. Ranges: {percent(LEVEL, 0)} % intervals "
            "of the mean, by drawing seeds and then images again (bootstrap). Of fewer than eight "
            "seeds they are too short: they describe, and claim nothing.",
        ),
    )


def arm_difference_table(arms: Sequence[Arm]) -> Table | None:
    """Every arm minus the first one, paired by seed; None for a single arm."""
    first, *others = arms
    tests = {
        (arm.name, key): [a - b for a, b in zip(ours, theirs, strict=True)]
        for arm in others
        for key in METRICS
        if (ours := arm.values(key)) and (theirs := first.values(key)) and len(ours) == len(theirs)
    }
    if not tests:
        return None
    p_values = [sign_flip_test(differences) for differences in tests.values()]
    adjusted = dict(zip(tests, zip(p_values, holm(p_values), strict=True), strict=True))
    rows = []
    for arm in others:
        intervals = seed_intervals(arm, first)
        for key in METRICS:
            if (arm.name, key) in tests:
                p, corrected = adjusted[arm.name, key]
                mean = float(np.mean(tests[arm.name, key]))
                figures = (_signed_cell(mean, intervals.get(key)), decimal(p, 4))
                rows.append(Row((arm.name, METRICS[key].heading, *figures, decimal(corrected, 4))))
    return Table(
        ("arm", "figure", "difference, points", "p", "p, Holm"),
        tuple(rows),
        caption=f"Differences to {first.name}, paired by seed",
        notes=(
            "Seeds are paired in the order in which they were given. p: two-sided sign-flip test "
            "over the seeds, at least 2 to the power of one minus their number; Holm's "
            f"correction over the {len(tests)} tests of this table.",
        ),
        texts=(0, 1),
    )


def seed_intervals(arm: Arm, reference: Arm | None = None) -> dict[str, Interval]:
    """Intervals of means over seeds, or of mean differences to ``reference``, paired by seed.

    Of the figures for which every seed kept counts by image; others have none.
    """
    ours = [kept_statistics(run) for run in arm.runs]
    theirs = None if reference is None else [kept_statistics(run) for run in reference.runs]
    if theirs is not None and len(theirs) != len(ours):
        return {}
    intervals: dict[str, Interval] = {}
    for kind in ours[0]:
        sides = [ours] if theirs is None else [ours, theirs]
        if not all(kind in one for side in sides for one in side):
            continue
        ids = ours[0][kind][0]
        if any(one[kind][0] != ids for side in sides for one in side):
            continue
        statistics: list[Statistics] = [one[kind][1] for one in ours]
        if theirs is not None:
            statistics = [
                differences_of(mine, other[kind][1])
                for mine, other in zip(statistics, theirs, strict=True)
            ]
        intervals |= hierarchical_intervals(statistics, len(ids), RESAMPLES, LEVEL)
    return intervals


def _mean_cell(values: Sequence[float], interval: Interval | None) -> Cell:
    if not values:
        return Cell("")
    text = percent(float(np.mean(values)))
    if len(values) > 1:
        text = f"{text} ± {percent(float(np.std(values, ddof=1)))}"
    if interval is None:
        return Cell(text)
    return Cell(text, f"{percent(interval.low)}–{percent(interval.high)}")


def _signed_cell(mean: float, interval: Interval | None) -> Cell:
    if interval is None:
        return Cell(signed(mean))
    return Cell(signed(mean), f"{signed(interval.low)} to {signed(interval.high)}")
