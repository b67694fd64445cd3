"""What is kept of a processed frame: numbers without pictures, for tables and reports.

A processed recording holds them in ``records.jsonl``, one JSON object a line, so that tables and
reports can be made again without the network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from open_set_seg.monitoring import State
from open_set_seg.processing.json_form import from_json, to_json

HISTOGRAM_BINS = 50
RECORDS = "records.jsonl"


class RecordError(ValueError):
    """A file of records cannot be read; the message says which line and why."""


@dataclass(frozen=True)
class ObstacleRecord:
    """An obstacle, as ``frame.Obstacle`` describes it; what is unknown is NaN.

    Attributes:
        state: ``untracked`` where obstacles were not followed from frame to frame.
        age_s: seconds since it appeared; 0 where it was not followed.
        nearest_class: name of the known class that most of its pixels resemble, and their share.
        left, top, box_width, box_height: pixels.
    """

    id: int
    kind: str
    state: Literal["untracked", "tentative", "confirmed"]
    age_s: float
    distance: float
    sigma: float
    x: float
    y: float
    z: float
    width: float
    height: float
    valid_share: float
    mean_score: float
    peak_score: float
    nearest_class: str
    nearest_share: float
    left: int
    top: int
    box_width: int
    box_height: int
    area_px: int


@dataclass(frozen=True)
class ScoreStatistics:
    """The anomaly scores of a frame.

    Attributes:
        median, q90, q99: quantiles, of one pixel of 16 (``monitoring.summarise``).
        mean, maximum: of all pixels.
        threshold: above it a pixel is unknown.
        unknown_share: share of all pixels above it.
        class_entropy: of the shares of the nearest classes, nats.
        histogram: numbers of pixels in ``HISTOGRAM_BINS`` equal bins over [0, 1]; a score of 1 is
            in the last.
    """

    median: float
    q90: float
    q99: float
    mean: float
    maximum: float
    threshold: float
    unknown_share: float
    class_entropy: float
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class BandRecord:
    """A piece of the corridor; see ``monitoring.Band``."""

    near: float
    far: float
    seen_share: float
    range_share: float
    blind: bool


@dataclass(frozen=True)
class DetectableRecord:
    """Edge of a square on the corridor, and the distance up to which it would be found, metres."""

    size: float
    distance: float


@dataclass(frozen=True)
class VisibilityRecord:
    """What an empty list is worth; see ``monitoring.Visibility``. NaN: it cannot be said."""

    corridor_share: float
    range_share: float
    clear_until: float
    bands: tuple[BandRecord, ...]
    detectable: tuple[DetectableRecord, ...]
    plane_source: str | None


@dataclass(frozen=True)
class CameraRecord:
    """The camera's health; see ``monitoring.HealthReport``."""

    state: State
    faults: tuple[str, ...]
    frozen_s: float
    black_share: float
    white_share: float
    sharpness: float
    level: float


@dataclass(frozen=True)
class DriftRecord:
    """The drift monitor's state.

    Attributes:
        log10_evidence: of the statistic with the most; an alarm is raised at ``log10_limit``.
        message: one sentence.
    """

    state: State
    judged: bool
    log10_evidence: float
    log10_limit: float
    message: str


@dataclass(frozen=True)
class ProblemRecord:
    """What was wrong with an input; see ``frame.Problem``."""

    code: str
    severity: Literal["warning", "error"]
    message: str


@dataclass(frozen=True)
class FrameRecord:
    """One processed frame.

    Attributes:
        number: of its image in the recording, from 0; images that cannot be decoded leave gaps.
        stamp_ns: of the image; ``time_ns``: when the image was recorded.
        examined: whether it was searched: without, an empty list means nothing.
        has_range: whether it had a usable disparity or depth.
        obstacles: nearest first.
        missing: confirmed ones that the frame did not show, where they are expected.
        drift: None without a calibration that knows the scores of its frames.
        timings: seconds by stage.
        truth: what a comparison with the recording's ground truth found; None without.
    """

    number: int
    stamp_ns: int
    time_ns: int
    frame_id: str
    width: int
    height: int
    examined: bool
    has_range: bool
    obstacles: tuple[ObstacleRecord, ...]
    missing: tuple[ObstacleRecord, ...]
    scores: ScoreStatistics
    visibility: VisibilityRecord
    camera: CameraRecord
    drift: DriftRecord | None
    problems: tuple[ProblemRecord, ...]
    timings: Mapping[str, float]
    truth: Mapping[str, float] | None = None


def write_record(record: FrameRecord) -> str:
    """The record as one line of JSON, without the line's end."""
    return json.dumps(to_json(record), allow_nan=False, separators=(",", ":"))


def read_records(path: Path) -> Iterator[FrameRecord]:
    """Yield the records of a file, or of the folder of a processed recording.

    Raises:
        RecordError: no such file, or a line that is no record.
    """
    path = path / RECORDS if path.is_dir() else path
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield from_json(FrameRecord, json.loads(line))
                except ValueError as error:
                    raise RecordError(f"{path}, line {number}: {error}") from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from None
