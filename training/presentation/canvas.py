"""Pictures of the study: small PNG files on white, in colours that the colour-blind can tell apart.

Colours are those of Okabe and Ito.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Dashes: TypeAlias = str | tuple[int, tuple[float, ...]]

DOTS_PER_INCH = 110
LARGEST_PNG = 120_000  # bytes
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PINK, GREY, BLACK = "#CC79A7", "#4d4d4d", "#000000"
_STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9,
}

# Numbers of colours, tried until the file is small enough.
_FEW, _MANY = (96, 64), (256, 192, 128)


class PictureTooLargeError(ValueError):
    """A picture that does not fit into ``LARGEST_PNG`` bytes."""


@contextmanager
def draw_canvas(
    width: float, height: float, photographs: bool = False
) -> Iterator[tuple[Figure, list[bytes]]]:
    """A figure to draw on, and a list that holds the PNG file afterwards.

    Args:
        width, height: inches.
        photographs: whether parts of it have many colours; these are placed pixel by pixel
            (``Figure.figimage``), so nothing is laid out.

    Raises:
        PictureTooLargeError: the file is larger than ``LARGEST_PNG``.
    """
    import matplotlib
    from matplotlib.figure import Figure as Drawing

    style: dict[Any, Any] = {**matplotlib.rcParamsDefault, **_STYLE}
    style.pop("backend", None)
    picture: list[bytes] = []
    with matplotlib.rc_context(style):
        drawing = Drawing(figsize=(width, height), dpi=DOTS_PER_INCH)
        drawing.set_layout_engine("none" if photographs else "constrained")
        yield drawing, picture
        picture.append(_encode(drawing, _MANY if photographs else _FEW))


def _encode(drawing: Figure, colours: tuple[int, ...]) -> bytes:
    """Few colours are enough for lines and dots, and make a file a third as large."""
    from PIL import Image

    raw = io.BytesIO()
    drawing.savefig(raw, format="png", dpi=DOTS_PER_INCH, facecolor="white",
                    metadata={"Software": None})  # fmt: skip
    raw.seek(0)
    full = Image.open(raw).convert("RGB")
    size = 0
    for count in colours:
        small = io.BytesIO()
        few = full.quantize(count, dither=Image.Dither.NONE)
        few.save(small, format="PNG", optimize=True)
        size = small.tell()
        if size <= LARGEST_PNG:
            return small.getvalue()
    raise PictureTooLargeError(f"expected at most {LARGEST_PNG} bytes, found {size}")
