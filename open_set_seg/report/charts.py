"""Charts of lines and of histograms, as small SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from open_set_seg.report.content import Figure, Legend
from open_set_seg.report.svg import MUTED, QUIET, SLOTS, SMALL, WIDE, canvas, colour_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = (4.0, 2.4)
Values = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Attributes:
        label: with the unit.
        limits: what it spans; None to fit the data.
        logarithmic: decades at equal distances.
        names: what the values 0, 1, 2, ... are called, for things that are no numbers.
    """

    label: str
    limits: tuple[float, float] | None = None
    logarithmic: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Series:
    """One line of a chart; NaN is a gap.

    Attributes:
        name: for the legend.
        x, y: of its points.
        slot: of its colour.
        low, high: bounds of an interval around ``y``, drawn as a band.
        points: whether the points themselves are marked.
        compared: whether it is only compared with: thin and dashed.
    """

    name: str
    x: Values
    y: Values
    slot: int = 0
    low: Values | None = None
    high: Values | None = None
    points: bool = False
    compared: bool = False

    @property
    def entry(self) -> Legend:
        """Its entry in a legend; colours that come again are dashed."""
        return Legend(self.name, self.slot, self.compared or self.slot >= SLOTS)


@dataclass(frozen=True)
class Mark:
    """Something to point at in a chart.

    Attributes:
        x, y: a point; with one of them None, a line through the whole chart.
        slot: of its colour.
        text: beside it.
    """

    x: float | None
    y: float | None
    slot: int = QUIET
    text: str = ""


def draw_lines(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    caption: str = "",
    marks: Sequence[Mark] = (),
    legend: bool = True,
    wide: bool = False,
) -> Figure:
    """A chart of lines.

    Args:
        title: above the chart; also what a screen reader says.
        series: drawn in order, the last on top.
        x: horizontal axis.
        y: vertical axis.
        caption: below the chart.
        marks: points and lines to look at.
        legend: whether the figure carries a legend of its own.
        wide: whether it takes the whole width of the page.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
        ValueError: a series' x and y differ in length.
    """
    for one in series:
        if len(one.x) != len(one.y):
            raise ValueError(f"{one.name!r} has {len(one.x)} x and {len(one.y)} y")
    with canvas(title, (WIDE, 2.9) if wide else SMALL) as (axes, picture):
        set_axes(axes, x, y)
        for one in series:
            colour = colour_of(one.slot)
            if one.low is not None and one.high is not None:
                axes.fill_between(one.x, one.low, one.high, color=colour, alpha=0.16, lw=0)
            axes.plot(
                one.x,
                one.y,
                color=colour,
                dashes=_DASHES if one.entry.dashed else (),
                marker="o" if one.points else "",
                markersize=3.4,
                linewidth=1.1 if one.compared else 1.6,
                clip_on=_leaves(one.x, x) or _leaves(one.y, y),
            )
        _draw_marks(axes, marks)
    names = tuple(one.entry for one in series)
    return Figure(picture[0], title, caption, names if legend and len(names) > 1 else (), wide)


def draw_steps(
    title: str,
    edges: Values,
    series: Sequence[tuple[str, int, Values]],
    x: Axis,
    y: Axis,
    *,
    caption: str = "",
    marks: Sequence[Mark] = (),
    legend: bool = True,
) -> Figure:
    """A chart of histograms over the same bins, filled so that their overlap is seen.

    Args:
        title: as for ``draw_lines``, as ``x``, ``y``, ``caption``, ``marks`` and ``legend``.
        edges: N + 1 edges of the bins.
        series: name, colour slot and N heights of each histogram.
    """
    with canvas(title) as (axes, picture):
        set_axes(axes, x, y)
        for _, slot, heights in series:
            values = np.asarray(heights, np.float64)
            floor = y.limits[0] if y.limits else 0.0
            axes.stairs(
                values, edges, baseline=floor, color=colour_of(slot), fill=True, alpha=0.22, lw=0
            )
            axes.stairs(values, edges, baseline=floor, color=colour_of(slot), lw=1.3)
        _draw_marks(axes, marks)
    names = tuple(Legend(name, slot) for name, slot, _ in series)
    return Figure(picture[0], title, caption, names if legend and len(names) > 1 else ())


def _leaves(values: Values, axis: Axis) -> bool:
    """Whether a line must be cut at the frame; others may end on it with their full width."""
    if axis.limits is None:
        return False
    low, high = axis.limits
    array = np.asarray(values, np.float64)
    return bool(np.any(array < low) or np.any(array > high))


def set_axes(axes: Axes, x: Axis, y: Axis) -> None:
    """Labels, limits, scales and ticks of a chart."""
    for axis, scale, place, limit in (
        (axes.xaxis, axes.set_xscale, x, axes.set_xlim),
        (axes.yaxis, axes.set_yscale, y, axes.set_ylim),
    ):
        axis.set_label_text(place.label)
        if place.logarithmic:
            scale("log")
        if place.limits is not None:
            limit(*place.limits)
        if place.names:
            axis.set_ticks(range(len(place.names)), place.names)
            limit(-0.35, len(place.names) - 0.65)  # all of them, also where nothing was measured
        else:
            axis.set_major_formatter(_tick_text)
        if place.logarithmic:
            axis.set_minor_formatter(lambda value, position: "")
    axes.tick_params(length=2.5, width=0.7, which="major")
    axes.tick_params(length=0, which="minor")


def _draw_marks(axes: Axes, marks: Sequence[Mark]) -> None:
    for mark in marks:
        colour = colour_of(mark.slot)
        style: dict[str, Any] = {"color": colour, "lw": 0.9, "dashes": (2, 2), "zorder": 1.5}
        if mark.x is None and mark.y is not None:
            axes.axhline(mark.y, **style)
        elif mark.y is None and mark.x is not None:
            axes.axvline(mark.x, **style)
        elif mark.x is not None and mark.y is not None:
            axes.plot([mark.x], [mark.y], "o", color=colour, markersize=5, clip_on=False)
        if mark.text:
            _annotate(axes, mark)


def _annotate(axes: Axes, mark: Mark) -> None:
    side: Literal["left", "right"] = "left"
    if mark.x is None:
        place, where = (0.01, mark.y), ("axes fraction", "data")
    elif mark.y is None:
        place, where = (mark.x, 0.97), ("data", "axes fraction")
        low, high = axes.get_xlim()
        side = "right" if mark.x > (low + high) / 2 else "left"
    else:
        place, where = (mark.x, mark.y), ("data", "data")
    offset = (-4 if side == "right" else 4, -3)
    axes.annotate(
        mark.text, place, xycoords=where, xytext=offset, textcoords="offset points",
        ha=side, va="top", color=MUTED, fontsize=8,
    )  # fmt: skip


def _tick_text(value: float, position: float = 0) -> str:
    """Plain decimals: 0.01 and 100 rather than powers, and no trailing zeros."""
    if value == 0 or not math.isfinite(value):
        return "0"
    if 1e-6 <= abs(value) < 1e7:
        text = np.format_float_positional(value, precision=4, fractional=False, trim="-")
        return text.replace("-", "\N{MINUS SIGN}")
    return f"{value:.0e}"
