"""A recording -> a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from open_set_seg.bags import header_stamp, open_bag
from open_set_seg.doctor.snapshot import (
    Endpoint,
    Policy,
    Role,
    Sampler,
    Snapshot,
    Status,
    Stream,
    choose_topics,
)
from open_set_seg.messages import NANOSECONDS

DIAGNOSTICS = "/diagnostics"
_LONGEST_TEXT = 200
_POLICIES: Mapping[str, Policy] = {
    "RELIABLE": "reliable", "BEST_EFFORT": "best_effort",
    "VOLATILE": "volatile", "TRANSIENT_LOCAL": "transient_local",
}  # fmt: skip


def examine_recording(
    path: Path, wanted: Mapping[Role, str], seconds: float = 30.0, segment_bytes: int | None = None
) -> Snapshot:
    """What a recording holds of the detector's inputs.

    Args:
        wanted: topic of each input; others are taken where these are not there.
        seconds: how much of its beginning is read; 0: all of it.
        segment_bytes: of this machine's shared memory.

    Raises:
        BagError: not a whole recording.
    """
    with open_bag(path) as bag:
        topics = {c.topic: c.msgtype for c in bag.connections}
        roles = choose_topics(topics, wanted)
        reading = _Reading(bag, roles)
        whole = max(0, bag.end_time - bag.start_time) if bag.connections else 0
        broken = reading.run(seconds)
        return Snapshot(
            source="recording",
            streams={role: reading.stream(topic) for role, topic in roles.items()},
            wanted=dict(wanted),
            topics=topics,
            others=tuple(reading.stream(t) for t in sorted(set(topics) - set(roles.values()))),
            seconds=min(seconds, whole / NANOSECONDS) if seconds else whole / NANOSECONDS,
            whole_seconds=whole / NANOSECONDS,
            broken=broken,
            statuses=reading.statuses(),
            clock_publishers=int("/clock" in topics),
            segment_bytes=segment_bytes,
        )


class _Reading:
    """Goes through an open recording once."""

    def __init__(self, bag: Any, roles: Mapping[Role, str]) -> None:
        self._bag = bag
        self._kinds = {c.topic: c.msgtype for c in bag.connections}
        self._read = {*roles.values()} | ({DIAGNOSTICS} & {*self._kinds})
        self._stamps: dict[str, list[int]] = {topic: [] for topic in self._read}
        self._arrivals: dict[str, list[int]] = {topic: [] for topic in self._read}
        self._samplers = {topic: Sampler() for topic in self._read}
        self._largest = dict.fromkeys(self._read, 0)
        self._faults: dict[str, set[str]] = {topic: set() for topic in self._kinds}
        self._statuses: dict[str, Status] = {}

    def run(self, seconds: float) -> str:
        """Read; returns why that ended early, or nothing."""
        connections = [c for c in self._bag.connections if c.topic in self._read]
        if not connections:
            return ""
        stop = self._bag.start_time + round(seconds * NANOSECONDS) if seconds else None
        number = 0
        try:
            for connection, time_ns, cdr in self._bag.messages(connections, stop=stop):
                self._take(connection.topic, time_ns, bytes(cdr[:12]), cdr)
                number += 1
        except Exception as failure:  # whatever the storage's reader raises over damaged data
            text = f"{type(failure).__name__}: {failure}"[:_LONGEST_TEXT]
            return f"after {number} messages: {text}"
        return ""

    def stream(self, topic: str) -> Stream:
        """What is known of a topic."""
        mine = [c for c in self._bag.connections if c.topic == topic]
        sampler = self._samplers.get(topic)
        samples = tuple(self._decode(topic, sampler.messages)) if sampler else ()
        return Stream(
            topic=topic,
            kind=self._kinds[topic],
            publishers=tuple(p for c in mine for p in _offers(c)),
            stamps_ns=tuple(self._stamps.get(topic, ())),
            arrivals_ns=tuple(self._arrivals.get(topic, ())),
            samples=samples,
            largest_bytes=self._largest.get(topic, 0),
            total=sum(c.msgcount for c in mine),
            faults=tuple(sorted(self._faults[topic])),
        )

    def statuses(self) -> tuple[Status, ...]:
        """The last diagnostics of every name."""
        return tuple(self._statuses.values())

    def _take(self, topic: str, time_ns: int, head: bytes, cdr: bytes) -> None:
        if topic == DIAGNOSTICS:
            for message in self._decode(topic, [cdr]):
                self._statuses.update(
                    (s.name, Status(s.name, int(s.level), s.message)) for s in message.status
                )
            return
        if len(head) < 12:
            self._faults[topic].add(f"a message of {len(cdr)} bytes has no header")
            return
        self._stamps[topic].append(header_stamp(head))
        self._arrivals[topic].append(time_ns)
        self._largest[topic] = max(self._largest[topic], len(cdr))
        self._samplers[topic].add(cdr)

    def _decode(self, topic: str, serialised: list[Any]) -> list[Any]:
        messages = []
        for cdr in serialised:
            try:
                messages.append(self._bag.deserialize(cdr, self._kinds[topic]))
            except Exception as failure:  # the library's readers raise what their slices raise
                text = f"{type(failure).__name__}: {failure}"[:_LONGEST_TEXT]
                self._faults[topic].add(text)
        return messages


def _offers(connection: Any) -> list[Endpoint]:
    """The publishers of a topic when it was recorded, as far as the recording tells."""
    profiles = getattr(connection.ext, "offered_qos_profiles", None) or []
    return [
        Endpoint(
            "recorded",
            connection.msgtype,
            _POLICIES.get(qos.reliability.name, "unknown"),
            _POLICIES.get(qos.durability.name, "unknown"),
        )
        for qos in profiles
    ]
