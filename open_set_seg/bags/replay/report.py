"""What a replay is asked for, how far it is, and what it did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from open_set_seg.bags.replay.lateness import Lateness

# Later than this, the pace is not that of the recording, and the user is told.
BEHIND_S = 0.1


@dataclass(frozen=True)
class ReplaySettings:
    """What to play and how.

    Attributes:
        bag: folder (or file) of the recording.
        rate: seconds of the recording a second.
        loop: begin again after the last message, until interrupted.
        start_offset: seconds of the recording to skip.
        duration: seconds of the recording to play; 0: to its end.
        clock_hz: how often /clock is published, beside once before each message; 0: never.
        topics: to play; empty: all.
        start_paused: wait for the user before the first message.
        restamp: move header stamps to the time at which they are played.
        wait_for_subscribers_s: longest wait for a first subscriber.
    """

    bag: str
    rate: float = 1.0
    loop: bool = False
    start_offset: float = 0.0
    duration: float = 0.0
    clock_hz: float = 0.0
    topics: tuple[str, ...] = ()
    start_paused: bool = False
    restamp: bool = False
    wait_for_subscribers_s: float = 10.0


@dataclass(frozen=True)
class ReplayStatus:
    """How far a replay is.

    Attributes:
        position_s, length_s: in the section that is played, seconds of the recording.
        rounds: that were begun.
        rate: wanted, seconds of the recording a second.
        rate_held: of about the last second; nan before that.
        behind_s: how late the last message was.
    """

    position_s: float
    length_s: float
    rounds: int
    rate: float
    rate_held: float
    behind_s: float
    paused: bool


@dataclass
class ReplayReport:
    """What a replay did so far; it tells the truth at any time, also after an interrupt.

    Attributes:
        published: messages by topic.
        held: messages by topic that the recording holds; empty where only a part is played.
        left_out: topics with the reason for which they are not played.
        rounds: that were begun.
        lateness: of messages that had a time (single steps have none).
        played_s: seconds of the recording between messages, over all rounds.
        running_s: seconds that passed between them, pauses aside.
    """

    published: Counter[str] = field(default_factory=Counter)
    held: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    rounds: int = 0
    lateness: Lateness = field(default_factory=Lateness)
    played_s: float = 0.0
    running_s: float = 0.0

    @property
    def rate_held(self) -> float:
        """Seconds of the recording a second, over all; nan before any passed."""
        return self.played_s / self.running_s if self.running_s > 0 else float("nan")

    @property
    def messages_per_second(self) -> float:
        """Messages a second, pauses aside; nan before any time passed."""
        return self.lateness.count / self.running_s if self.running_s > 0 else float("nan")

    @property
    def behind(self) -> bool:
        """Whether the pace could not be held at some time."""
        return self.lateness.largest_s > BEHIND_S

    def lines(self) -> list[str]:
        """The report in words."""
        lines = [f"left out: {topic} ({reason})" for topic, reason in self.left_out.items()]
        for topic, count in self.published.items():
            of = f" of {self.held[topic]}" if self.rounds == 1 and topic in self.held else ""
            rounds = f" in {self.rounds} rounds" if self.rounds > 1 else ""
            lines.append(f"{topic}: {count}{of} messages{rounds}")
        late = self.lateness
        if late.count:
            lines.append(
                f"late by {late.quantile(0.5) * 1e3:.2f} ms (median), "
                f"{late.quantile(0.95) * 1e3:.2f} ms (95 %), {late.largest_s * 1e3:.2f} ms (most)"
            )
        if self.running_s > 0:
            lines.append(
                f"{self.messages_per_second:.1f} messages a second, rate {self.rate_held:.3f}"
            )
        if self.behind:
            lines.append(f"fell behind by {late.largest_s:.2f} s; rate held {self.rate_held:.3f}")
        return lines
