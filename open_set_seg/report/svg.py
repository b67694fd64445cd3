"""Axes to draw on that become a small SVG in the colours of the page around it, light or dark.

matplotlib draws with stand-in colours, which are then replaced by CSS variables; text stays text.
"""

from __future__ import annotations

import hashlib
import io
import re
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

SLOTS = 8  # colours of series; further ones repeat them with dashed lines
QUIET = -1
# Inches of 72 px: readable at the width of a phone, small enough for two.
SMALL = (4.4, 3.1)
WIDE = 9.6  # inches: as wide as a page
_LINK = "page:"  # a scheme of our own, for links within the page
_STAND_INS = {"#010101": "ink", "#020202": "muted", "#030303": "line"}
_STAND_INS |= {f"#0a0a{slot:02x}": f"series-{slot}" for slot in range(SLOTS)}
_INK, MUTED, _LINE = list(_STAND_INS)[:3]
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "text.parse_math": False,
    "hatch.linewidth": 0.6,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "lines.linewidth": 1.6,
    "lines.solid_joinstyle": "round",
}


@contextmanager
def canvas(title: str, size: tuple[float, float] = SMALL) -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw on, and a list that holds the finished SVG afterwards.

    Args:
        title: what a screen reader says.
        size: width and height in inches of 72 px.
    """
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
        drawing = Drawing(figsize=size, layout="constrained")
        axes = drawing.add_subplot()
        yield axes, picture
        raw = io.StringIO()
        empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        drawing.savefig(raw, format="svg", transparent=True, metadata=empty)
    picture.append(_embed(raw.getvalue(), title))


def colour_of(slot: int) -> str:
    """The stand-in for the colour of a series."""
    return MUTED if slot == QUIET else f"#0a0a{slot % SLOTS:02x}"


def link_to(anchor: str, label: str) -> str:
    """What to give ``set_url`` so that a shape leads to an anchor of the page.

    Args:
        label: where that is, in words, for who cannot see the shape.
    """
    return f"{_LINK}{anchor}/{quote(label, safe='')}"


def _write_link(link: re.Match[str]) -> str:
    return f'href="#{link[1]}" aria-label="{escape(unquote(link[2]))}"'


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
    body = body.replace(' target="_blank"', "")
    body = re.sub(rf'xlink:href="{_LINK}([^"/]+)/([^"]*)"', _write_link, body)
    body = re.sub(r'xlink:href="#', f'href="#{prefix}-', body)
    view = re.search(r'viewBox="[^"]+"', body)
    if view is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox")
    # A picture to screen readers, unless there is something in it that they can follow.
    role = "group" if "<a " in body else "img"
    opening = f'<svg {view.group()} role="{role}" aria-label="{escape(title)}">'
    body = re.sub(r"<svg[^>]*>", lambda _: opening, body, count=1)
    return re.sub(r"\n\s*", "\n", body).strip()


def _round_numbers(path: str) -> str:
    """A path with a hundredth of a pixel, on one line."""
    rounded = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number.group()):.2f}", path)
    return " ".join(rounded.split())
