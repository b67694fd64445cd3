"""What a replay plays: chosen topics between two moments, and latched messages from before."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rosbags.interfaces import Connection, QosDurability

from open_set_seg.bags.records import read_records
from open_set_seg.bags.writing import BagError
from open_set_seg.messages import NANOSECONDS

QUEUE_DEPTH = 10
# Each message adds to those before it (several broadcasters, or one at many times), so that a
# subscriber that comes late needs them all.
ADDING_UP = ("tf2_msgs/msg/TFMessage",)
LATCHED_DEPTH = 100


@dataclass(frozen=True)
class Record:
    """A message of a recording.

    Attributes:
        stamp_ns: when it is to be played, nanoseconds of the recording's time.
        cdr: the message, serialised.
    """

    connection: Connection
    stamp_ns: int
    cdr: bytes


def latched_depth(connection: Connection) -> int:
    """How many messages of a topic a late subscriber gets; 0 where it was not latched."""
    offered = getattr(connection.ext, "offered_qos_profiles", [])
    latched = [qos for qos in offered if qos.durability == QosDurability.TRANSIENT_LOCAL]
    if not latched:
        return 0
    if connection.msgtype in ADDING_UP:
        return int(min(max(connection.msgcount, QUEUE_DEPTH), LATCHED_DEPTH))
    # Discovery does not tell depths, so recordings of other tools often say 0.
    depth: int = sum(qos.depth for qos in latched)
    return min(depth, LATCHED_DEPTH) if depth > 0 else QUEUE_DEPTH


class Section:
    """Part of an open recording that is played as one round.

    Attributes:
        connections: topics that are played.
        missing: wanted topics that the recording does not have.
        start_ns, end_ns: first and last moment.
        round_ns: from the start of one round to that of the next; known from the second round on.

    Args:
        bag: an open recording.
        topics: topics to play; empty: all.
        start_offset: seconds of the recording to skip.
        duration: seconds of the recording to play; 0: to its end.

    Raises:
        BagError: it holds none of the topics, or nothing after the offset.
    """

    def __init__(
        self,
        bag: Any,
        topics: Collection[str] = (),
        start_offset: float = 0.0,
        duration: float = 0.0,
    ) -> None:
        self._bag = bag
        self.connections: Sequence[Connection] = [
            c for c in bag.connections if not topics or c.topic in topics
        ]
        name = bag.paths[0]
        if not any(c.msgcount for c in self.connections):
            held = ", ".join(sorted(c.topic for c in bag.connections)) or "no topic"
            raise BagError(f"{name} holds none of the topics to play; it holds {held}")
        self.missing = tuple(sorted(set(topics) - {c.topic for c in bag.connections}))
        self.start_ns: int = bag.start_time + round(start_offset * NANOSECONDS)
        if self.start_ns >= bag.end_time:
            length = (bag.end_time - 1 - bag.start_time) / NANOSECONDS
            raise BagError(f"{name} is {length:.3f} s long: nothing after {start_offset:g} s")
        end_ns = self.start_ns + round(duration * NANOSECONDS) if duration else bag.end_time - 1
        self.end_ns: int = min(end_ns, bag.end_time - 1)
        self.round_ns = 0
        self._moments: dict[str, list[int]] = {}  # of a round, by topic: first, last, number
        self._whole = self.start_ns <= bag.start_time and self.end_ns >= bag.end_time - 1

    def leave_out(self, topics: Collection[str]) -> None:
        """Play the topics but these."""
        self.connections = [c for c in self.connections if c.topic not in topics]

    def counts(self) -> dict[str, int]:
        """Messages by topic, as the recording says; empty where only a part of it is played."""
        counts: dict[str, int] = {}
        for connection in self.connections if self._whole else ():
            counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
        return counts

    def rounds(self, loop: bool) -> Iterator[tuple[int, Record]]:
        """The messages of one round, or of one after the other, with the number of the round.

        Raises:
            BagError: as ``records``.
        """
        number = 1
        while True:
            yield from ((number, record) for record in self.records())
            if not (loop and self._moments):
                return
            self.round_ns = self._measure_round()
            number += 1

    def _measure_round(self) -> int:
        """A round's length that keeps the period of the topic with the most messages.

        So looped pictures keep their pace, where a round that followed at once would bring its
        first picture together with the last one. At least 1 ms longer than the round's messages.
        """
        first, last, number = max(self._moments.values(), key=lambda moments: moments[2])
        period = (last - first) // (number - 1) if number > 1 else 0
        latest = max(moments[1] for moments in self._moments.values())
        return max(last - first + period, latest - self.start_ns + NANOSECONDS // 1000)

    def records(self) -> Iterator[Record]:
        """The messages of one round in the order of time.

        Latched ones from before the section come first, as a subscriber would get them that had
        come at its start.

        Raises:
            BagError: the recording is damaged; what came before it can be played.
        """
        yield from self._latched_before()
        self._moments = {}
        for connection, stamp_ns, cdr in read_records(
            self._bag, self.connections, self.start_ns, self.end_ns + 1
        ):
            moments = self._moments.setdefault(connection.topic, [stamp_ns, stamp_ns, 0])
            moments[1:] = stamp_ns, moments[2] + 1
            yield Record(connection, stamp_ns, bytes(cdr))
        held = {topic: moments[2] for topic, moments in self._moments.items()}
        lost = [
            f"{t}: {held.get(t, 0)} of {n}" for t, n in self.counts().items() if held.get(t, 0) < n
        ]
        if lost:
            raise BagError(
                f"{self._bag.paths[0]} is damaged: it holds fewer messages than it says "
                f"({', '.join(lost)})"
            )

    def _latched_before(self) -> Iterator[Record]:
        latched = [c for c in self.connections if latched_depth(c)]
        if not latched or self.start_ns <= self._bag.start_time:
            return
        last: dict[str, deque[tuple[Connection, bytes]]] = {}
        for connection, _, cdr in read_records(
            self._bag, latched, self._bag.start_time, self.start_ns
        ):
            kept = last.setdefault(connection.topic, deque(maxlen=latched_depth(connection)))
            kept.append((connection, bytes(cdr)))
        for kept in last.values():
            for connection, cdr in kept:
                yield Record(connection, self.start_ns, cdr)
