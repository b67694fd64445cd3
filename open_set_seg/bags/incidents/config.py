"""When incidents are recorded, how much of them, and how much may lie on disk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from open_set_seg.bags.writing import Compression

MEGABYTE = 1_000_000
# Compressing a whole file needs room for it twice while it is finished.
COMPRESSIONS: tuple[Compression, ...] = ("none", "message", "chunk")


@dataclass(frozen=True)
class RecorderConfig:
    """See docs/recordings.md.

    Attributes:
        folder: where the recordings go.
        before_s: seconds of frames that are kept in memory, and so recorded from before an
            incident.
        after_s: seconds that are recorded after the last new obstacle of an incident.
        min_gap_s: least time from the end of an incident to the start of the next; obstacles that
            are still there then start it.
        max_memory_mb: most that frames take in memory, those that wait to be written included.
        max_bag_mb: largest recording; an incident ends there.
        max_total_mb: most that the recordings in the folder take together, the one in progress
            included.
        max_bags: most recordings in the folder, the one in progress included.
        min_free_mb: nothing is recorded that would leave less than this free on the disk.
        min_score: mean anomaly below which an obstacle is no incident, in [0, 1].
        max_distance: distance in metres beyond which it is none; 0: any. An unknown distance is
            near.
        compression: Zstandard, of each message or of MCAP's chunks.
        rest_s: seconds of rest after an error.
    """

    folder: Path
    before_s: float = 3.0
    after_s: float = 2.0
    min_gap_s: float = 5.0
    max_memory_mb: float = 512.0
    max_bag_mb: float = 512.0
    max_total_mb: float = 8192.0
    max_bags: int = 100
    min_free_mb: float = 1024.0
    min_score: float = 0.0
    max_distance: float = 0.0
    compression: Compression = "none"
    rest_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("before_s", "after_s", "min_gap_s", "min_free_mb", "max_distance", "rest_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"recorder.{name} = {value!r} must be finite and at least 0")
        for name in ("max_memory_mb", "max_bag_mb", "max_total_mb"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 1):
                raise ValueError(f"recorder.{name} = {value!r} must be finite and at least 1")
        if self.max_bags < 1:
            raise ValueError(f"recorder.max_bags = {self.max_bags!r} must be at least 1")
        if self.max_bag_mb > self.max_total_mb:
            raise ValueError(
                f"recorder.max_bag_mb = {self.max_bag_mb:g} is more than "
                f"recorder.max_total_mb = {self.max_total_mb:g}"
            )
        if self.compression not in COMPRESSIONS:
            raise ValueError(
                f"recorder.compression = {self.compression!r} is not one of "
                f"{', '.join(COMPRESSIONS)}"
            )
