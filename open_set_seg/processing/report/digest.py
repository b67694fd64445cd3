"""All frames of a recording in a few arrays, read once, one frame at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from open_set_seg.processing.records import FrameRecord, ObstacleRecord, ProblemRecord

Floats = NDArray[np.float64]
Band = tuple[float, float]
FOLLOWED = ("tentative", "confirmed")


@dataclass(frozen=True)
class Sighting:
    """An obstacle in one frame: the place of the frame in the digest, and what was measured."""

    place: int
    obstacle: ObstacleRecord

    @property
    def confirmed(self) -> bool:
        """Whether it was confirmed by then."""
        return self.obstacle.state == "confirmed"


@dataclass(frozen=True)
class Noted:
    """A problem that some frames had: the first of them, and how many."""

    problem: ProblemRecord
    first: int
    frames: int


@dataclass(frozen=True, eq=False)
class Digest:
    """All frames of a recording; arrays are by frame, in the order of the recording.

    Attributes:
        numbers: (N,) of the frames in the recording.
        clock: (N,) seconds since the first frame, or the number where frames have no order in time.
        clock_label: which of them.
        examined, has_range: (N,) bool.
        listed, confirmed: (N,) obstacles, and those of them that were confirmed.
        statistics: name -> (N,) of ``ScoreStatistics``, ``corridor_share``, ``clear_until``.
        histogram: pixels of all frames by score, in equal bins over [0, 1].
        bands: (near, far) in metres -> (N, 2) share seen and share with range; NaN: unknown.
        blind: (near, far) -> (N,) bool.
        detectable: edge of a square in metres -> (N,) metres up to which it would be found.
        timings: stage -> (N,) seconds; NaN where a frame has no such stage.
        sightings: by id of a followed obstacle, in the order of the frames.
        loose: obstacles that were not followed.
        problems: most frequent first.
        drift: state -> frames; empty without a monitor. ``drift_message``: of the worst frame.
        camera: state -> frames; ``faults``: of the camera, frames.
    """

    numbers: NDArray[np.int64]
    clock: Floats
    clock_label: str
    examined: NDArray[np.bool_]
    has_range: NDArray[np.bool_]
    listed: NDArray[np.int64]
    confirmed: NDArray[np.int64]
    statistics: Mapping[str, Floats]
    histogram: NDArray[np.int64]
    bands: Mapping[Band, Floats]
    blind: Mapping[Band, NDArray[np.bool_]]
    detectable: Mapping[float, Floats]
    timings: Mapping[str, Floats]
    sightings: Mapping[int, Sequence[Sighting]]
    loose: Sequence[Sighting]
    problems: Sequence[Noted]
    drift: Mapping[str, int]
    drift_message: str
    camera: Mapping[str, int]
    faults: Mapping[str, int]

    @property
    def frames(self) -> int:
        """How many there are."""
        return int(self.numbers.size)

    @property
    def timed(self) -> bool:
        """Whether the clock counts seconds."""
        return self.clock_label.startswith("seconds")

    @property
    def seconds(self) -> float:
        """From the first frame to the last; NaN without times."""
        return float(self.clock[-1]) if self.timed and self.frames else float("nan")


_SCORES = ("median", "q90", "q99", "mean", "maximum", "threshold", "unknown_share")
_SIGHTS = ("corridor_share", "range_share", "clear_until")


@dataclass
class _Collected:
    """What grows while records are read."""

    rows: list[tuple[int, int, int, bool, bool, int, int]] = field(default_factory=list)
    statistics: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in (*_SCORES, *_SIGHTS)}
    )
    histogram: NDArray[np.int64] | None = None
    bands: dict[Band, dict[int, tuple[float, float, bool]]] = field(default_factory=dict)
    detectable: dict[float, dict[int, float]] = field(default_factory=dict)
    timings: dict[str, dict[int, float]] = field(default_factory=dict)
    sightings: dict[int, list[Sighting]] = field(default_factory=dict)
    loose: list[Sighting] = field(default_factory=list)
    problems: dict[str, tuple[ProblemRecord, int, int]] = field(default_factory=dict)
    drift: Counter[str] = field(default_factory=Counter)
    drift_message: str = ""
    camera: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, place: int, record: FrameRecord) -> None:
        confirmed = sum(one.state == "confirmed" for one in record.obstacles)
        self.rows.append(
            (
                record.number, record.stamp_ns, record.time_ns, record.examined, record.has_range,
                len(record.obstacles), confirmed,
            )
        )  # fmt: skip
        for names, source in ((_SCORES, record.scores), (_SIGHTS, record.visibility)):
            for name in names:
                self.statistics[name].append(float(getattr(source, name)))
        counts = np.array(record.scores.histogram, np.int64)
        self.histogram = counts if self.histogram is None else self.histogram + counts
        for band in record.visibility.bands:
            shares = (band.seen_share, band.range_share, band.blind)
            self.bands.setdefault((band.near, band.far), {})[place] = shares
        for one in record.visibility.detectable:
            self.detectable.setdefault(one.size, {})[place] = one.distance
        for stage, seconds in record.timings.items():
            self.timings.setdefault(stage, {})[place] = seconds
        for obstacle in record.obstacles:
            sighting = Sighting(place, obstacle)
            followed = obstacle.state in FOLLOWED
            (self.sightings.setdefault(obstacle.id, []) if followed else self.loose).append(
                sighting
            )
        self._watch(record)

    def _watch(self, record: FrameRecord) -> None:
        for problem in {one.code: one for one in record.problems}.values():
            first, number, frames = self.problems.get(problem.code, (problem, record.number, 0))
            self.problems[problem.code] = first, number, frames + 1
        self.camera[record.camera.state] += 1
        self.faults.update(record.camera.faults)
        if record.drift is not None:
            worse = record.drift.state == "alarm" and not self.drift["alarm"]
            if worse or (record.drift.state == "warn" and not self.drift_message):
                self.drift_message = record.drift.message
            self.drift[record.drift.state] += 1


def digest_records(records: Iterable[FrameRecord]) -> Digest:
    """Read all frames.

    Args:
        records: in the order of the recording; none is a recording without frames.
    """
    found = _Collected()
    for place, record in enumerate(records):
        found.add(place, record)
    count = len(found.rows)
    columns = list(zip(*found.rows, strict=True)) if count else [()] * 7
    numbers, stamps, times, examined, has_range, listed, confirmed = columns
    clock, label = _choose_clock(stamps, times, numbers)
    noted = [Noted(*one) for one in found.problems.values()]
    bands = {band: _spread(found.bands[band], count, 3) for band in sorted(found.bands)}
    return Digest(
        numbers=np.array(numbers, np.int64),
        clock=clock,
        clock_label=label,
        examined=np.array(examined, np.bool_),
        has_range=np.array(has_range, np.bool_),
        listed=np.array(listed, np.int64),
        confirmed=np.array(confirmed, np.int64),
        statistics={name: np.array(one, np.float64) for name, one in found.statistics.items()},
        histogram=np.zeros(0, np.int64) if found.histogram is None else found.histogram,
        bands={band: values[:, :2] for band, values in bands.items()},
        blind={band: values[:, 2] != 0 for band, values in bands.items()},
        detectable={
            size: _spread(found.detectable[size], count, 1)[:, 0]
            for size in sorted(found.detectable)
        },
        timings={stage: _spread(one, count, 1)[:, 0] for stage, one in found.timings.items()},
        sightings=found.sightings,
        loose=found.loose,
        problems=sorted(noted, key=lambda one: (-one.frames, one.problem.code)),
        drift=dict(found.drift),
        drift_message=found.drift_message,
        camera=dict(found.camera),
        faults=dict(found.faults),
    )


def _choose_clock(
    stamps: Sequence[int], times: Sequence[int], numbers: Sequence[int]
) -> tuple[Floats, str]:
    """Stamps where they never go back, else the times of recording, else numbers."""
    for values, label in ((stamps, "seconds"), (times, "seconds of recording")):
        instants = np.array(values, np.int64)
        if instants.size and np.all(np.diff(instants) >= 0) and instants[-1] > instants[0]:
            return (instants - instants[0]) * 1e-9, label
    return np.array(numbers, np.float64), "frame"


def _spread(values: Mapping[int, float | tuple[float, ...]], count: int, width: int) -> Floats:
    """(count, width) array of values by place; NaN where there is none."""
    spread = np.full((count, width), np.nan)
    if values:
        rows = np.array([np.atleast_1d(one) for one in values.values()], np.float64)
        spread[list(values)] = rows
    return spread
