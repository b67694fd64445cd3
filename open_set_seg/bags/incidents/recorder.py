"""IncidentRecorder: frames go in, recordings of incidents come out; nothing here waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from open_set_seg.bags.incidents.config import MEGABYTE, RecorderConfig
from open_set_seg.bags.incidents.incident import Ending, Incident
from open_set_seg.bags.incidents.policy import Decision, IncidentPolicy, Sighting
from open_set_seg.bags.incidents.ring import RecordedFrame, RingBuffer
from open_set_seg.bags.incidents.scenes import Scene
from open_set_seg.bags.incidents.writing import IncidentWriter, Report

CLOSING_S = 5.0
SILENCE_S = 1.0  # beyond after_s without a frame: the camera is gone


@dataclass(frozen=True)
class RecorderStatus:
    """How the recorder does.

    Attributes:
        state: ``resting``: after an error.
        bags, bytes: in the folder, as the recorder last saw it.
        written, failed: incidents since the start.
        dropped_frames: of incidents: the disk was too slow, or failed.
        repeats: obstacles of scenes that were recorded already.
        deferred: frames with a new obstacle that had to wait for the end of a gap or a rest.
        buffered_s, buffered_bytes: frames from before an incident.
        waiting_bytes: of frames that are not written yet.
        newest: name of the newest recording since the start.
    """

    state: Literal["ready", "recording", "resting"]
    bags: int
    bytes: int
    written: int
    failed: int
    dropped_frames: int
    repeats: int
    deferred: int
    buffered_s: float
    buffered_bytes: int
    waiting_bytes: int
    newest: str
    last_error: str


class IncidentRecorder:
    """Keeps the newest frames, and hands those around an incident to a thread that writes them.

    ``add`` and ``request`` may be called from different threads. A frame lies either in the ring or
    in the writer's queue, and both together never take more than ``max_memory_mb``.

    Args:
        config: see ``RecorderConfig``.
        describe: what else a recording should say of its making, such as model and threshold.
        report: takes severity (``error`` or ``info``), code and text; called in any thread.
    """

    def __init__(
        self,
        config: RecorderConfig,
        describe: Callable[[], Mapping[str, Any]] = dict,
        report: Report = lambda severity, code, text: None,
    ) -> None:
        self._config = config
        self._describe = describe
        self._lock = threading.Lock()
        self._ring = RingBuffer()
        self._policy = IncidentPolicy(config)
        self._incident: Incident | None = None
        self._newest_ns: int | None = None
        self._last_arrival = time.monotonic()
        self._writer = IncidentWriter(config, report, self._on_failure)
        self._writer.start()

    def add(
        self,
        frame: RecordedFrame,
        sightings: Sequence[Sighting] = (),
        look: Callable[[Sighting], Scene] | None = None,
    ) -> None:
        """Take the next frame.

        Args:
            frame: its messages.
            sightings: confirmed obstacles in it.
            look: gives the scene around one of them; needed where there are any.
        """
        with self._lock:
            self._last_arrival = time.monotonic()
            if self._newest_ns is not None and frame.stamp_ns < self._newest_ns:
                self._ring.clear()
                self._end("jump")
            self._newest_ns = frame.stamp_ns
            self._ring.forget_before(frame.stamp_ns - round(self._config.before_s * 1e9))
            if self._incident is not None and self._incident.closed is not None:
                self._end("over")  # the writer closed it: it is full, or failed
            decision = self._policy.update(
                frame.stamp_ns, sightings, look or _nothing_to_look_at, not self._writer.resting
            )
            if decision.action == "end":
                self._end("over")
            elif decision.action == "begin":
                self._begin(decision)
            if self._incident is None:
                self._keep(frame)
                return
            if decision.obstacle is not None:
                self._incident.note(frame.stamp_ns, decision.obstacle)
            self._writer.offer(self._incident, frame, self._limit)

    def request(self) -> tuple[bool, str]:
        """Record now, from the frames in memory on.

        Returns:
            Whether that is done, and a sentence about it.
        """
        with self._lock:
            if self._writer.resting:
                return False, f"the recorder rests after an error: {self._writer.last_error}"
            if self._incident is not None and self._incident.closed is not None:
                self._end("over")
            buffered_s, decision = self._ring.seconds, self._policy.request()
            if decision.action == "begin":
                self._begin(decision)
            assert self._incident is not None
            self._incident.note(self._newest_ns or 0, None)
            after = f"for {self._config.after_s:g} s more, into {self._config.folder}"
            if decision.action == "begin":
                return True, f"recording from {buffered_s:.1f} s ago on, {after}"
            return True, f"the recording in progress goes on {after}"

    def interrupt(self) -> None:
        """No frames come for a while: the incident ends, and what is in memory is let go."""
        with self._lock:
            self._end("silence")
            self._ring.clear()

    def tick(self) -> None:
        """Look after the time; call it about once a second, also when no frames come."""
        with self._lock:
            silence = time.monotonic() - self._last_arrival
            if self._incident is not None and silence > self._config.after_s + SILENCE_S:
                self._end("silence")

    def reconfigure(self, config: RecorderConfig) -> None:
        """Use another configuration from now on; the folder stays."""
        with self._lock:
            self._config = self._policy.config = self._writer.config = config

    def status(self) -> RecorderStatus:
        """How it does at this moment."""
        with self._lock:
            writer, policy = self._writer, self._policy
            recording = self._incident is not None and self._incident.closed is None
            return RecorderStatus(
                "resting" if writer.resting else "recording" if recording else "ready",
                *writer.stored,
                written=writer.counts["written"],
                failed=writer.counts["failed"],
                dropped_frames=writer.counts["dropped"],
                repeats=policy.counts["repeats"],
                deferred=policy.counts["deferred"],
                buffered_s=self._ring.seconds,
                buffered_bytes=self._ring.bytes,
                waiting_bytes=writer.waiting_bytes,
                newest=writer.newest,
                last_error=writer.last_error,
            )

    def close(self, timeout_s: float = CLOSING_S) -> None:
        """End the incident that lasts, and write for at most ``timeout_s`` what waits."""
        with self._lock:
            self._end("shutdown")
            self._ring.clear()
        self._writer.stop(timeout_s)

    @property
    def _limit(self) -> int:
        return round(self._config.max_memory_mb * MEGABYTE)

    def _keep(self, frame: RecordedFrame) -> None:
        limit = self._limit - self._writer.waiting_bytes
        self._ring.add(frame, self._config.before_s, limit)

    def _begin(self, decision: Decision) -> None:
        self._incident = Incident(decision, self._describe())
        self._writer.begin(self._incident)
        for frame in self._ring.take():
            self._writer.offer(self._incident, frame, self._limit)

    def _end(self, why: Ending) -> None:
        self._policy.end()
        if self._incident is not None:
            self._writer.end(self._incident, why)
            self._incident = None

    def _on_failure(self, incident: Incident) -> None:
        with self._lock:
            self._policy.retract(incident.begun)


def _nothing_to_look_at(_: Sighting) -> Scene:
    raise ValueError("confirmed obstacles need a function that gives their scene")
