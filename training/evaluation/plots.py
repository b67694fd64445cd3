"""Charts of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from open_set_seg.report import Axis, Figure, Figures, Legend, Mark, Series, draw_lines, draw_steps
from open_set_seg.report.charts import QUIET, SLOTS
from training.evaluation.details import band_name
from training.evaluation.published import comparable_rows, load_published, source_text
from training.evaluation.runs import Group, Run

SMALLEST_RATE = 1e-5
SHARE = (100.0, "%")


def curve_figures(group: Group, region: str) -> Figures | None:
    """Precision-recall and ROC curves of every run in one region; None where there are none."""
    runs = [run for run in group.runs if region in (run.content.get("curves") or {})]
    if not runs:
        return None
    recall, rates, marks = [], [], [Mark(None, 95.0, text="TPR 95 %")]
    lowest = SMALLEST_RATE
    for run in runs:
        curve = run.content["curves"][region]
        true = _percent(curve["TPR"])
        false = _percent(curve["FPR"])
        recall.append(Series(run.name, true, _percent(curve["precision"]), run.slot))
        rates.append(Series(run.name, np.maximum(false, 100 * lowest), true, run.slot))
        fpr = run.content["pixels"][region].get("FPR95")
        if fpr is not None:
            marks.append(Mark(max(100 * fpr, 100 * lowest), 95.0, run.slot))
    figures = (
        draw_lines(
            "Precision and recall", recall, Axis("recall, %", (0, 100)),
            Axis("precision, %", (0, 100)), legend=False,
        ),
        draw_lines(
            "True and false positive rate", rates,
            Axis("false positive rate, %", (100 * lowest, 100), logarithmic=True),
            Axis("true positive rate, %", (0, 100)), marks=marks, legend=False,
            caption="Points: FPR95 by the protocol's rule.",
        ),
    )  # fmt: skip
    return Figures(figures, legend_of(runs))


def histogram_figures(group: Group, region: str) -> Figures | None:
    """Scores of inlier and outlier pixels of every run in one region; None where there are none."""
    figures = []
    for run in group.runs:
        histogram = (run.content.get("histogram") or {}).get(region)
        if histogram:
            figures.append(_histogram(run, histogram, region))
    legend = (Legend("inlier pixels", 0), Legend("outlier pixels", 1))
    return Figures(tuple(figures), legend) if figures else None


def distance_figures(group: Group) -> Figures | None:
    """FPR95 and AP by distance with the papers' own methods; None where nobody measured them."""
    runs = [run for run in group.runs if run.content.get("distance")]
    if not runs:
        return None
    bands = runs[0].content["distance"]["bands"]
    names = tuple(band_name(one["band"]) for one in bands)
    published = comparable_rows(group.protocol["name"], group.dataset["name"], bands=True)
    papers = load_published().papers
    figures = []
    for metric in ("FPR95", "AP"):
        series = []
        for one in published:
            if one.row.own and one.measurement.metric == metric:
                values = [one.values[n].value if n in one.values else math.nan for n in names]
                name = f"{one.row.method} ({source_text(one.row, papers)})"
                series.append(Series(name, range(len(names)), values, QUIET, points=True))
        for run in runs:
            values = [_value(one[metric]) for one in run.content["distance"]["bands"]]
            series.append(
                Series(run.name, range(len(values)), _percent(values), run.slot, points=True)
            )
        title = f"{metric} by distance"
        x = Axis("distance, m", names=names)
        figures.append(draw_lines(title, series, x, Axis(f"{metric}, %", None)))
    return Figures(tuple(figures))


def component_figure(group: Group) -> Figure | None:
    """F1 of components by tau; None where nobody measured it."""
    runs = [run for run in group.runs if run.content.get("components")]
    if not runs:
        return None
    series = []
    for run in runs:
        by_tau = run.content["components"]["by_tau"]
        values = _percent([_value(one["F1"]) for one in by_tau])
        series.append(
            Series(run.name, [one["tau"] for one in by_tau], values, run.slot, points=True)
        )
    x, y = Axis("tau"), Axis("F1, %", (0, 100))
    return draw_lines("Components: F1 by tau", series, x, y)


def frame_figure(group: Group) -> Figure | None:
    """AP of every frame by itself, sorted; None where there are no frames."""
    series = []
    for run in group.runs:
        values = sorted(
            one["AP"] for one in run.content.get("frames") or () if one["AP"] is not None
        )
        if values:
            share = np.linspace(0, 100, len(values)) if len(values) > 1 else np.array([50.0])
            series.append(
                Series(run.name, share, _percent(values), run.slot, points=len(values) < 30)
            )
    if not series:
        return None
    return draw_lines(
        "AP of single frames, from the worst to the best", series,
        Axis("share of frames, %", (0, 100)), Axis("AP, %", (0, 100)),
    )  # fmt: skip


def legend_of(runs: Sequence[Run]) -> tuple[Legend, ...]:
    """Entries for runs; none for one run alone."""
    entries = tuple(Legend(run.name, run.slot, run.slot >= SLOTS) for run in runs)
    return entries if len(entries) > 1 else ()


def _histogram(run: Run, histogram: dict[str, list[float]], region: str) -> Figure:
    heights = []
    for key in ("inliers", "outliers"):
        counts = np.asarray(histogram[key], np.float64)
        heights.append(100 * counts / max(counts.sum(), 1))
    smallest = min((h[h > 0].min() for h in heights if (h > 0).any()), default=1e-3)
    floor = max(10.0 ** math.floor(math.log10(smallest)), 1e-4)
    edges = histogram["edges"]
    marks = []
    threshold = run.content["pixels"].get(region, {}).get("best_F1_threshold")
    if threshold is not None and edges[0] <= threshold <= edges[-1]:
        marks.append(Mark(threshold, None, text="best F1"))
    return draw_steps(
        run.name, edges, [("inlier pixels", 0, heights[0]), ("outlier pixels", 1, heights[1])],
        Axis("score", (edges[0], edges[-1])),
        Axis("share of the pixels, %", (floor, 100), logarithmic=True), marks=marks, legend=False,
    )  # fmt: skip


def _percent(values: Sequence[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return 100 * np.asarray([_value(value) for value in values], np.float64)


def _value(value: float | None) -> float:
    return math.nan if value is None else value
