"""Is the robot still where its detector was calibrated? A sequential test with a bounded error.

Every statistic of a frame is ranked among those of the calibration frames and of the frames judged
since; bets on these ranks (``betting``) gain money only when the new frames are not exchangeable
with the old ones. Ranking among the growing past, rather than the calibration frames alone, is what
makes the bound hold for a stream without end: a fixed sample differs a little from what it was
drawn from, and with endless time some bettor's mean wealth grows without bound on that.

What the bound needs is that judged frames could have come in any order with the calibration's.
Thinning takes out what neighbouring frames share, not what a whole drive shares: of three clean
simulated drives of 40 frames, each through one street in one light, against 80 stills of other
streets, two raised an alarm with a frame every 0.5 s and two with one every 5 s
(``benchmarks/drift.py``). Calibrate on the places and the lights that the robot will stay in.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Prediction
from open_set_seg.monitoring.betting import Evidence, log_bets
from open_set_seg.monitoring.drift_report import (
    Direction,
    DriftConfig,
    DriftedStatistic,
    DriftReport,
)
from open_set_seg.monitoring.states import State
from open_set_seg.monitoring.summaries import (
    STATISTICS,
    DriftReference,
    ScoreSummary,
    summarise,
)

# Recovery watches a running sum of log payments against the calibration frames alone, between 0
# and the ceiling; below the release level the last frames look as the calibration's (ours).
CEILING, RELEASE = 3 * math.log(10), math.log(10)


class DriftMonitor:
    """Watches a stream of frames.

    With d statistics, each with its own martingale, an alarm is raised when one of them reaches
    d / alpha: whatever the statistics have to do with each other, the probability that this ever
    happens is at most alpha, if the judged frames are exchangeable with the calibration frames.

    Args:
        reference: of the calibration frames.
        config: bounds and times.
    """

    def __init__(self, reference: DriftReference, config: DriftConfig | None = None) -> None:
        self._reference, self._config = reference, config or DriftConfig()
        self._calibration = list(np.sort(_ordered(reference.values), axis=0).T.copy())
        present = [column[np.isfinite(column)] for column in reference.values.T]
        self._usual = [
            tuple(np.quantile(column, [0.05, 0.95]).tolist()) if column.size else (math.nan,) * 2
            for column in present
        ]
        self._evidence = Evidence(len(STATISTICS))
        self.reset()

    def reset(self) -> None:
        """Forget all frames: after a jump in time, or in a new place. The bounds begin anew."""
        self._random = np.random.default_rng(self._config.seed)
        self._state: State = "ok"
        self._frames, self._run = 0, 1
        self._last_ns: int | None = None
        self._drifted: tuple[tuple[int, Direction], ...] = ()
        self._values = np.full(len(STATISTICS), math.nan)
        self._begin_run()

    def update(self, prediction: Prediction, stamp_ns: int) -> DriftReport:
        """Judge a frame, unless the last judged one is too recent.

        A stamp before the last judged one restarts the waiting, nothing else.
        """
        if self._last_ns is not None:
            waited = stamp_ns - self._last_ns
            if 0 <= waited < self._config.interval_s * 1e9:
                return self._report(judged=False)
        self._last_ns = stamp_ns
        return self.judge(summarise(prediction, self._reference.threshold))

    def judge(self, summary: ScoreSummary) -> DriftReport:
        """Judge a frame by its summary, whenever it was."""
        self._frames += 1
        self._values = summary.values()
        values = _ordered(self._values)
        self._watch_recovery(values)
        if self._state == "alarm":
            # What was judged to be another domain does not become part of the past.
            self._recover()
            return self._report(judged=True)
        self._evidence.add(self._bet(values))
        self._decide()
        return self._report(judged=True)

    @property
    def _log_limit(self) -> float:
        spent = self._config.false_alarm_probability / (self._run * (self._run + 1))
        return math.log(len(STATISTICS) / spent)

    def _begin_run(self) -> None:
        self._past = self._calibration
        self._evidence.restart()
        self._unlike = np.zeros(len(STATISTICS))
        self._quiet = 0

    def _bet(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rank the frame among its past, which it then belongs to."""
        payments = log_bets(self._rank(self._past, values), self._past[0].size + 1)
        self._past = [
            np.insert(past, np.searchsorted(past, value), value)
            for past, value in zip(self._past, values, strict=True)
        ]
        return payments

    def _rank(
        self, past: list[NDArray[np.float64]], values: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Numbers of smaller values, equal ones ordered by lot."""
        pairs = list(zip(past, values, strict=True))
        smaller = [np.searchsorted(column, value, "left") for column, value in pairs]
        not_larger = [np.searchsorted(column, value, "right") for column, value in pairs]
        return self._random.integers(smaller, not_larger, endpoint=True)

    def _watch_recovery(self, values: NDArray[np.float64]) -> None:
        ranks = self._rank(self._calibration, values)
        gains = np.log(np.exp(log_bets(ranks, self._calibration[0].size + 1)).mean(axis=1))
        self._unlike = np.clip(self._unlike + gains, 0.0, CEILING)
        self._quiet = self._quiet + 1 if (self._unlike < RELEASE).all() else 0

    def _decide(self) -> None:
        ever, recent = self._evidence.log_ever, self._evidence.log_recent
        warn_level = math.log(2.0 * len(STATISTICS) * self._config.warn_run_length)
        if (ever >= self._log_limit).any():
            self._enter("alarm", ever >= self._log_limit, ever)
        elif self._state == "ok" and (recent >= warn_level).any():
            self._enter("warn", recent >= warn_level, recent)
        elif self._state == "warn":
            self._recover()
        if self._state != "alarm" and self._evidence.steps >= self._config.max_history:
            self._run += 1
            self._begin_run()

    def _enter(self, state: State, which: NDArray[np.bool_], strength: NDArray[np.float64]) -> None:
        self._state, self._quiet = state, 0
        order = [index for index in np.argsort(-strength) if which[index]]
        self._drifted = tuple((int(index), self._direction(int(index))) for index in order)

    def _direction(self, index: int) -> Direction:
        """Towards which side the last frame lies in the calibration; NaN counts as above all."""
        value = _ordered(self._values[index : index + 1])[0]
        column = self._calibration[index]
        below = np.searchsorted(column, value, "left") + np.searchsorted(column, value, "right")
        return "higher" if below >= column.size else "lower"

    def _recover(self) -> None:
        if self._quiet < self._config.recovery_frames:
            return
        if self._state == "alarm":
            self._run += 1
            self._begin_run()
        self._evidence.restart_recent()
        self._state, self._drifted = "ok", ()

    def _report(self, judged: bool) -> DriftReport:
        evidence = self._evidence.log_ever / math.log(10)
        return DriftReport(
            state=self._state,
            judged=judged,
            frames=self._frames,
            log10_evidence=dict(zip(STATISTICS, evidence.tolist(), strict=True)),
            log10_limit=self._log_limit / math.log(10),
            drifted=tuple(self._describe(*each) for each in self._drifted),
        )

    def _describe(self, index: int, direction: Direction) -> DriftedStatistic:
        low, high = self._usual[index]
        value = float(self._values[index])
        return DriftedStatistic(STATISTICS[index], direction, value, (low, high))


def _ordered(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values with NaN above all others: what cannot be computed is a kind of frame of its own."""
    return np.where(np.isnan(values), np.inf, values)
