"""Ground-truth labels of a recording: 0 known, 1 unknown, 255 not judged, by the image's stamp.

The codes of the labels are the publisher's; ``/dataset/info`` says what they mean
(``open_set_seg.bags.conversion`` writes both).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader

from open_set_seg.bags import header_stamp, open_bag, topics
from open_set_seg.frame import LabelImage

KNOWN, UNKNOWN, IGNORED = 0, 1, 255
ENCODINGS = ("mono8", "8UC1")
# Labels read ahead of their image: recordings have both in the same order, or nearly.
MOST_WAITING = 16


class TruthError(ValueError):
    """Labels that cannot be used; the message says why."""


class GroundTruth:
    """Labels of one recording, to be asked for in the order of its images; a context manager.

    Args:
        path: the recording.

    Attributes:
        problem: why the labels cannot be used; empty where they can. Without labels in the
            recording there is no problem, and ``present`` is false.
        name: of the codes, as their publisher names them.
        count: how many labels there are.

    Raises:
        BagError: not a whole recording.
    """

    def __init__(self, path: Path) -> None:
        self._opening = open_bag(path)
        self._bag = self._opening.__enter__()
        self.problem, self.name, self.count = "", "", 0
        self._tables: list[tuple[int, NDArray[np.uint8]]] = []
        self._places: dict[int, list[int]] = {}
        self._read = 0
        self._waiting: dict[int, tuple[int, Any]] = {}
        try:
            self._look()
        except TruthError as error:
            self.problem = str(error)
        except BaseException:
            self.close()
            raise
        self._records = _records(self._bag, topics.GROUND_TRUTH)

    @property
    def present(self) -> bool:
        """Whether the recording holds labels."""
        return self.count > 0

    def find(self, stamp_ns: int) -> LabelImage | None:
        """(H, W) uint8 labels of the image with this stamp: ``KNOWN``, ``UNKNOWN``, ``IGNORED``.

        A stamp that occurs several times (a looped recording) is served in order. None: there are
        no labels for it, or none that mean anything.

        Raises:
            TruthError: its labels are damaged.
        """
        places = self._places.get(stamp_ns)
        if not places or self.problem:
            return None
        place = places.pop(0)
        while self._read <= place:
            self._waiting[self._read] = next(self._records)
            self._read += 1
            if len(self._waiting) > MOST_WAITING:
                del self._waiting[min(self._waiting)]
        found = self._waiting.pop(place, None)
        if found is None:
            return None
        time_ns, message = found
        table = self._tables[max(0, bisect_right(self._tables, time_ns, key=lambda t: t[0]) - 1)][1]
        return np.asarray(table[_decode(message)], np.uint8)

    def close(self) -> None:
        """Close the recording."""
        self._opening.__exit__(None, None, None)

    def __enter__(self) -> GroundTruth:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _look(self) -> None:
        """Where the labels of which stamp are, and what their codes mean."""
        labels = [c for c in self._bag.connections if c.topic == topics.GROUND_TRUTH]
        if any(c.msgtype != "sensor_msgs/msg/Image" for c in labels):
            raise TruthError(f"{topics.GROUND_TRUTH} is {labels[0].msgtype}, no sensor_msgs/Image")
        for place, (_, _, cdr) in enumerate(self._bag.messages(labels) if labels else ()):
            self._places.setdefault(header_stamp(cdr), []).append(place)
            self.count += 1
        if not self.present:
            return
        for time_ns, message in _records(self._bag, topics.DATASET_INFO):
            self.name, table = _read_codes(message.data)
            self._tables.append((time_ns, table))
        if not self._tables:
            raise TruthError(
                f"the recording has labels but no {topics.DATASET_INFO} that says what they mean"
            )


def _records(bag: AnyReader, topic: str) -> Iterator[tuple[int, Any]]:
    connections = [c for c in bag.connections if c.topic == topic]
    for connection, time_ns, cdr in bag.messages(connections) if connections else ():
        yield time_ns, bag.deserialize(cdr, connection.msgtype)


def _read_codes(text: str) -> tuple[str, NDArray[np.uint8]]:
    """Name of the codes, and a table from codes to ``KNOWN``, ``UNKNOWN`` and ``IGNORED``."""
    try:
        codes = json.loads(text)["ground_truth"]
        name, groups = str(codes["name"]), (codes["inliers"], codes["outliers"])
        table = np.full(256, IGNORED, np.uint8)
        for meaning, group in zip((KNOWN, UNKNOWN), groups, strict=True):
            places = np.asarray(group, np.int64)
            if places.size and not 0 <= places.min() <= places.max() <= 255:
                raise ValueError(f"codes {places.min()} to {places.max()}")
            table[places] = meaning
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise TruthError(
            f"{topics.DATASET_INFO} does not say what the labels mean ({error!r})"
        ) from None
    return name, table


def _decode(message: Any) -> LabelImage:
    height, width, step = int(message.height), int(message.width), int(message.step)
    if message.encoding not in ENCODINGS:
        raise TruthError(f"labels are {message.encoding!r}, expected {' or '.join(ENCODINGS)}")
    data = np.asarray(message.data, np.uint8)
    if not (0 < width <= step and height > 0 and height * step <= data.size):
        raise TruthError(f"labels of {width}x{height} with rows of {step}: {data.size} bytes")
    return np.ascontiguousarray(data[: height * step].reshape(height, step)[:, :width])
