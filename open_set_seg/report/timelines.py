"""Charts over time that take the whole width of a page: what was followed, and strips of shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.report.charts import Axis, Values, set_axes
from open_set_seg.report.content import Figure, Legend
from open_set_seg.report.svg import MUTED, QUIET, WIDE, canvas, colour_of, link_to

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Opacities of a strip's shares: up to 0.2, 0.4, 0.6, 0.8 and 1.
SHADES = (0.06, 0.28, 0.5, 0.75, 1.0)
LANE = 0.09  # height of the lane for what has no y, as a share of the axis


@dataclass(frozen=True, eq=False)
class Trace:
    """One thing that was followed over time.

    Attributes:
        name: written where the trace ends; empty for none.
        x: rising; NaN is a gap.
        y: NaN where it is not known, which is drawn in a lane above all others.
        sure: where the trace is drawn strong; elsewhere it is thin and dashed.
        slot: of its colour.
        anchor: of the page, where its name and its line lead; empty for nowhere.
        label: what is there, in words.
    """

    name: str
    x: Values
    y: Values
    sure: Sequence[bool] | NDArray[np.bool_]
    slot: int = 0
    anchor: str = ""
    label: str = ""


def draw_traces(
    title: str,
    traces: Sequence[Trace],
    x: Axis,
    y: Axis,
    *,
    caption: str = "",
    description: str = "",
    unknown: str = "unknown",
) -> Figure:
    """A chart of many things over time.

    Args:
        title: above the chart.
        traces: drawn in order, the last on top.
        x: time.
        y: needs limits.
        caption: below the chart.
        description: the chart in words, for who cannot see it.
        unknown: name of the lane above, which is there where it is needed.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
        ValueError: arrays of unequal length in a trace, or a y axis without limits.
    """
    if y.limits is None:
        raise ValueError("the y axis of traces needs limits")
    for one in traces:
        if not len(one.x) == len(one.y) == len(one.sure):
            lengths = f"{len(one.x)} x, {len(one.y)} y and {len(one.sure)} states"
            raise ValueError(f"{one.name!r} has {lengths}")
    low, high = y.limits
    lane = high + LANE / 2 * (high - low)
    laned = any(np.any(np.isnan(one.y) & np.isfinite(one.x)) for one in traces)
    with canvas(_spoken(title, description), (WIDE, 3.6)) as (axes, picture):
        set_axes(axes, x, y)
        if laned:
            axes.set_ylim(low, high + LANE * (high - low))
            axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= high])
            axes.axhspan(high, high + LANE * (high - low), color=MUTED, alpha=0.12, lw=0)
            axes.annotate(
                unknown, (1.0, 1.0), xycoords="axes fraction", xytext=(0, 2),  # lines lie within
                textcoords="offset points", ha="right", va="bottom", color=MUTED, fontsize=7.5,
            )  # fmt: skip
        for one in traces:
            _draw_trace(axes, one, lane)
    return Figure(picture[0], title, caption, wide=True)


def draw_strips(
    title: str,
    edges: Values,
    names: Sequence[str],
    shares: NDArray[np.float64],
    x: Axis,
    *,
    label: str = "",
    slot: int = 0,
    caption: str = "",
    description: str = "",
) -> Figure:
    """Strips over time, one above the other, as dark as the share in them is high.

    Args:
        title: above the chart.
        edges: (C + 1,) times.
        names: of the R strips, from the bottom up.
        shares: (R, C) in [0, 1]; NaN where nothing can be said, which is hatched.
        x: time.
        label: of the vertical axis.
        slot: of the colour.
        caption: below the chart.
        description: the chart in words, for who cannot see it.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
        ValueError: shares of another shape.
    """
    bounds = np.asarray(edges, np.float64)
    if shares.shape != (len(names), bounds.size - 1):
        raise ValueError(
            f"shares of shape {shares.shape} for {len(names)} strips and {bounds.size - 1} times"
        )
    levels = np.where(np.isnan(shares), -1, np.clip(np.ceil(5 * shares) - 1, 0, 4))
    with canvas(_spoken(title, description), (WIDE, 0.75 + 0.24 * len(names))) as (axes, picture):
        set_axes(axes, x, Axis(label))
        axes.grid(visible=False)
        axes.set_yticks(range(len(names)), list(names))
        axes.set_ylim(-0.5, len(names) - 0.5)
        for row, values in enumerate(levels):
            for level, spans in _spans(values, bounds).items():
                style: dict[str, Any] = {"facecolor": "none", "hatch": "//////", "edgecolor": MUTED}
                if level >= 0:
                    style = {"facecolor": colour_of(slot), "alpha": SHADES[level]}
                axes.broken_barh(spans, (row - 0.42, 0.84), lw=0, **style)
    legend = [Legend(f"{20 * n}–{20 * (n + 1)} %", slot, shade=SHADES[n]) for n in range(5)]
    if np.any(levels < 0):
        legend.append(Legend("cannot be said", slot, shade=math.nan))
    return Figure(picture[0], title, caption, tuple(legend), wide=True)


def _spoken(title: str, description: str) -> str:
    return f"{title}. {description}" if description else title


def _spans(
    levels: NDArray[np.float64], bounds: NDArray[np.float64]
) -> dict[int, list[tuple[float, float]]]:
    """Level -> (start, length) of its runs: few rectangles, however many times there are."""
    spans: dict[int, list[tuple[float, float]]] = {}
    cuts = np.flatnonzero(np.diff(levels)) + 1
    starts, ends = [0, *cuts.tolist()], [*cuts.tolist(), levels.size]
    for start, end in zip(starts, ends, strict=True):
        if end > start:
            span = (float(bounds[start]), float(bounds[end] - bounds[start]))
            spans.setdefault(int(levels[start]), []).append(span)
    return spans


def _draw_trace(axes: Axes, trace: Trace, lane: float) -> None:
    x, y = np.asarray(trace.x, np.float64), np.asarray(trace.y, np.float64)
    sure = np.asarray(trace.sure, np.bool_)
    there = np.isfinite(x)
    if not there.any():
        return
    link = link_to(trace.anchor, trace.label) if trace.anchor else ""
    weak = _reaches(~sure)
    for known in (np.isfinite(y), np.isnan(y)):
        shown = np.where(known & there, np.where(np.isnan(y), lane, y), np.nan)
        _draw_line(axes, x, np.where(weak, shown, np.nan), trace.slot, "", strong=False)
        _draw_line(axes, x, np.where(sure, shown, np.nan), trace.slot, link, strong=True)
    if trace.name:
        last = np.flatnonzero(there)[-1]
        text = axes.annotate(
            trace.name, (x[last], lane if math.isnan(y[last]) else y[last]), xytext=(3, 2),
            textcoords="offset points", color=colour_of(trace.slot), fontsize=8,
        )  # fmt: skip
        if link:
            text.set_url(link)


def _reaches(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Marked points and those beside them, so that a line goes all the way."""
    wide: NDArray[np.bool_] = marked.copy()
    wide[1:] |= marked[:-1]
    wide[:-1] |= marked[1:]
    return wide


def _draw_line(
    axes: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    slot: int,
    link: str,
    *,
    strong: bool,
) -> None:
    there = np.isfinite(y)
    if not there.any():
        return
    colour, quiet = colour_of(slot), slot == QUIET
    (line,) = axes.plot(
        x, y, color=colour, linewidth=2.2 if strong and not quiet else 0.9,
        dashes=() if strong else (2.5, 1.8), solid_capstyle="round",
    )  # fmt: skip
    beside = np.zeros_like(there)
    beside[1:] |= there[:-1]
    beside[:-1] |= there[1:]
    alone = there & ~beside  # a line through one point has no length
    drawn = [line]
    if alone.any():
        size = 3.0 if strong and not quiet else 1.8
        drawn += axes.plot(x[alone], y[alone], "o", color=colour, markersize=size, mew=0)
    if link:
        for each in drawn:
            each.set_url(link)
