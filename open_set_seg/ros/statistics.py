"""Counters and time windows of the running node: pure bookkeeping, no ROS."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping

_WINDOW = 200  # frames behind the percentiles
_RATE_WINDOW_S = 5.0


def percentile(ordered: list[float], share: float) -> float:
    """Value at ``share`` in [0, 1] of a sorted list that is not empty (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class TimeWindow:
    """The newest durations of one stage, in seconds."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=_WINDOW)

    def add(self, seconds: float) -> None:
        """Take one more duration."""
        self._values.append(seconds)

    def percentiles(self) -> tuple[float, float] | None:
        """p50 and p95 in seconds; None before the first duration."""
        ordered = sorted(self._values)
        return (percentile(ordered, 0.5), percentile(ordered, 0.95)) if ordered else None


class RateWindow:
    """Arrival times of the last seconds: the rate that a topic (or the node) really has."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=1000)
        self.count = 0
        self.last: float | None = None

    def add(self, now: float) -> None:
        """Note one event."""
        self._times.append(now)
        self.count += 1
        self.last = now

    def rate(self, now: float) -> float:
        """Events per second over the last 5 s, 0 when there was none."""
        recent = [t for t in tuple(self._times) if now - t <= _RATE_WINDOW_S]
        if len(recent) < 2:
            return len(recent) / _RATE_WINDOW_S
        return (len(recent) - 1) / max(recent[-1] - recent[0], 1e-6)


class ProblemLog:
    """Counts problems by code, and lets each code through to the log once a period.

    Args:
        write: takes severity (``warning`` or ``error``) and text.
        period_s: time between two log lines of the same code.
    """

    def __init__(self, write: Callable[[str, str], None], period_s: float = 60.0) -> None:
        self.counts: Counter[str] = Counter()
        self._write = write
        self._period_s = period_s
        self._logged: dict[str, float] = {}
        self._lock = threading.Lock()

    def report(self, code: str, text: str, severity: str, now: float) -> None:
        """Count the problem and log it unless its code was logged within the period."""
        with self._lock:
            self.counts[code] += 1
            last = self._logged.get(code)
            if last is not None and now - last < self._period_s:
                return
            self._logged[code] = now
            count = self.counts[code]
        again = f" ({count} times so far)" if count > 1 else ""
        self._write(severity, f"{code}: {text}{again}")

    def snapshot(self) -> dict[str, int]:
        """Counts by code."""
        with self._lock:
            return dict(self.counts)


class FrameStatistics:
    """What happened to frames between their arrival and their publication."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.published = RateWindow()
        self.stages: dict[str, TimeWindow] = {}
        self._lock = threading.Lock()

    def count(self, name: str) -> None:
        """Count one event (``processed``, ``stale``, ``undecodable``, ``not_examined``, ...)."""
        with self._lock:
            self.counts[name] += 1

    def finish_frame(self, examined: bool, seconds: Mapping[str, float], now: float) -> None:
        """A frame was published: its durations by stage, and whether it was examined."""
        self.published.add(now)
        self.count("processed")
        if not examined:
            self.count("not_examined")
        self._add_times(seconds)

    def _add_times(self, seconds: Mapping[str, float]) -> None:
        with self._lock:
            for stage, duration in seconds.items():
                self.stages.setdefault(stage, TimeWindow()).add(duration)

    def times(self) -> dict[str, tuple[float, float]]:
        """p50 and p95 in seconds by stage."""
        with self._lock:
            found = {stage: window.percentiles() for stage, window in self.stages.items()}
        return {stage: pair for stage, pair in found.items() if pair is not None}

    def snapshot(self) -> dict[str, int]:
        """Counts by name."""
        with self._lock:
            return dict(self.counts)
