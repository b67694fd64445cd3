"""The study's smaller tables: probe, chance, training, aims, orderings, what is missing."""

from __future__ import annotations

import math

from open_set_seg.report import Cell, Row, Table
from open_set_seg.report.numbers import DASH, decimal
from training.presentation.wording import score_title
from training.study.page.numbers import mean_cell, plain_mean, points, with_sign
from training.study.page.tables import arm_label, ordered_arms
from training.study.results.collection import REGION_TITLES, Study
from training.study.results.files import FinalValues
from training.study.results.plan import Plan
from training.study.verdicts.aims import Aim, list_aims
from training.study.verdicts.differences import extra_jump
from training.study.verdicts.wording import ordering_verdict

CLAMPED = 0.05  # share of clamped values from which on a flow's samples are degenerate


def probe_table(study: Study, plan: Plan) -> Table | None:
    """Scores of inlier patches before and after pasting, and the jump beyond the control's."""
    rows = []
    for arm in ordered_arms(study, plan):
        probes = [one.probe for one in study.arms[arm].values() if one.probe is not None]
        if not probes:
            continue
        figures = [
            plain_mean([getattr(one, name) for one in probes], 3)
            for name in ("before", "after", "jump")
        ]
        extra = None if arm == plan.control else extra_jump(study, plan, arm)
        cell = Cell(DASH)
        if extra is not None:
            mean, low, high = (
                with_sign(decimal(one, 3)) for one in (extra.estimate, extra.low, extra.high)
            )
            cell = Cell(mean, f"{low} to {high}")
        rows.append(Row((arm_label(study, plan, arm), str(len(probes)), *figures, cell)))
    header = ("arm", "seeds", "before", "after", "jump", "jump beyond the control's")
    return Table(header, tuple(rows)) if rows else None


def null_table(study: Study, plan: Plan) -> Table:
    """AP with another image's masks against the share of unknown pixels; confidences."""
    rows = []
    for arm in ordered_arms(study, plan):
        measured = [one.measured for one in study.arms[arm].values()]
        cells = []
        for region in REGION_TITLES:
            cells += [
                plain_mean([100 * one.null.prevalence[region] for one in measured], 2),
                plain_mean([100 * one.null.permuted_AP[region] for one in measured], 2),
            ]
        sure = (
            mean_cell([one.confidence.unknown for one in measured]),
            mean_cell([one.confidence.inlier for one in measured]),
        )
        rows.append(Row((arm_label(study, plan, arm), *cells, *sure)))
    columns = [
        f"{name}, {title}"
        for title in REGION_TITLES.values()
        for name in ("share of unknown pixels", "AP by chance")
    ]
    sure_of = ("sure of unknown pixels", "sure of known pixels")
    return Table(("arm", *columns, *sure_of), tuple(rows))


def training_table(study: Study, plan: Plan) -> Table | None:
    """Steps, time and the last values of the losses, means over seeds."""
    rows = []
    for arm in ordered_arms(study, plan):
        runs = [one.training for one in study.arms[arm].values() if one.training is not None]
        if not runs:
            continue
        steps = " or ".join(sorted({str(one.steps) for one in runs}, key=int))
        finals = [one.final for one in runs]
        losses = [
            plain_mean([getattr(one, name) for one in finals], 3)
            for name in ("cross_entropy", "negative", "bits_per_dim")
        ]
        seconds = plain_mean([one.seconds for one in runs], 0)
        clamped = _clamped_cell([one.clamped for one in finals])
        rows.append(
            Row((
                arm_label(study, plan, arm), str(len(runs)), steps, seconds, *losses, clamped,
                _colour(finals),
            ))
        )  # fmt: skip
    header = (
        "arm", "seeds", "steps", "seconds", "cross-entropy", "negative loss", "bits/dim",
        "clamped, % (most)", "mean colour R G B",
    )  # fmt: skip
    return Table(header, tuple(rows)) if rows else None


def aims_table(study: Study, plan: Plan) -> Table:
    """What was hoped for, what was reached, and by how much it was missed."""
    rows = []
    for aim in list_aims(study, plan):
        bound = f"at {aim.bound} {_aim_value(aim, aim.needed)}"
        if not aim.known:
            rows.append(Row((aim.title, DASH, DASH, "not measured yet")))
            continue
        verdict = "reached" if not aim.missed_by else f"**missed by {_missed(aim)}**"
        rows.append(Row((aim.title, bound, _aim_value(aim, aim.reached), verdict)))
    return Table(("aim", "needed", "reached", ""), tuple(rows), texts=(0, -1))


def ordering_table(study: Study, plan: Plan) -> Table | None:
    """Orders of arms that papers report, compared in direction only."""
    rows = []
    for one in plan.orderings:
        verdict = ordering_verdict(study, plan, one)
        if verdict is not None:
            names = [
                study.title(arm) + (f", {score_title(score)}" if score else "")
                for arm, score in (
                    (one.better, one.better_score),
                    (one.worse, one.worse_score),
                )
            ]
            seeds = len(study.seeds(one.better, one.worse))
            rows.append(Row((f"{names[0]} before {names[1]}", str(seeds), verdict)))
    return Table(("order", "seeds", "found"), tuple(rows), texts=(0, -1)) if rows else None


def missing_lines(study: Study, plan: Plan) -> list[str]:
    """What the plan has and the results lack, a line an arm."""
    lines = []
    for arm in plan.arms:
        have = len(study.arms.get(arm.key, {}))
        if have < arm.seeds:
            lines.append(f"{arm.title}: {have} of {arm.seeds} seeds")
    planned = {arm.key for arm in plan.arms}
    lines += [
        f"{arm}: not measured yet" for arm in plan.main if arm not in planned | study.arms.keys()
    ]
    return lines


def _aim_value(aim: Aim, value: float) -> str:
    if aim.unit == "endpoints":
        return f"{value:.0f}"
    # One digit more for margins that are themselves below a point.
    return points(value, 2) if aim.unit == "points" else points(value)


def _missed(aim: Aim) -> str:
    if aim.unit == "endpoints":
        return f"{aim.missed_by:.0f} endpoint{'' if aim.missed_by == 1 else 's'}"
    text = _aim_value(aim, aim.missed_by)
    # What rounding hides is missed all the same.
    return f"{text} points" if float(text) else "less than can be shown"


def _clamped_cell(shares: list[float]) -> Cell:
    known = [one for one in shares if not math.isnan(one)]
    if not known:
        return Cell(DASH)
    return Cell(
        decimal(100 * sum(known) / len(known), 1),
        decimal(100 * max(known), 1),
        best=max(known) > CLAMPED,
    )


def _colour(finals: list[FinalValues]) -> str:
    colours = [one.mean_colour for one in finals if one.mean_colour is not None]
    if not colours:
        return DASH
    return " ".join(plain_mean([one[channel] for one in colours], 2) for channel in range(3))
