"""Where processed frames go: each sink makes one kind of file in the recording's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import cv2
import numpy as np
from rosbags.interfaces import QosDurability

from open_set_seg.bags import BagWriter, open_bag, topics
from open_set_seg.bags.outputs import output_messages
from open_set_seg.bags.writing import Compression
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.messages import NANOSECONDS
from open_set_seg.processing.config import ProcessConfig
from open_set_seg.processing.describing import ProcessedFrame
from open_set_seg.processing.evidence import AlbumSink
from open_set_seg.processing.records import RECORDS, write_record
from open_set_seg.processing.tables import (
    FRAME_COLUMNS,
    OBSTACLE_COLUMNS,
    CsvTable,
    ParquetTable,
    obstacle_rows,
    parquet_is_available,
)
from open_set_seg.video import Video

VIDEO, BAG = "overlay.mp4", "detections"
USUAL_RATE_HZ = 10.0  # of a video whose frames have no times to tell it by
RATES_HZ = (0.1, 240.0)


@dataclass(frozen=True)
class Run:
    """What is being made.

    Attributes:
        source: the recording.
        folder: where files go.
        config: how.
        label_space: of the network.
        stamps: of all images, nanoseconds.
    """

    source: Path
    folder: Path
    config: ProcessConfig
    label_space: LabelSpace
    stamps: tuple[int, ...]


class Sink(Protocol):
    """Makes files of processed frames."""

    def add(self, frame: ProcessedFrame) -> None:
        """Take the next frame."""

    def finish(self) -> dict[str, Any]:
        """End the files; returns what ``run.json`` says of them."""

    def discard(self) -> None:
        """Let go of open files; the folder will be removed."""


class RecordSink:
    """``records.jsonl`` and the tables."""

    def __init__(self, run: Run) -> None:
        wanted = run.config.parquet
        parquet = parquet_is_available() if wanted is None else wanted
        kinds = {".csv": CsvTable, **({".parquet": ParquetTable} if parquet else {})}
        self._records = (run.folder / RECORDS).open("w", encoding="utf-8")
        self._frames: list[Any] = [
            kind(run.folder / f"frames{ending}", FRAME_COLUMNS) for ending, kind in kinds.items()
        ]
        self._obstacles: list[Any] = [
            kind(run.folder / f"obstacles{ending}", OBSTACLE_COLUMNS)
            for ending, kind in kinds.items()
        ]
        self._parquet = parquet

    def add(self, frame: ProcessedFrame) -> None:
        """A line, a row in the frames' table, and one an obstacle."""
        record = frame.record
        self._records.write(write_record(record) + "\n")
        for table in self._frames:
            table.add(record)
        for row in obstacle_rows(record):
            for table in self._obstacles:
                table.add(row)

    def finish(self) -> dict[str, Any]:
        """End the files."""
        self.discard()
        return {"parquet": self._parquet}

    def discard(self) -> None:
        """Close all of them."""
        self._records.close()
        for table in (*self._frames, *self._obstacles):
            table.close()


