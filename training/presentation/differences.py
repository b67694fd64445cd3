"""Paired differences between runs: both on the same draws of the same images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias

from open_set_seg.metrics import ComponentCounts, ImageCounts, ImageMetrics
from open_set_seg.metrics.bootstrap import (
    Counts,
    Interval,
    Statistics,
    Values,
    differences_of,
    image_intervals,
)
from open_set_seg.metrics.image_confusions import ImageConfusions
from open_set_seg.report import Cell, Row, Table
from open_set_seg.report.numbers import decimal
from training.presentation.runs import Group, Run
from training.presentation.wording import METRICS, percent

Kept: TypeAlias = ImageCounts | ImageMetrics | ComponentCounts | ImageConfusions

RESAMPLES = 2000
LEVEL = 0.95


def difference_table(group: Group) -> Table | None:
    """Every run minus the first one, in points, with intervals; None where nothing was kept.

    Counts by image are kept where intervals were asked for, so both runs need them.
    """
    first, *others = group.runs
    found = [(run, paired_differences(run, first)) for run in others]
    keys = [key for key in METRICS if any(key in intervals for _, intervals in found)]
    if not keys:
        return None
    rows = [
        Row((Cell(run.name, slot=run.slot), *(_cell(intervals.get(key)) for key in keys)))
        for run, intervals in found
        if intervals
    ]
    return Table(
        header=("run", *(METRICS[key].heading for key in keys)),
        rows=tuple(rows),
        caption=f"Differences to {first.name}, in points",
        notes=(
            f"Ranges: {percent(LEVEL, 0)} % intervals of the paired difference, both runs "
            "on the same draws of the images (bootstrap). Bold on a page where they exclude 0; "
            "several are looked at together, and nothing corrects for that.",
        ),
    )


def paired_differences(run: Run, reference: Run, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """``run`` minus ``reference`` by key of ``METRICS``, of what both kept counts by image of."""
    differences: dict[str, Interval] = {}
    ours, theirs = kept_statistics(run), kept_statistics(reference)
    # Two scores of one model share its classes.
    shared = {"classes"} if run.result is reference.result else set()
    for kind in (ours.keys() & theirs.keys()) - shared:
        (ids, statistics), (other_ids, other_statistics) = ours[kind], theirs[kind]
        if ids == other_ids:
            paired = differences_of(statistics, other_statistics)
            differences |= image_intervals(paired, len(ids), resamples, LEVEL)
    return {key: one for key, one in differences.items() if key in METRICS}


def kept_statistics(run: Run) -> dict[str, tuple[list[str], Statistics]]:
    """What the run kept by image, of the main part of the image, with the ids of the images."""
    if run.folder is None:
        return {}
    kept: dict[str, tuple[str, type[Kept]]] = {"classes": ("closed_set", ImageConfusions)}
    kept["components"] = (f"components-{run.score}", ComponentCounts)
    if run.regions:
        region = run.regions[0].replace(" ", "_")
        kept["pixels"] = (f"images-{run.score}-{region}", ImageCounts)
        kept["image means"] = (f"frames-{run.score}-{region}", ImageMetrics)
    found: dict[str, tuple[list[str], Statistics]] = {}
    for kind, (key, accumulator) in kept.items():
        folder: Path = run.folder / "counts" / key
        if folder.is_dir():
            counts = accumulator.load(folder)
            found[kind] = (list(counts.ids), partial(_named_as_printed, counts))
    return found


def _named_as_printed(counts: Kept, weights: Counts) -> Mapping[str, Values]:
    """The counts' statistics by key of ``METRICS``."""
    names = {"mIoU": "closed_mIoU"}
    return {names.get(name, name): one for name, one in counts.statistics(weights).items()}


def signed(difference: float) -> str:
    """A difference of fractions in points, with its sign."""
    text = decimal(100 * difference, 1)
    return f"+{text}" if difference > 0 and text != "0.0" else text


def _cell(interval: Interval | None) -> Cell:
    if interval is None:
        return Cell("")
    limits = f"{signed(interval.low)} to {signed(interval.high)}"
    return Cell(signed(interval.estimate), limits, best=interval.low > 0 or interval.high < 0)
