"""The charts of a processed recording, of bounded size however long it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from open_set_seg.processing.report.digest import Digest, Floats, Sighting
from open_set_seg.processing.report.events import Event, choose_events
from open_set_seg.report import (
    Axis,
    Figure,
    Mark,
    Series,
    Trace,
    draw_lines,
    draw_steps,
    draw_strips,
    draw_traces,
)
from open_set_seg.report.numbers import counted, decimal
from open_set_seg.report.svg import QUIET, SLOTS

MOST_LINES = 40  # obstacles with a line of their own; the others share one
MOST_POINTS = 4000  # of all lines together
COLUMNS = 240  # of a strip
MOMENTS = 400  # of a chart of scores
LEAST_REACH = 10.0  # metres of the distance axis
LONG_PAUSE = 5.0  # usual steps between frames


def obstacle_timeline(
    digest: Digest, events: Sequence[Event], anchors: Mapping[int, str]
) -> Figure | None:
    """Distance of every obstacle over time; None without obstacles.

    Args:
        anchors: of the events that have a card.
    """
    drawn = choose_events(events, MOST_LINES)
    known = {event.id for event in drawn}
    others = [one for number, one in digest.sightings.items() if number not in known]
    step = max(1, math.ceil(sum(map(len, digest.sightings.values())) / MOST_POINTS))
    rest = [*others, *([one] for one in digest.loose[:: max(1, len(digest.loose) // MOST_POINTS)])]
    traces = [_together(digest, rest, step)] if rest else []
    for place, event in enumerate(drawn):
        x, y, sure = _line(digest, digest.sightings[event.id], step)
        label = f"obstacle {event.id}, nearest {decimal(event.distance)} m"
        anchor = anchors.get(event.id, "")
        traces.append(Trace(str(event.id), x, y, sure, place % SLOTS, anchor, label))
    if not traces:
        return None
    distances = np.concatenate([np.asarray(one.y, np.float64) for one in traces])
    far = max(LEAST_REACH, float(np.nanmax(distances, initial=0.0)) * 1.05)
    return draw_traces(
        "Obstacles by distance",
        traces,
        _time_axis(digest),
        Axis("distance, m", (0.0, far)),
        caption=_timeline_caption(digest, events, drawn),
        description=f"{counted(len(events), 'confirmed obstacle')}; all numbers are in the table "
        "of obstacles below.",
        unknown="distance unknown",
    )


def score_timeline(digest: Digest) -> Figure | None:
    """Quantiles of the frames' scores against the threshold; None without frames."""
    if not digest.frames:
        return None
    names = {"median": "median", "q90": "90 % quantile", "q99": "99 % quantile"}
    groups, moments = _groups(digest, MOMENTS)
    series = [
        Series(title, moments, _highest(digest.statistics[name], groups, moments.size), slot)
        for slot, (name, title) in enumerate(names.items())
    ]
    limits = _highest(digest.statistics["threshold"], groups, moments.size)
    series.append(Series("threshold", moments, limits, 3, compared=True))
    caption = "Quantiles of the anomaly scores of a frame."
    if moments.size < digest.frames:
        each = math.ceil(digest.frames / moments.size)
        caption += f" Of each {each} neighbouring frames the highest is drawn."
    return draw_lines(
        "Scores over time", series, _time_axis(digest), Axis("anomaly score", (0.0, 1.0)),
        caption=caption, wide=True,
    )  # fmt: skip


def score_histogram(digest: Digest) -> Figure | None:
    """How many pixels have which score; None without pixels."""
    total = int(digest.histogram.sum())
    if not total:
        return None
    shares = 100 * digest.histogram / total
    threshold = digest.statistics["threshold"]
    marks = (Mark(float(threshold[-1]), None, text="threshold"),) if threshold.size else ()
    lowest = 10.0 ** math.floor(math.log10(max(1e-6, float(shares[shares > 0].min()))))
    return draw_steps(
        "Scores of all pixels",
        np.linspace(0, 1, shares.size + 1),
        [("all pixels", 0, np.maximum(shares, lowest))],
        Axis("anomaly score", (0.0, 1.0)),
        Axis("% of the pixels", (lowest, 130.0), logarithmic=True),
        marks=marks,
        legend=False,
    )


