"""The clock of a replay: which moment of the recording it is now, and when another one is due."""

from __future__ import annotations

import time
from collections.abc import Callable

from open_set_seg.messages import NANOSECONDS


class Timeline:
    """Maps moments of a recording (nanoseconds) to times at which they are due (seconds).

    While it runs, position = anchor + rate * (now - time of the anchor). Pauses and changes of the
    rate set a new anchor.

    Args:
        start_ns: first position.
        rate: seconds of the recording a second, above 0.
        paused: whether it stands still at first.
        now: a clock that never goes back.
    """

    def __init__(
        self,
        start_ns: int,
        rate: float = 1.0,
        paused: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._anchor_ns, self._anchor_s = start_ns, now()
        self._rate, self._paused = rate, paused

    @property
    def rate(self) -> float:
        """Seconds of the recording a second."""
        return self._rate

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self._paused

    def position(self) -> int:
        """The moment that it is now, nanoseconds of the recording's time."""
        if self._paused:
            return self._anchor_ns
        elapsed = self._now() - self._anchor_s
        return self._anchor_ns + round(elapsed * self._rate * NANOSECONDS)

    def due(self, moment_ns: int) -> float:
        """When a moment is due, or was, by the clock of ``now``; infinity while it is paused."""
        return float("inf") if self._paused else self.planned(moment_ns)

    def planned(self, moment_ns: int) -> float:
        """When a moment is due, or was; while it is paused, as if it went on at the anchor."""
        return self._anchor_s + (moment_ns - self._anchor_ns) / NANOSECONDS / self._rate

    def pause(self, next_ns: int) -> None:
        """Stand still, before the moment ``next_ns``, which has not been played yet.

        What was late by then is not hurried after: it is due when the timeline goes on.
        """
        self._set_anchor(next_ns)
        self._paused = True

    def resume(self) -> None:
        """Go on where it stands; nothing where it runs."""
        if self._paused:
            self._anchor_s = self._now()
            self._paused = False

    def set_rate(self, rate: float, next_ns: int) -> None:
        """Go on at another rate, likewise before ``next_ns``."""
        self._set_anchor(next_ns)
        self._rate = rate

    def step_to(self, moment_ns: int) -> None:
        """Stand at a later moment, paused."""
        self._anchor_ns, self._anchor_s = moment_ns, self._now()
        self._paused = True

    def begin_again(self, end_ns: int, start_ns: int) -> None:
        """Jump back to ``start_ns`` at the time at which ``end_ns`` is due; still paused if so."""
        self._anchor_s = self.planned(end_ns)
        self._anchor_ns = start_ns

    def _set_anchor(self, next_ns: int) -> None:
        self._anchor_ns = min(self.position(), next_ns)
        self._anchor_s = self._now()
