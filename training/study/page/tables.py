"""The study's main tables: arms by endpoint, differences, known classes, every score."""

from __future__ import annotations

from dataclasses import replace

from open_set_seg.report import Cell, Row, Table
from open_set_seg.report.numbers import DASH
from training.presentation.wording import METRICS, score_title
from training.study.page.numbers import (
    digits_of,
    mean_cell,
    points,
    range_text,
    signed_points,
)
from training.study.results.collection import ENDPOINTS, REGION_TITLES, Endpoint, Study
from training.study.results.files import Result
from training.study.results.plan import FULL_SEEDS, Plan
from training.study.verdicts.differences import Comparison, Difference, best_score, mean_interval
from training.study.verdicts.margins import closed_set_margin
from training.study.verdicts.wording import difference_verdict, p_text


def ordered_arms(study: Study, plan: Plan) -> list[str]:
    """The arms that have results: ours and those compared first, then as planned, then others."""
    wanted = [*plan.main, *(arm.key for arm in plan.arms), *sorted(study.arms)]
    return [arm for arm in dict.fromkeys(wanted) if arm in study.arms]


def arm_label(study: Study, plan: Plan, arm: str) -> str:
    """An arm's title, with what it may not be used for."""
    seeds = len(study.seeds(arm))
    return study.title(arm) + (" *(exploratory)*" if seeds < FULL_SEEDS else "")


def headline_table(study: Study, plan: Plan) -> Table:
    """Every arm in the four endpoints and mIoU; the control also with its best scores."""
    rows = []
    for arm in ordered_arms(study, plan):
        if arm == plan.control:
            rows.append(_endpoint_row(study, plan, arm, best=True))
        rows.append(_endpoint_row(study, plan, arm, best=False))
    header = ("arm", "score", "seeds", *map(endpoint_heading, ENDPOINTS), "mIoU, known classes ↑")
    notes = (
        "Mean ± standard deviation over seeds, in brackets the "
        f"{100 * (1 - plan.level):g} % interval of the mean over images and seeds.",
        f"Exploratory: fewer than {FULL_SEEDS} seeds; such figures describe and prove nothing.",
    )
    return Table(header, tuple(rows), notes=notes, texts=(0, 1))


def difference_table(study: Study, plan: Plan, comparison: Comparison) -> Table:
    """Ours minus one arm in the four endpoints, with tests and verdicts."""
    theirs, seeds = study.title(comparison.theirs), seeds_text(len(comparison.seeds))
    rows = [_difference_row(plan, comparison, one) for one in comparison.differences]
    header = (
        "endpoint", f"score of {theirs}", "difference, points", "better in", "p", "p, Holm",
        "verdict",
    )  # fmt: skip
    return Table(
        header,
        tuple(rows),
        caption=f"{study.title(comparison.ours)} minus {theirs}, {seeds}",
        texts=(0, 1, -1),
    )


def margin_table(study: Study, plan: Plan) -> Table | None:
    """mIoU on known classes against the control's, of every arm that shares seeds with it."""
    margins = [
        margin
        for arm in ordered_arms(study, plan)
        if arm != plan.control and (margin := closed_set_margin(study, plan, arm))
    ]
    if not margins:
        return None
    rows = []
    for one in margins:
        verdict = "yes" if one.holds else ("worse" if one.is_broken else "not shown")
        if len(one.by_seed) < 2:
            verdict = DASH
        figures = [signed_points(value, 2) for value in (one.mean, one.low_t, one.low)]
        label = arm_label(study, plan, one.arm)
        kind = "ours" if one.arm == plan.ours else "plain"
        rows.append(Row((label, str(len(one.by_seed)), *figures, verdict), kind))  # type: ignore[arg-type]
    level = f"{100 * (1 - plan.level):g} %"
    header = (
        "arm", "seeds", "mIoU minus control's, points", f"{level} lower limit, t",
        f"{level} lower limit, bootstrap", f"within {points(plan.margin)} points",
    )  # fmt: skip
    note = "Only our arm's row was planned as a test; the others describe."
    return Table(header, tuple(rows), notes=(note,), texts=(0, -1))


