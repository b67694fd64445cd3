"""Publishing a recording through a node: as it was recorded, at the pace at which it was recorded.

Everything happens in one thread: between two messages the node answers its service, keys are
read, and the clock is published. So nothing can go out after a pause has been confirmed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from std_srvs.srv import SetBool

from open_set_seg.bags import BagError, open_bag
from open_set_seg.bags.replay import (
    BEHIND_S,
    Command,
    HeaderPlaces,
    ReadAhead,
    Record,
    ReplayReport,
    ReplaySettings,
    ReplayStatus,
    Restamper,
    Section,
    Timeline,
)
from open_set_seg.messages import NANOSECONDS
from open_set_seg.ros.playback import LONGEST_SPIN_S, Pacer
from open_set_seg.ros.recorded_topics import RecordedTopics

READ_AHEAD_BYTES = 64 * 2**20
STATUS_PERIOD_S = 0.2
COMPLAINT_PERIOD_S = 5.0
CLOCK_DEPTH = 10
RATE_STEP = 1.1  # of the arrow keys, as in ros2 bag play
LOWEST_RATE, HIGHEST_RATE = 0.01, 100.0


class Watcher(Protocol):
    """Who hears of a replay while it goes on."""

    def begin(self, keys: bool) -> None:
        """Before it begins; says whether a keyboard steers it."""

    def warn(self, text: str) -> None:
        """Something that the user should know."""

    def show(self, status: ReplayStatus) -> None:
        """How far it is, a few times a second."""

    def finish(self, report: ReplayReport) -> None:
        """When it has ended, in whatever way."""


class Replay:
    """Plays a recording through a node, with the service ``~/pause`` (std_srvs/SetBool).

    Args:
        commands: asked again and again for what the user wants.

    Attributes:
        report: what it did so far.
    """

    def __init__(
        self,
        node: Node,
        settings: ReplaySettings,
        watcher: Watcher,
        commands: Callable[[], Iterable[Command]] = tuple,
    ) -> None:
        self.report = ReplayReport()
        self._node, self._settings = node, settings
        self._watcher, self._commands = watcher, commands
        self._pacer = Pacer(node)
        self._timeline = Timeline(0, settings.rate, settings.start_paused)
        self._next_ns = self._steps = 0
        self._attended_s = self._shown_s = self._clocked_s = self._complained_s = 0.0
        self._behind_s, self._rate_held, self._counted = 0.0, float("nan"), (0.0, 0.0)
        self._last: tuple[int, float] | None = None  # moment and time of the last timed message
        self._clock: Publisher | None = None
        if settings.clock_hz > 0:
            self._clock = node.create_publisher(Clock, "/clock", CLOCK_DEPTH)
        self._service = node.create_service(SetBool, "~/pause", self._on_pause)

    def play(self) -> ReplayReport:
        """Play it; returns the report.

        Raises:
            BagError: no whole recording, or none of the wanted topics can be played. What can be
                read of a damaged recording is played first.
        """
        wanted = self._settings
        with open_bag(wanted.bag) as bag:
            section = Section(bag, wanted.topics, wanted.start_offset, wanted.duration)
            self._section = section
            self._topics = RecordedTopics(self._node, section, self.report.left_out)
            for topic, reason in self.report.left_out.items():
                self._watcher.warn(f"{topic} is left out: {reason}")
            self.report.held = section.counts()
            self._restamper = Restamper(HeaderPlaces(bag.typestore), self._new_stamp)
            publishers = self._topics.publishers
            self._pacer.wait_for_any_subscriber(publishers, wanted.wait_for_subscribers_s)
            rounds = section.rounds(wanted.loop)
            with ReadAhead(rounds, lambda item: len(item[1].cdr), READ_AHEAD_BYTES) as records:
                try:
                    self._publish_all(records)
                finally:
                    self._show()
                    self._pacer.deliver(publishers)
        return self.report

    def _publish_all(self, records: Iterator[tuple[int, Record]]) -> None:
        for number, record in records:
            if number != self.report.rounds:
                self._begin_round(number)
            stepped = self._wait_for(record.stamp_ns)
            self._publish(record)
            now = time.monotonic()
            if stepped:
                self._last = None
                continue
            if self._last is not None:
                self.report.played_s += (record.stamp_ns - self._last[0]) / NANOSECONDS
                self.report.running_s += now - self._last[1]
            self._last = record.stamp_ns, now

    def _begin_round(self, number: int) -> None:
        section, paused = self._section, self._timeline.paused
        if number == 1:
            self._timeline = Timeline(section.start_ns, self._timeline.rate, paused)
        else:
            end_ns = section.start_ns + section.round_ns
            if not self._steps:
                self._wait_for(end_ns, message=False)
            self._timeline.begin_again(end_ns, section.start_ns)
        self._epoch_ns = time.time_ns() - round(time.monotonic() * NANOSECONDS)
        self._restamper.forget()
        self._last = None
        self.report.rounds = number

    def _wait_for(self, moment_ns: int, message: bool = True) -> bool:
        """Wait until a moment is due; returns whether the user asked for its message before."""
        self._next_ns = moment_ns
        while True:
            now = time.monotonic()
            if now >= self._attended_s + LONGEST_SPIN_S:
                self._attend(now)
            if self._steps:
                if message:
                    self._steps -= 1
                    self._timeline.step_to(moment_ns)
                return True
            due = self._timeline.due(moment_ns)
            now = time.monotonic()
            if due <= now:
                self._note_lateness(now - due, message)
                return False
            wake = min(due, now + LONGEST_SPIN_S)
            if self._clock:
                wake = min(wake, self._clocked_s + 1 / self._settings.clock_hz)
                if wake <= now:
                    self._publish_clock(min(self._timeline.position(), moment_ns))
                    continue
            self._pacer.wait_until(wake)

    def _note_lateness(self, late_s: float, message: bool) -> None:
        if not message:
            return
        self._behind_s = late_s
        self.report.lateness.add(late_s)
        now = time.monotonic()
        if late_s > BEHIND_S and now >= self._complained_s + COMPLAINT_PERIOD_S:
            self._complained_s = now
            self._watcher.warn(
                f"{late_s:.2f} s behind the pace of the recording: messages go out as fast as they "
                "can, none is left out"
            )

    def _attend(self, now: float) -> None:
        """Answer the service and the user."""
        self._attended_s = now
        self._pacer.attend()
        for command in self._commands():
            self._obey(command)
        if now >= self._shown_s + STATUS_PERIOD_S:
            self._shown_s = now
            self._show()

    def _obey(self, command: Command) -> None:
        timeline = self._timeline
        if command == "toggle":
            self._set_paused(not timeline.paused)
        elif command == "next":
            self._steps += timeline.paused
        else:
            rate = timeline.rate * (RATE_STEP if command == "faster" else 1 / RATE_STEP)
            timeline.set_rate(min(max(rate, LOWEST_RATE), HIGHEST_RATE), self._next_ns)

    def _set_paused(self, paused: bool) -> None:
        self._last = None
        self._steps = 0
        if paused:
            self._timeline.pause(self._next_ns)
        else:
            self._timeline.resume()

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._set_paused(request.data)
        response.success = True
        response.message = "paused" if request.data else "playing"
        return response

    def _show(self) -> None:
        report, section, timeline = self.report, self._section, self._timeline
        played, running = self._counted
        if report.running_s - running >= 1.0:
            self._rate_held = (report.played_s - played) / (report.running_s - running)
            self._counted = report.played_s, report.running_s
        position = min(max(timeline.position(), section.start_ns), self._next_ns)
        self._watcher.show(
            ReplayStatus(
                position_s=max(0.0, (position - section.start_ns) / NANOSECONDS),
                length_s=(section.end_ns - section.start_ns) / NANOSECONDS,
                rounds=report.rounds,
                rate=timeline.rate,
                rate_held=self._rate_held,
                behind_s=self._behind_s,
                paused=timeline.paused,
            )
        )

    def _publish(self, record: Record) -> None:
        connection, cdr = record.connection, record.cdr
        if self._clock:  # so that no message comes from the future
            self._publish_clock(record.stamp_ns)
        if self._settings.restamp:
            try:
                cdr = self._restamper.apply(cdr, connection.msgtype)
            except BagError as error:  # it is published as it is
                self._watcher.warn(f"{connection.topic} keeps its stamp: {error}")
        self._topics.publish(connection, cdr)
        self.report.published[connection.topic] += 1

    def _publish_clock(self, now_ns: int) -> None:
        assert self._clock is not None
        self._clocked_s = time.monotonic()
        self._clock.publish(Clock(clock=Time(nanoseconds=now_ns).to_msg()))

    def _new_stamp(self, stamp_ns: int) -> int:
        return self._epoch_ns + round(self._timeline.planned(stamp_ns) * NANOSECONDS)
