"""How a data set is written, and what became of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from open_set_seg.bags.conversion.frames import FrameFiles
from open_set_seg.bags.writing import Compression, Storage
from open_set_seg.messages import NANOSECONDS

ImageForm = Literal["raw", "compressed", "jpeg"]
BagOf = Literal["all", "scene", "sequence"]
START_NS = 1_000_000_000 * NANOSECONDS  # 2001; 0 means "no time" in ROS
_END_NS = 2**31 * NANOSECONDS  # seconds of a stamp are 32-bit integers
_RATES = (0.001, 1000.0)


@dataclass(frozen=True)
class ConversionConfig:
    """How recordings are written.

    Attributes:
        frame_rate: of the camera in Hz: data sets do not say when a picture was taken.
        timing: ``numbers``: a frame's time is its number over the rate, so that pictures which are
            not part of the data set leave gaps; ``even``: frames follow each other at the rate.
        gap_s: from the last frame of a sequence to the first of the next, seconds.
        images: ``raw`` (sensor_msgs/Image, rgb8), ``compressed`` (CompressedImage with the file's
            own bytes) or ``jpeg`` (CompressedImage, encoded anew).
        jpeg_quality: 1 to 100.
        bag_of: one recording for ``all``, for each ``scene`` or for each ``sequence``.
        storage, compression: see ``BagWriter``.

    Raises:
        ValueError: a number out of range.
    """

    frame_rate: float
    timing: Literal["numbers", "even"] = "numbers"
    gap_s: float = 1.0
    images: ImageForm = "raw"
    jpeg_quality: int = 95
    bag_of: BagOf = "all"
    storage: Storage = "mcap"
    compression: Compression = "none"

    def __post_init__(self) -> None:
        if not _RATES[0] <= self.frame_rate <= _RATES[1]:
            raise ValueError(
                f"a frame rate of {self.frame_rate:g} Hz is outside {_RATES[0]:g} to {_RATES[1]:g}"
            )
        if not 0 < self.gap_s <= 3600 or not math.isfinite(self.gap_s):
            raise ValueError(f"a gap of {self.gap_s:g} s is outside 0 to 3600")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"a JPEG quality of {self.jpeg_quality} is outside 1 to 100")


def assign_stamps(
    frames: Sequence[FrameFiles], start_ns: int, config: ConversionConfig
) -> tuple[int, ...]:
    """Strictly increasing stamps in nanoseconds of a sequence that starts at ``start_ns``.

    Frames without numbers, or with numbers that do not increase, follow each other evenly.

    Raises:
        ValueError: the sequence would end beyond what a stamp can hold.
    """
    numbers = [frame.number for frame in frames if frame.number is not None]
    increasing = all(a < b for a, b in pairwise(numbers))
    if config.timing == "even" or len(numbers) < len(frames) or not increasing:
        numbers = list(range(len(frames)))
    period_ns = NANOSECONDS / config.frame_rate
    if (numbers[-1] - numbers[0]) * period_ns >= _END_NS - start_ns:
        raise ValueError(
            f"frames {numbers[0]} to {numbers[-1]} at {config.frame_rate:g} Hz end after what a "
            "stamp can hold: are these numbers of pictures? Take the timing 'even'"
        )
    return tuple(start_ns + round((number - numbers[0]) * period_ns) for number in numbers)


@dataclass(frozen=True)
class WrittenBag:
    """A recording: where, and how many messages of which topic it holds."""

    path: Path
    messages: dict[str, int]


@dataclass(frozen=True)
class ConversionSummary:
    """What became of a data set.

    Attributes:
        bags: in the order in which they were written.
        found, converted: frames of the data set, and those of them that are in a recording.
        left_out: kind of file -> how many were left out.
    """

    bags: tuple[WrittenBag, ...]
    found: int
    converted: int
    left_out: Counter[str]

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""
        return not self.left_out