def visibility_strips(digest: Digest) -> list[Figure]:
    """Which share of each band of the corridor was seen, and had range, over time."""
    if not digest.bands or digest.frames < 1:
        return []
    edges, column = _strip_columns(digest)
    names = [f"{near:g}–{far:g}" for near, far in digest.bands]
    figures = []
    kinds = (
        ("Seen", "in the image, segmented, inside the searched region, and hidden by nothing", 0),
        ("With range", "in the image and with a valid range", 2),
    )
    for place, (title, meaning, slot) in enumerate(kinds):
        rows = [_mean(values[:, place], column, edges.size - 1) for values in digest.bands.values()]
        means = [_average(values[:, place]) for values in digest.bands.values()]
        said = "; ".join(
            f"{name} m: {decimal(100 * mean, 0)} %" for name, mean in zip(names, means, strict=True)
        )
        figures.append(
            draw_strips(
                f"{title}, by band of the corridor", edges, names, np.array(rows),
                _time_axis(digest), label="distance, m", slot=slot,
                caption=f"Share of the band's ground that was {meaning}.",
                description=f"Means: {said}.",
            )
        )  # fmt: skip
    return figures


def _time_axis(digest: Digest) -> Axis:
    low, high = float(digest.clock[0]), float(digest.clock[-1])
    return Axis(digest.clock_label, (low, high if high > low else low + 1.0))


def _line(
    digest: Digest, sightings: Sequence[Sighting], step: int
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """x, y and whether confirmed, with a NaN where frames lie between that did not show it."""
    places = np.array([one.place for one in sightings])
    kept = np.unique(np.append(np.arange(0, places.size, step), places.size - 1))
    x, y, sure = [], [], []
    for before, index in zip([kept[0], *kept[:-1]], kept, strict=True):
        # Seen in every frame between two points, or there is a gap.
        if index > before and places[index] - places[before] > index - before:
            x.append(math.nan)
            y.append(math.nan)
            sure.append(False)
        x.append(float(digest.clock[places[index]]))
        y.append(sightings[index].obstacle.distance)
        sure.append(sightings[index].confirmed)
    return np.array(x), np.array(y), np.array(sure, np.bool_)


def _together(digest: Digest, tracks: Sequence[Sequence[Sighting]], step: int) -> Trace:
    """Many obstacles as one quiet line with gaps."""
    total = sum(map(len, tracks))
    # Longer ones first, until there are enough points.
    pieces, points = [], 0
    for track in sorted(tracks, key=len, reverse=True):
        if points > MOST_POINTS:
            break
        x, y, sure = _line(digest, track, step)
        pieces.append((np.append(x, math.nan), np.append(y, math.nan), np.append(sure, False)))
        points += x.size
    x, y, sure = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return Trace("", x, y, sure & (total > 0), QUIET)


def _timeline_caption(digest: Digest, events: Sequence[Event], drawn: Sequence[Event]) -> str:
    text = "Thick: confirmed; thin and dashed: not yet, or no longer; a gap: not seen."
    quiet = len(digest.sightings) - len(drawn)
    if len(drawn) < len(events):
        text += f" The {len(drawn)} nearest of {counted(len(events), 'obstacle')} have a colour."
    if quiet or digest.loose:
        text += " Grey: all others."
    return text


def _groups(digest: Digest, most: int) -> tuple[NDArray[np.intp], Floats]:
    """Group of each frame, and the clock of each group's first frame."""
    size = max(1, math.ceil(digest.frames / most))
    groups = np.arange(digest.frames) // size
    return groups, digest.clock[::size]


def _highest(values: Floats, groups: NDArray[np.intp], count: int) -> Floats:
    highest = np.full(count, -np.inf)
    np.maximum.at(highest, groups, np.where(np.isnan(values), -np.inf, values))
    highest[np.isneginf(highest)] = np.nan
    return highest


def _mean(values: Floats, groups: NDArray[np.intp], count: int) -> Floats:
    known = np.isfinite(values)
    sums = np.bincount(groups[known], weights=values[known], minlength=count)
    numbers = np.bincount(groups[known], minlength=count)
    means: Floats = np.full(count, np.nan)
    np.divide(sums, numbers, out=means, where=numbers > 0)
    return means


def _strip_columns(digest: Digest) -> tuple[Floats, NDArray[np.intp]]:
    """Edges of a strip's columns, and the column of each frame.

    A column is some neighbouring frames; pauses of the recording are columns without any.
    """
    steps = np.diff(digest.clock)
    usual = float(np.median(steps)) if steps.size else 1.0
    span = float(digest.clock[-1] - digest.clock[0])
    pauses = steps > max(LONG_PAUSE * usual, span / 100)
    size = max(1, math.ceil(digest.frames / COLUMNS))
    edges, column = [float(digest.clock[0])], np.zeros(digest.frames, np.intp)
    since = 0
    for place in range(1, digest.frames):
        since += 1
        if pauses[place - 1]:
            edges += [float(digest.clock[place - 1]) + usual, float(digest.clock[place])]
            since = 0
        elif since >= size:
            edges.append(float(digest.clock[place]))
            since = 0
        column[place] = len(edges) - 1
    return np.array([*edges, float(digest.clock[-1]) + usual]), column


def _average(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan
