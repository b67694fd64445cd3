"""Charts of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.report import Axis, Figure, Figures, Legend, Mark, Series, draw_lines, draw_steps
from open_set_seg.report.svg import SLOTS
from training.presentation.papers import load_published
from training.presentation.published import comparable_rows, source_text
from training.presentation.rules import pools_images
from training.presentation.runs import Group, Run
from training.presentation.wording import band_name, plain_values

FIRST_RECALL = 2.0  # percent
SMALLEST_RATE = 1e-3  # percent; what lies left of it on a logarithmic axis is drawn at its edge
INLIERS, OUTLIERS = Legend("inlier pixels", 0), Legend("outlier pixels", 1)


def curve_figures(group: Group, region: str) -> Figures | None:
    """Precision-recall and ROC curves of every run in one region; None where there are none."""
    runs = [run for run in group.runs if region in (run.content.get("curves") or {})]
    if not runs:
        return None
    pooled = pools_images(group.protocol["name"])
    recall, rates, marks = [], [], [Mark(None, 95.0, text="TPR 95 %")]
    highest, chance = 0.0, None
    for run in runs:
        curve = run.content["curves"][region]
        true = 100 * plain_values(curve["TPR"])
        false = np.maximum(100 * plain_values(curve["FPR"]), SMALLEST_RATE)
        precision = 100 * plain_values(curve["precision"])
        # The first few pixels say little: one hit alone would be a precision of 100 %.
        highest = max([highest, *precision[true >= FIRST_RECALL]])
        if true[-1] == false[-1] == 100:
            chance = float(precision[-1])
        recall.append(Series(run.name, true, precision, run.slot))
        rates.append(Series(run.name, false, true, run.slot))
        fpr = run.content["pixels"].get(region, {}).get("FPR95")
        if fpr is not None and not pooled:
            marks.append(Mark(max(100 * fpr, SMALLEST_RATE), 95.0, run.slot))
    shared = "Of all pixels together; the protocol's figures are means over images."
    figures = (
        draw_lines(
            "Precision and recall", recall, Axis("recall, %", (0, 100)),
            Axis("precision, %", (0, upper_limit(highest))), legend=False,
            caption=shared if pooled else "", marks=() if chance is None else
            (Mark(None, chance, text=f"chance {chance:.2g} %"),),
        ),
        draw_lines(
            "True and false positives", rates,
            Axis("false positive rate, % (logarithmic)", (SMALLEST_RATE, 100), logarithmic=True),
            Axis("true positive rate, %", (0, 100)), marks=marks, legend=False,
            caption=shared if pooled else "Points: FPR95 by the protocol's rule.",
        ),
    )  # fmt: skip
    return Figures(figures, legend_of(runs))


def histogram_figures(group: Group, region: str) -> Figures | None:
    """Scores of inlier and outlier pixels of every run in one region; None where there are none."""
    figures = []
    for run in group.runs:
        if histogram := (run.content.get("histogram") or {}).get(region):
            figures.append(_histogram(run, histogram, region))
    return Figures(tuple(figures), (INLIERS, OUTLIERS)) if figures else None


def distance_figures(group: Group) -> Figures | None:
    """FPR95 and AP by distance with the papers' own methods; None where nobody measured them."""
    runs = [run for run in group.runs if run.content.get("distance")]
    if not runs:
        return None
    names = tuple(band_name(one["band"]) for one in runs[0].content["distance"]["bands"])
    published = comparable_rows(group.protocol["name"], group.dataset["name"], bands=True)
    papers = load_published().papers
    figures: list[Figure] = []
    legend: dict[str, Legend] = {}
    for metric in ("FPR95", "AP"):
        series = []
        for one in published:
            if one.row.own and one.measurement.metric == metric:
                values = plain_values(
                    one.values[n].value if n in one.values else None for n in names
                )
                name = f"{one.row.method} ({source_text(one.row, papers)})"
                slot = legend[name].slot if name in legend else len(group.runs) + len(legend)
                line = Series(name, range(len(names)), values, slot, points=True, compared=True)
                legend[name] = line.entry
                series.append(line)
        for run in runs:
            bands = run.content["distance"]["bands"]
            values = 100 * plain_values(one[metric] for one in bands)
            low, high = (interval_limits(bands, metric, end) for end in ("low", "high"))
            place = range(len(names))
            series.append(Series(run.name, place, values, run.slot, low, high, points=True))
        highest = max([0.0, *(value for one in series for value in one.y if value == value)])
        x, y = Axis("distance, m", names=names), Axis(f"{metric}, %", (0, upper_limit(highest)))
        figures.append(draw_lines(f"{metric} by distance", series, x, y, legend=False))
    ours = [Series(run.name, (), (), run.slot).entry for run in runs]
    return Figures(tuple(figures), (*ours, *legend.values()) if len(ours) + len(legend) > 1 else ())


def component_figure(group: Group) -> Figure | None:
    """F1 of components by tau; None where nobody measured it."""
    runs = [run for run in group.runs if run.content.get("components")]
    if not runs:
        return None
    series = []
    for run in runs:
        by_tau = run.content["components"]["by_tau"]
        values = 100 * plain_values(one["F1"] for one in by_tau)
        taus = [one["tau"] for one in by_tau]
        series.append(Series(run.name, taus, values, run.slot, points=True))
    return draw_lines("Components: F1 by tau", series, Axis("tau"), Axis("F1, %", (0, 100)))


def frame_figure(group: Group) -> Figure | None:
    """AP of every frame by itself, sorted; None where there are none."""
    series = []
    for run in group.runs:
        found = [one["AP"] for one in run.content.get("frames") or ()]
        values = sorted(value for value in found if value is not None)
        if len(values) > 1:
            share = np.linspace(0, 100, len(values))
            points = len(values) < 30
            figures = 100 * plain_values(values)
            series.append(Series(run.name, share, figures, run.slot, points=points))
    if not series:
        return None
    highest = max(value for one in series for value in one.y)
    x = Axis("frames from the worst to the best, %", (0, 100))
    y = Axis("AP, %", (0, upper_limit(highest)))
    return draw_lines("AP of single frames", series, x, y)


def upper_limit(highest: float) -> float:
    """Where an axis of percentages ends, so that low curves are seen: 5, 10, 20, 50 or 100."""
    return next((limit for limit in (5.0, 10.0, 20.0, 50.0) if 0.95 * limit >= highest), 100.0)


def legend_of(runs: Sequence[Run]) -> tuple[Legend, ...]:
    """Entries for runs; none for one run alone."""
    entries = tuple(Legend(run.name, run.slot, run.slot >= SLOTS) for run in runs)
    return entries if len(entries) > 1 else ()


def interval_limits(
    rows: Sequence[Mapping[str, Any]], key: str, end: str
) -> NDArray[np.float64] | None:
    """The ``low`` or ``high`` ends of a figure's intervals, in percent; None without any."""
    found = [((row.get("intervals") or {}).get(key) or {}).get(end) for row in rows]
    return 100 * plain_values(found) if any(value is not None for value in found) else None


def _histogram(run: Run, histogram: Mapping[str, Any], region: str) -> Figure:
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
        run.name, edges, [(INLIERS.name, 0, heights[0]), (OUTLIERS.name, 1, heights[1])],
        Axis("score", (edges[0], edges[-1])),
        Axis("share of its pixels, % (logarithmic)", (floor, 100), logarithmic=True),
        marks=marks, legend=False,
    )  # fmt: skip
