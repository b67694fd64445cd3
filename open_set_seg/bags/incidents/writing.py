"""The thread that writes incidents: whoever hands frames over never waits for a disk."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from open_set_seg.bags.incidents.config import MEGABYTE, RecorderConfig
from open_set_seg.bags.incidents.incident import Ending, Incident
from open_set_seg.bags.incidents.ring import RecordedFrame
from open_set_seg.bags.incidents.shelf import Shelf
from open_set_seg.bags.incidents.summary import KEY
from open_set_seg.bags.writing import BagError, BagWriter

Report = Callable[[str, str, str], None]  # severity, code, text
# More than the storage adds: schemas and channels twice, metadata; record and index of a message.
BAG_OVERHEAD = 300_000
MESSAGE_OVERHEAD = 400


class _Abandoned(Exception):
    """The process ends: what is half written is not kept."""


class IncidentWriter(threading.Thread):
    """Writes incidents one after the other; after an error it rests, then looks again.

    Args:
        config: of the recorder.
        report: told of the first error of a row, and of the recovery.
        failed: called with an incident that could not be recorded.
    """

    def __init__(
        self, config: RecorderConfig, report: Report, failed: Callable[[Incident], None]
    ) -> None:
        super().__init__(name="incidents", daemon=True)
        self.config = config
        self.counts: Counter[str] = Counter()
        self.last_error = ""
        self.newest = ""
        self.stored = (0, 0)
        self._report, self._failed = report, failed
        self._changed = threading.Condition()
        self._incidents: deque[Incident] = deque()
        self._bytes = 0
        self._resting_until: float | None = None
        self._stopping = self._abandoning = False
        self._shelf: Shelf | None = None

    @property
    def waiting_bytes(self) -> int:
        """Bytes of frames that are not written yet."""
        return self._bytes

    @property
    def resting(self) -> bool:
        """Whether it rests after an error."""
        return self._resting_until is not None

    def begin(self, incident: Incident) -> None:
        """Queue an incident; frames follow."""
        with self._changed:
            self._incidents.append(incident)

    def offer(self, incident: Incident, frame: RecordedFrame, limit: int) -> None:
        """Hand a frame over; it is dropped where more than ``limit`` bytes would wait."""
        with self._changed:
            if incident.closed is not None:
                return
            if self._bytes + frame.size > limit:
                incident.dropped += 1
                self.counts["dropped"] += 1
                return
            incident.frames.append(frame)
            self._bytes += frame.size
            self._changed.notify_all()

    def end(self, incident: Incident, why: Ending) -> None:
        """No more frames come."""
        with self._changed:
            incident.closed = incident.closed or why
            self._changed.notify_all()

    def stop(self, timeout_s: float) -> None:
        """Write what waits for at most ``timeout_s``, then give up; nothing half remains."""
        with self._changed:
            self._stopping = True
            for incident in self._incidents:
                incident.closed = incident.closed or "shutdown"
            self._changed.notify_all()
        if not self.is_alive():
            return
        self.join(timeout_s)
        with self._changed:
            self._abandoning = True
        self.join(1.0)

    def run(self) -> None:
        """Thread body."""
        self._attempt(None)
        while True:
            with self._changed:
                while not self._incidents and not self._stopping and not self._rested():
                    self._changed.wait(self._time_to_rest())
                if not self._incidents and self._stopping:
                    break
                incident = self._incidents[0] if self._incidents else None
            self._attempt(incident)
        if self._shelf is not None:
            self._shelf.close()

    def _rested(self) -> bool:
        return self._resting_until is not None and time.monotonic() >= self._resting_until

    def _time_to_rest(self) -> float | None:
        if self._resting_until is None:
            return None
        return max(0.0, self._resting_until - time.monotonic())

    def _attempt(self, incident: Incident | None) -> None:
        """Write an incident, or (None) only look whether one could be written."""
        try:
            if self._shelf is None:
                self._shelf = Shelf(self.config)
            self._shelf.config = self.config
            self._shelf.scan()
            self._shelf.require_free(0)
            if incident is not None:
                self._write(incident, self._shelf)
        except _Abandoned:
            self._release(incident)
        except Exception as error:  # whatever a disk, or a message, comes up with
            self._rest(incident, error)
        else:
            self._release(incident)
            if self.resting:
                self._resting_until = None
                self._report("info", "recorder.recovered", "recording is possible again")
        shelf = self._shelf
        self.stored = (shelf.count, shelf.bytes) if shelf is not None else (0, 0)

    def _write(self, incident: Incident, shelf: Shelf) -> None:
        config, path = self.config, shelf.next_path(incident.utc)
        size, frames, first_ns, last_ns = BAG_OVERHEAD, 0, 0, 0
        bag = BagWriter(path, compression=config.compression, durable=True)
        try:
            with bag:
                while (frame := self._next_frame(incident)) is not None:
                    messages = [(part, part.serialise()) for part in frame.parts]
                    size += sum(_stored_size(len(cdr)) for _, cdr in messages)
                    if size > config.max_bag_mb * MEGABYTE:
                        self.end(incident, "full")
                        break
                    shelf.make_room(size)
                    shelf.require_free(size)
                    stamp_ns = max(0, frame.stamp_ns)
                    for part, cdr in messages:
                        bag.write_cdr(part.topic, part.type_name, stamp_ns, cdr)
                    first_ns = first_ns if frames else frame.stamp_ns
                    last_ns, frames = frame.stamp_ns, frames + 1
                    self._forget_frame(incident)
                if not frames:
                    raise _NothingToKeep
                bag.describe(KEY, incident.summarise(first_ns, last_ns, frames))
        except _NothingToKeep:
            if incident.closed == "full":
                raise BagError(
                    f"one frame takes {size} bytes, more than recorder.max_bag_mb"
                ) from None
            return
        shelf.add(path)
        self.counts["written"] += 1
        self.newest = path.name

    def _next_frame(self, incident: Incident) -> RecordedFrame | None:
        """The next frame, as soon as it is there; it counts as waiting until it is forgotten."""
        with self._changed:
            while True:
                if self._abandoning:
                    raise _Abandoned
                if incident.frames:
                    return incident.frames[0]
                if incident.closed is not None:
                    return None
                self._changed.wait()

    def _forget_frame(self, incident: Incident) -> None:
        with self._changed:
            if incident.frames:
                self._bytes -= incident.frames.popleft().size

    def _release(self, incident: Incident | None) -> int:
        """Let an incident go with all frames of it that wait; returns their number."""
        if incident is None:
            return 0
        with self._changed:
            left = len(incident.frames)
            self._bytes -= sum(frame.size for frame in incident.frames)
            incident.frames.clear()
            if incident in self._incidents:
                self._incidents.remove(incident)
            return left

    def _rest(self, incident: Incident | None, error: Exception) -> None:
        """After an error: nothing of the incident is kept, and nothing is tried for a while."""
        text = " ".join(str(error).split()) or type(error).__name__
        first = not self.resting
        self.last_error = text
        self._resting_until = time.monotonic() + self.config.rest_s
        if incident is not None:
            with self._changed:
                incident.closed = "failed"
            self.counts["dropped"] += self._release(incident)
            self.counts["failed"] += 1
            self._failed(incident)
        if first:
            rest = f"the recorder rests and tries again every {self.config.rest_s:g} s"
            self._report("error", "recorder.failed", f"an incident is not recorded: {text}; {rest}")


class _NothingToKeep(Exception):
    """No frame was written."""


def _stored_size(length: int) -> int:
    """Upper bound of the bytes that a message takes on disk (Zstandard may add a little)."""
    return length + length // 128 + MESSAGE_OVERHEAD
