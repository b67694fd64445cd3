"""The study's plots: endpoints by arm, AP against FPR95, figures by distance.

Small PNG files on white, in colours that the colour-blind can tell apart (Okabe and Ito), with
another mark for every arm.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from training.presentation.canvas import BLUE, GREEN, GREY, ORANGE, PINK, draw_canvas
from training.presentation.wording import score_title
from training.study.page.strata import METRICS, band_title, band_values, bands_of, strata_arms
from training.study.page.tables import endpoint_heading, ordered_arms
from training.study.results.collection import ENDPOINTS, REGION_TITLES, Endpoint, Study
from training.study.results.plan import FULL_SEEDS, Plan
from training.study.verdicts.differences import best_score, mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OTHER = "#6f6f6f"
# Ours, the control, its best score, likelihood only, noise.
_LOOKS = ((BLUE, "o"), (GREY, "s"), (PINK, "P"), (ORANGE, "^"), (GREEN, "D"))


@dataclass(frozen=True)
class Line:
    """An arm under a score, as it is drawn everywhere.

    Attributes:
        arm: key.
        score: name; empty for the best score for each endpoint.
        label: in words.
        colour, marker: of its marks.
        is_main: whether it is among those that are tested.
    """

    arm: str
    score: str
    label: str
    colour: str
    marker: str
    is_main: bool

    def score_for(self, study: Study, endpoint: Endpoint) -> str:
        """The score that an endpoint is shown under."""
        return self.score or best_score(study, self.arm, endpoint, study.seeds(self.arm))


def draw_plots(study: Study, plan: Plan) -> dict[str, bytes]:
    """PNG files by name, as many as the results allow."""
    found = {}
    if lines := list_lines(study, plan):
        found["endpoints.png"] = draw_endpoints(study, plan, lines)
        found["tradeoff.png"] = draw_tradeoff(study, lines)
    if strata_arms(study, plan):
        found["distance.png"] = draw_distances(study, plan)
    return found


def list_lines(study: Study, plan: Plan) -> list[Line]:
    """What is drawn: every arm with the study's score, the control also with its best ones."""
    roles = (plan.ours, plan.control, None, plan.likelihood_only, plan.noise)
    looks = dict(zip(roles, _LOOKS, strict=True))
    lines = []
    number = 0
    for arm in ordered_arms(study, plan):
        title, main = study.title(arm), arm in plan.main
        if not main:
            number += 1
        colour, marker = looks.get(arm, (_OTHER, f"${number}$"))
        if plan.score in study.scores(arm, resampled=True):
            lines.append(Line(arm, plan.score, title, colour, marker, main))
        if arm == plan.control:
            lines.append(Line(arm, "", f"{title}, best score", *looks[None], main))
    return lines


def draw_endpoints(study: Study, plan: Plan, lines: Sequence[Line]) -> bytes:
    """The four endpoints: a row an arm, seeds as dots, mean and interval over them."""
    with _panels(10.0, 1.0 + 0.36 * len(lines), 4, sharey=True) as (axes, picture):
        for place, (axis, endpoint) in enumerate(zip(axes, ENDPOINTS, strict=True)):
            for row, line in enumerate(lines):
                score, seeds = line.score_for(study, endpoint), study.seeds(line.arm)
                values = 100 * study.values(line.arm, seeds, score, endpoint)
                interval = mean_interval(study, plan, line.arm, score, endpoint)
                limits = [100 * interval.low], [100 * interval.high]
                axis.hlines([row], *limits, colors=line.colour, linewidth=2.2)
                axis.scatter(values, row + _spread(len(seeds)), s=9, color=line.colour, alpha=0.45,
                             linewidths=0)  # fmt: skip
                axis.scatter([values.mean()], [row], s=34, color=line.colour, zorder=3,
                             marker=line.marker if line.is_main else "o")  # fmt: skip
            axis.set_title(endpoint_heading(endpoint))
            axis.set_xlabel("%")
            axis.set_xlim(left=0)
            if not place:
                labels = [textwrap.fill(_exploratory(study, line), 34) for line in lines]
                axis.set_yticks(range(len(lines)), labels)
                axis.set_ylim(len(lines) - 0.4, -0.6)
    return picture[0]


def draw_tradeoff(study: Study, lines: Sequence[Line]) -> bytes:
    """AP against FPR95 in both regions: means large, seeds small; better is up and left."""
    height = 4.4 + 0.2 * ((len(lines) + 2) // 3)
    with _panels(9.0, height, 2) as (axes, picture):
        for axis, (region, title) in zip(axes, REGION_TITLES.items(), strict=True):
            for line in lines:
                seeds = study.seeds(line.arm)
                y, x = (
                    100 * study.values(line.arm, seeds, line.score_for(study, one), one)
                    for one in (Endpoint("AP", region), Endpoint("FPR95", region))
                )
                if line.is_main:
                    axis.scatter(x, y, s=10, color=line.colour, alpha=0.4, linewidths=0)
                axis.scatter([x.mean()], [y.mean()], s=70 if line.is_main else 45, zorder=3,
                             color=line.colour, marker=line.marker, linewidths=0,
                             label=line.label)  # fmt: skip
            axis.set_title(title)
            axis.set_xlabel("FPR95, % (less is better)")
            axis.set_ylabel("AP, % (more is better)")
        handles, labels = axes[0].get_legend_handles_labels()
        axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return picture[0]


def draw_distances(study: Study, plan: Plan) -> bytes:
    """AP and FPR95 on the road by distance: means with standard deviations over seeds."""
    pairs = strata_arms(study, plan)
    bands = bands_of(study, *pairs[0], "distance")
    looks = {(line.arm, line.score): line for line in list_lines(study, plan)}
    best = next((line for line in looks.values() if not line.score), None)
    with _panels(9.0, 3.9, 2) as (axes, picture):
        for axis, metric in zip(axes, METRICS, strict=True):
            for index, pair in enumerate(pairs):
                line = looks.get(pair, best)
                values = 100 * np.array(
                    [band_values(study, *pair, "distance", at, metric) for at in range(len(bands))]
                )
                deviations = values.std(axis=1, ddof=1) if values.shape[1] > 1 else None
                places = np.arange(len(bands)) + 0.07 * (index - (len(pairs) - 1) / 2)
                label = f"{study.title(pair[0])}, {score_title(pair[1])}"
                axis.errorbar(places, values.mean(axis=1), yerr=deviations, capsize=2, label=label,
                              color=line.colour if line else _OTHER, linewidth=1.4, markersize=5,
                              marker=line.marker if line else "o")  # fmt: skip
            axis.set_xticks(range(len(bands)), [band_title(one) for one in bands])
            axis.set_xlabel("distance, m")
            axis.set_ylabel(f"{metric} on the road, %")
            axis.set_ylim(bottom=0)
        handles, labels = axes[0].get_legend_handles_labels()
        axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return picture[0]


def _exploratory(study: Study, line: Line) -> str:
    seeds = len(study.seeds(line.arm))
    return line.label + (f" ({seeds} seeds)" if seeds < FULL_SEEDS else "")


def _spread(count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Offsets that keep the dots of seeds apart."""
    return np.linspace(-0.2, 0.2, count) if count > 1 else np.zeros(1)


@contextmanager
def _panels(
    width: float, height: float, panels: int, sharey: bool = False
) -> Iterator[tuple[list[Axes], list[bytes]]]:
    """Panels side by side to draw on, and a list that holds the PNG file afterwards."""
    with draw_canvas(width, height) as (drawing, picture):
        yield list(drawing.subplots(1, panels, sharey=sharey)), picture
