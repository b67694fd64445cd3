"""Charts as small SVG that takes its colours from the page around it, light or dark.

matplotlib draws with stand-in colours, which are then replaced by CSS variables; text stays text.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from open_set_seg.report.content import Figure, Legend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

SLOTS = 8  # colours of series; further ones repeat them with dashed lines
QUIET = -1
WIDTH, HEIGHT = 4.4, 3.1  # inches of 72 px: readable at the width of a phone, small enough for two
_DASHES = (4.0, 2.4)
_STAND_INS = {"#010101": "ink", "#020202": "muted", "#030303": "line"}
_STAND_INS |= {f"#0a0a{slot:02x}": f"series-{slot}" for slot in range(SLOTS)}
_INK, _MUTED, _LINE = list(_STAND_INS)[:3]
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "lines.linewidth": 1.6,
    "lines.solid_joinstyle": "round",
}

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

    Raises:
        ModuleNotFoundError: matplotlib is missing.
        ValueError: a series' x and y differ in length.
    """
    for one in series:
        if len(one.x) != len(one.y):
            raise ValueError(f"{one.name!r} has {len(one.x)} x and {len(one.y)} y")
    with _canvas(title) as (axes, picture):
        _set_axes(axes, x, y)
        for one in series:
            colour = _colour(one.slot)
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
                # Curves end on the frame, where clipping would halve the line.
                clip_on=x.limits is not None or y.limits is not None,
            )
        _draw_marks(axes, marks)
    names = tuple(one.entry for one in series)
    return Figure(picture[0], title, caption, names if legend and len(names) > 1 else ())


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
    with _canvas(title) as (axes, picture):
        _set_axes(axes, x, y)
        for _, slot, heights in series:
            values = np.asarray(heights, np.float64)
            floor = y.limits[0] if y.limits else 0.0
            axes.stairs(
                values, edges, baseline=floor, color=_colour(slot), fill=True, alpha=0.22, lw=0
            )
            axes.stairs(values, edges, baseline=floor, color=_colour(slot), lw=1.3)
        _draw_marks(axes, marks)
    names = tuple(Legend(name, slot) for name, slot, _ in series)
    return Figure(picture[0], title, caption, names if legend and len(names) > 1 else ())


@contextmanager
def _canvas(title: str) -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw on, and a list that holds the finished SVG afterwards."""
    try:
        import matplotlib
        from matplotlib.figure import Figure as Drawing
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "charts need matplotlib: pip install 'open_set_seg[report]'"
        ) from error
    picture: list[str] = []
    style: dict[Any, Any] = {**matplotlib.rcParamsDefault, **_STYLE, "svg.hashsalt": "fixed"}
    style.pop("backend", None)
    with matplotlib.rc_context(style):
        drawing = Drawing(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = drawing.add_subplot()
        yield axes, picture
        raw = io.StringIO()
        empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        drawing.savefig(raw, format="svg", transparent=True, metadata=empty)
    picture.append(_embed(raw.getvalue(), title))


def _set_axes(axes: Axes, x: Axis, y: Axis) -> None:
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
        else:
            axis.set_major_formatter(_tick_text)
        if place.logarithmic:
            axis.set_minor_formatter(lambda value, position: "")
    axes.tick_params(length=2.5, width=0.7, which="major")
    axes.tick_params(length=0, which="minor")


def _draw_marks(axes: Axes, marks: Sequence[Mark]) -> None:
    for mark in marks:
        colour = _colour(mark.slot)
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
        ha=side, va="top", color=_MUTED, fontsize=8,
    )  # fmt: skip


def _colour(slot: int) -> str:
    return _MUTED if slot == QUIET else f"#0a0a{slot % SLOTS:02x}"


def _tick_text(value: float, position: float = 0) -> str:
    """Plain decimals: 0.01 and 100 rather than powers, and no trailing zeros."""
    if value == 0 or not math.isfinite(value):
        return "0"
    if 1e-6 <= abs(value) < 1e7:
        text = np.format_float_positional(value, precision=4, fractional=False, trim="-")
        return text.replace("-", "\N{MINUS SIGN}")
    return f"{value:.0e}"


def _embed(svg: str, title: str) -> str:
    """The SVG as part of a page: page colours, unique ids, nothing that points outside."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    for stand_in, name in _STAND_INS.items():
        body = body.replace(stand_in, f"var(--{name})")
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r"(?<= d=\")[^\"]+", lambda path: _round_numbers(path.group()), body)
    prefix = "c" + hashlib.sha256(svg.encode() + title.encode()).hexdigest()[:8]
    used = set(re.findall(r"url\(#([^)]+)\)", body)) | set(re.findall(r'href="#([^"]+)"', body))
    body = re.sub(
        r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", body
    )
    body = re.sub(r"url\(#", f"url(#{prefix}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{prefix}-', body)
    view = re.search(r'viewBox="[^"]+"', body)
    if view is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox")
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    opening = f'<svg {view.group()} role="img" aria-label="{label}">'
    body = re.sub(r"<svg[^>]*>", lambda _: opening, body, count=1)
    return re.sub(r"\n\s*", "\n", body).strip()


def _round_numbers(path: str) -> str:
    """A path with a hundredth of a pixel, on one line."""
    rounded = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number.group()):.2f}", path)
    return " ".join(rounded.split())