class BagSink:
    """The recording of what was found: messages carry the stamps, records the times of the images.

    With inputs it also holds the messages that frames were made of, their bytes untouched, the
    ground truth and what belongs to it.
    """

    def __init__(self, run: Run) -> None:
        self._config, self._unknown_id = run.config, run.label_space.unknown_id
        self._stack = ExitStack()
        self._inputs: Iterator[tuple[str, str, int, bytes]] = iter(())
        latched: set[str] = set()
        if run.config.with_inputs:
            bag = self._stack.enter_context(open_bag(run.source))
            connections = [c for c in bag.connections if c.topic in _input_topics(run.config)]
            latched = {c.topic for c in connections if _is_latched(c)}
            self._inputs = (
                (c.topic, c.msgtype, time_ns, cdr) for c, time_ns, cdr in bag.messages(connections)
            )
        chunks: Compression = "chunk" if run.config.storage == "mcap" else "none"
        self._writer = BagWriter(run.folder / BAG, run.config.storage, chunks, latched)
        self._writer.__enter__()
        self._next = next(self._inputs, None)

    def add(self, frame: ProcessedFrame) -> None:
        """The inputs up to this frame, then what was found in it."""
        time_ns = frame.record.time_ns
        self._copy_until(time_ns)
        messages = output_messages(
            frame.observation.result,
            self._unknown_id,
            lambda: frame.overlay,
            self._config.outputs,
        )
        for topic, message in messages.items():
            self._writer.write(topic, time_ns, message)

    def finish(self) -> dict[str, Any]:
        """The rest of the inputs, and the end."""
        self._copy_until(None)
        self._writer.__exit__(None, None, None)
        self._stack.close()
        return {}

    def discard(self) -> None:
        """Remove what was written."""
        error = RuntimeError("discarded")
        self._writer.__exit__(RuntimeError, error, None)
        self._stack.close()

    def _copy_until(self, time_ns: int | None) -> None:
        while self._next is not None and (time_ns is None or self._next[2] <= time_ns):
            self._writer.write_cdr(*self._next)
            self._next = next(self._inputs, None)


class VideoSink:
    """The overlay as MP4, at a constant rate; ``frames.csv`` has the true times, picture by row."""

    def __init__(self, run: Run) -> None:
        self._path, self._config = run.folder / VIDEO, run.config
        self._rate_hz = frame_rate(run.stamps)
        self._video: Video | None = None
        self._size = (0, 0)
        self._frames = 0

    def add(self, frame: ProcessedFrame) -> None:
        """A picture, in the size of the first."""
        assert self._config.codec is not None
        picture = frame.overlay
        if self._video is None:
            height, width = (
                max(2, round(side * self._config.video_scale)) for side in picture.shape[:2]
            )
            self._size = width, height
            self._video = Video(self._path, self._size, self._rate_hz, (self._config.codec,))
            self._video.__enter__()
        if picture.shape[1::-1] != self._size:
            resized = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
            picture = np.asarray(resized, np.uint8)
        self._video.write(picture)
        self._frames += 1

    def finish(self) -> dict[str, Any]:
        """End the file, and see that all pictures are in it."""
        if self._video is not None:
            self._video.__exit__(None, None, None)
        return {"codec": self._config.codec, "rate_hz": self._rate_hz, "pictures": self._frames}

    def discard(self) -> None:
        """Let the file go."""
        if self._video is not None:
            error = RuntimeError("discarded")
            self._video.__exit__(RuntimeError, error, None)


def open_sinks(run: Run) -> dict[str, Sink]:
    """The sinks that the configuration asks for, by the name that ``run.json`` has for them."""
    sinks: dict[str, Sink] = {"tables": RecordSink(run)}
    if run.config.outputs or run.config.with_inputs:
        sinks["recording"] = BagSink(run)
    if run.config.codec is not None:
        sinks["video"] = VideoSink(run)
    if run.config.makes_report:
        sinks["thumbnails"] = AlbumSink(run.folder)
    return sinks


def frame_rate(stamps: tuple[int, ...]) -> float:
    """Images a second by the median of the steps forward; ``USUAL_RATE_HZ`` without any.

    To two digits and within ``RATES_HZ``: MPEG-4 counts time in fractions with 16 bits.
    """
    steps = [after - before for before, after in pairwise(stamps) if after > before]
    rate = NANOSECONDS / median(steps) if steps else USUAL_RATE_HZ
    return round(min(max(rate, RATES_HZ[0]), RATES_HZ[1]), 2)


def _input_topics(config: ProcessConfig) -> frozenset[str]:
    given = config.topics
    return frozenset(
        (
            given.image, given.camera_info, given.disparity, given.depth, given.right_camera_info,
            topics.GROUND_TRUTH, topics.DATASET_FRAME, *topics.LATCHED,
        )
    )  # fmt: skip


def _is_latched(connection: Any) -> bool:
    offered = getattr(connection.ext, "offered_qos_profiles", [])
    return any(qos.durability == QosDurability.TRANSIENT_LOCAL for qos in offered)
