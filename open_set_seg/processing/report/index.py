"""One page over all processed recordings of a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from open_set_seg.files import write_whole
from open_set_seg.processing.report.page import REPORT, SUMMARY
from open_set_seg.processing.run_file import RUN
from open_set_seg.report import Cell, Fact, Page, Row, Section, Table, Text, render_page
from open_set_seg.report.numbers import DASH, counted, decimal, duration, percent, thousands

INDEX = "index.html"
MOST_ROWS = 2000
_HEADER = (
    "recording", "frames", "length", "confirmed", "nearest, m", "examined", "with range",
    "blind somewhere", "drifted", "warnings", "AP", "FPR95",
)  # fmt: skip
_NOTES = (
    "Confirmed: obstacles. Blind somewhere: frames in which a band of the corridor was blind. "
    "Drifted: frames outside the domain of the calibration; a dash where none was there. "
    "AP and FPR95: of recordings with ground truth, each by itself.",
)


def write_index(output: Path) -> Path:
    """Make ``index.html`` of the reports that lie under a folder.

    Recordings that have none yet are listed as such.

    Returns:
        Path of the page.

    Raises:
        ModuleNotFoundError: Jinja2 is missing.
    """
    found = [(file.parent, _read(file.parent)) for file in sorted(output.glob(f"*/{RUN}"))]
    path = output / INDEX
    write_whole(path, render_page(index_page(found)).encode("utf-8", errors="replace"))
    return path


def index_page(found: Sequence[tuple[Path, Mapping[str, Any] | None]]) -> Page:
    """The index as data.

    Args:
        found: folder and ``summary.json`` of every recording; None: it has no report.
    """
    known = [one for _, one in found if one is not None]
    models = {str(one.get("model_sha256")) for one in known}
    thresholds = {str(one.get("threshold")) for one in known}
    blocks: list[Any] = []
    if len(models) > 1 or len(thresholds) > 1:
        mixed = "They were not made with one model and one threshold: do not compare their figures."
        blocks.append(Text(mixed, "warning"))
    rows = tuple(_row(folder, one) for folder, one in found[:MOST_ROWS])
    if len(found) > MOST_ROWS:
        blocks.append(Text(f"The first {MOST_ROWS} of {counted(len(found), 'recording')}."))
    blocks.append(Table(_HEADER, rows, notes=_NOTES))
    return Page(
        title=f"{counted(len(found), 'recording')}",
        subtitle="Open-set obstacles of recordings",
        facts=_facts(known),
        sections=(Section("Recordings", tuple(blocks)),),
        footer="Written by open_set_seg. This page loads nothing and runs no script.",
    )


def _facts(known: Sequence[Mapping[str, Any]]) -> tuple[Fact, ...]:
    frames = sum(int(_number(one, "frames", 0)) for one in known)
    seconds = math.fsum(s for one in known if not math.isnan(s := _number(one, "seconds")))
    return (
        Fact("frames", thousands(frames), duration(seconds)),
        Fact("confirmed obstacles", thousands(sum(int(_number(o, "confirmed", 0)) for o in known))),
        Fact(
            "recordings with warnings", thousands(sum(_number(o, "warnings", 0) > 0 for o in known))
        ),
    )


def _row(folder: Path, one: Mapping[str, Any] | None) -> Row:
    if one is None:
        return Row((Cell(folder.name, note="no report"), *[DASH] * (len(_HEADER) - 1)))
    return Row(
        (
            Cell(folder.name, link=f"./{quote(folder.name, errors='surrogateescape')}/{REPORT}"),
            _count(one, "frames"),
            duration(_number(one, "seconds")),
            _count(one, "confirmed"),
            decimal(_number(one, "nearest")),
            *(percent(_number(one, n)) for n in ("examined_share", "range_share", "blind_share")),
            _count(one, "drifted"),
            _count(one, "warnings"),
            *(percent(_number(one, name)) for name in ("AP", "FPR95")),
        )
    )


def _number(one: Mapping[str, Any], name: str, missing: float = math.nan) -> float:
    value = one.get(name)
    return float(value) if isinstance(value, int | float) else missing


def _count(one: Mapping[str, Any], name: str) -> str:
    value = _number(one, name)
    return DASH if math.isnan(value) else thousands(int(value))


def _read(folder: Path) -> Mapping[str, Any] | None:
    """The summary of a recording that has a report."""
    if not (folder / REPORT).is_file():
        return None
    try:
        content = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
