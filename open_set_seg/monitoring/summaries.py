"""Numbers that describe a frame's scores, and those of the calibration frames to compare with."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Prediction

FORMAT_VERSION = 1
# Every fourth pixel of every fourth row: what is told from the whole image is told from these.
STRIDE = 4
# With fewer calibration frames a bet pays so little that no drift is found in time (ours).
LEAST_FRAMES = 20


class DriftReferenceError(ValueError):
    """A reference that cannot be used."""


@dataclass(frozen=True)
class ScoreSummary:
    """What a frame's scores and classes are like as a whole.

    Attributes:
        score_median, score_q90, score_q99: quantiles of the anomaly.
        unknown_share: share of pixels above the calibration's threshold.
        class_entropy: entropy of the shares of the nearest classes, nats.
    """

    score_median: float
    score_q90: float
    score_q99: float
    unknown_share: float
    class_entropy: float

    def values(self) -> NDArray[np.float64]:
        """In the order of ``STATISTICS``."""
        return np.array([getattr(self, name) for name in STATISTICS], np.float64)


STATISTICS = tuple(field.name for field in fields(ScoreSummary))


def summarise(prediction: Prediction, threshold: float | None = None) -> ScoreSummary:
    """The summary of a frame, from one pixel of 16.

    Args:
        prediction: of the frame.
        threshold: that of the calibration, which live tuning does not move; None: the frame's.
    """
    scores = prediction.anomaly[::STRIDE, ::STRIDE].ravel()
    if scores.size == 0 or np.isnan(scores).any():
        return ScoreSummary(*[math.nan] * len(STATISTICS))
    threshold = prediction.threshold if threshold is None else threshold
    median, q90, q99 = np.quantile(scores, [0.5, 0.9, 0.99])
    counts = np.bincount(prediction.nearest[::STRIDE, ::STRIDE].ravel())
    shares = counts[counts > 0] / scores.size
    return ScoreSummary(
        score_median=float(median),
        score_q90=float(q90),
        score_q99=float(q99),
        unknown_share=float(np.count_nonzero(scores > threshold) / scores.size),
        class_entropy=float(-(shares * np.log(shares)).sum()),
    )


@dataclass(frozen=True, eq=False)
class DriftReference:
    """Summaries of the calibration frames.

    Args:
        values: (N, statistics), a calibration frame a row; NaN where one could not be computed.
        threshold: by which their ``unknown_share`` was taken.

    Raises:
        DriftReferenceError: another shape, fewer than ``LEAST_FRAMES`` rows, or a threshold
            outside [0, 1].
    """

    values: NDArray[np.float64]
    threshold: float

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(STATISTICS):
            raise DriftReferenceError(
                f"expected {len(STATISTICS)} statistics a frame, found {self.values.shape}"
            )
        if len(self.values) < LEAST_FRAMES:
            raise DriftReferenceError(
                f"expected at least {LEAST_FRAMES} calibration frames, found {len(self.values)}"
            )
        if not 0 <= self.threshold <= 1:
            raise DriftReferenceError(f"threshold must be in [0, 1], not {self.threshold}")

    @classmethod
    def of_summaries(cls, summaries: Iterable[ScoreSummary], threshold: float) -> DriftReference:
        """The reference of calibration frames that were taken as far apart as the robot's will be.

        Raises:
            DriftReferenceError: as the constructor.
        """
        rows = [summary.values() for summary in summaries]
        return cls(np.array(rows).reshape(len(rows), len(STATISTICS)), threshold)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; NaN is null."""
        columns = {
            name: [value if math.isfinite(value) else None for value in column.tolist()]
            for name, column in zip(STATISTICS, self.values.T, strict=True)
        }
        return {"format_version": FORMAT_VERSION, "threshold": self.threshold, "frames": columns}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DriftReference:
        """The inverse.

        Raises:
            DriftReferenceError: another version, a statistic that is missing or no list of
                numbers, or as the constructor.
        """
        version = content.get("format_version")
        if type(version) is not int or version != FORMAT_VERSION:
            raise DriftReferenceError(
                f"expected a drift reference of version {FORMAT_VERSION}, found {version!r}"
            )
        frames, threshold = content.get("frames"), content.get("threshold")
        if not isinstance(frames, Mapping) or set(frames) != set(STATISTICS):
            raise DriftReferenceError(f"expected the statistics {', '.join(STATISTICS)}")
        if isinstance(threshold, bool) or not isinstance(threshold, int | float):
            raise DriftReferenceError(f"expected a threshold, found {threshold!r}")
        columns = [_read_column(name, frames[name]) for name in STATISTICS]
        if len({len(column) for column in columns}) != 1:
            raise DriftReferenceError("expected as many frames for every statistic")
        return cls(np.array(columns, np.float64).T, float(threshold))

    def to_text(self) -> str:
        """The JSON object in ASCII."""
        return json.dumps(self.to_json(), allow_nan=False)


def _read_column(name: str, entries: Any) -> list[float]:
    if not isinstance(entries, list):
        raise DriftReferenceError(f"expected a list of numbers for {name}")
    column = []
    for entry in entries:
        if entry is not None and (isinstance(entry, bool) or not isinstance(entry, int | float)):
            raise DriftReferenceError(f"expected numbers or null for {name}, found {entry!r}")
        try:
            column.append(math.nan if entry is None else float(entry))
        except OverflowError:
            raise DriftReferenceError(f"a number of {name} is too large") from None
    return column