def score_table(study: Study, plan: Plan, region: str) -> Table:
    """Every arm with every score in one region, means over seeds; each arm's best bold."""
    metrics = ("AP", "FPR95", "AUROC", "best_F1")
    rows: list[Row] = []
    for arm in ordered_arms(study, plan):
        seeds, scores = study.seeds(arm), study.scores(arm)
        empty = [""] * len(metrics)
        rows.append(Row((f"{study.title(arm)}, {seeds_text(len(seeds))}", *empty), "group"))
        values = {
            (score, metric): study.values(arm, seeds, score, Endpoint(metric, region))
            for score in scores
            for metric in metrics
        }
        best = {
            metric: max(scores, key=lambda s: _sign(metric) * values[s, metric].mean())
            for metric in metrics
        }
        for score in scores:
            cells = [
                replace(mean_cell(values[score, metric]), best=best[metric] == score)
                for metric in metrics
            ]
            rows.append(Row((score_title(score), *cells)))
    header = ("score", *(METRICS[metric].heading for metric in metrics))
    return Table(header, tuple(rows), caption=REGION_TITLES[region].capitalize())


def class_table(study: Study, plan: Plan) -> Table:
    """IoU of every known class of the main arms, means over seeds."""
    arms = [arm for arm in plan.main if arm in study.arms]
    first = next(iter(study.arms[arms[0]].values())) if arms else None
    names = list(first.measured.closed_set.class_iou) if first else []

    def iou_of(name: str, arm: str) -> Cell:
        def of(result: Result) -> float:
            return result.measured.closed_set.class_iou.get(name, float("nan"))

        return mean_cell(study.figures(arm, study.seeds(arm), of))

    rows = [Row((name, *(iou_of(name, arm) for arm in arms))) for name in names]
    return Table(("class", *(study.title(arm) for arm in arms)), tuple(rows))


def endpoint_heading(endpoint: Endpoint) -> str:
    """Such as ``AP, road ↑``."""
    return f"{endpoint.title} {'↑' if endpoint.sign > 0 else '↓'}"


def seeds_text(count: int) -> str:
    """``1 seed``, ``8 seeds``."""
    return f"{count} seed{'' if count == 1 else 's'}"


def better_unresampled(study: Study, plan: Plan) -> list[str]:
    """Scores of the control that beat the chosen one in an endpoint but were not resampled."""
    seeds = study.seeds(plan.control)
    kept = study.scores(plan.control, resampled=True)
    found = []
    for endpoint in ENDPOINTS if kept else ():
        chosen = best_score(study, plan.control, endpoint, seeds)
        bar = study.values(plan.control, seeds, chosen, endpoint).mean()
        for score in study.scores(plan.control):
            value = study.values(plan.control, seeds, score, endpoint).mean()
            if score not in kept and endpoint.sign * (value - bar) > 0:
                found.append(f"{score_title(score)} ({endpoint.title}: {points(value)})")
    return found


def _endpoint_row(study: Study, plan: Plan, arm: str, best: bool) -> Row:
    seeds = study.seeds(arm)
    cells: list[Cell] = []
    for endpoint in ENDPOINTS:
        score = best_score(study, arm, endpoint, seeds) if best else plan.score
        if score not in study.scores(arm):
            cells.append(Cell(DASH))
            continue
        interval = None
        if score in study.scores(arm, resampled=True):
            interval = mean_interval(study, plan, arm, score, endpoint)
        cell = mean_cell(study.values(arm, seeds, score, endpoint), interval)
        cells.append(replace(cell, note=f"{cell.note}; {score_title(score)}") if best else cell)
    closed = mean_cell(study.figures(arm, seeds, lambda one: one.measured.closed_set.mIoU))
    score = "its best for each endpoint" if best else score_title(plan.score)
    label = arm_label(study, plan, arm)
    kind = "ours" if arm == plan.ours else "plain"
    return Row((label, score, str(len(seeds)), *cells, closed), kind)  # type: ignore[arg-type]


def _difference_row(plan: Plan, comparison: Comparison, one: Difference) -> Row:
    digits = digits_of(one.interval.low, one.interval.high)
    return Row(
        (
            endpoint_heading(one.endpoint),
            score_title(one.theirs_score),
            Cell(signed_points(one.interval.estimate, digits), range_text(one.interval, True)),
            f"{one.better_seeds} of {len(one.by_seed)}",
            p_text(one.p),
            p_text(one.corrected),
            difference_verdict(plan, comparison, one),
        )
    )


def _sign(metric: str) -> int:
    return Endpoint(metric, "whole").sign
