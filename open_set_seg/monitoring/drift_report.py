"""What a drift monitor is told, and what it says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from open_set_seg.monitoring.states import State

Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class DriftConfig:
    """Args:
        false_alarm_probability: alpha; the bound on ever raising an alarm without drift.
        warn_run_length: judged frames from a restart to a false warning: at least so many in the
            mean, and with at most probability N / (2 x this) one within N frames.
        interval_s: a frame is judged only when this much time has passed since the last one that
            was. Frames of a video repeat each other, and no bound survives that: choose the time
            after which the robot sees another place, and take calibration frames as far apart.
        max_history: judged frames after which ranking begins anew from the calibration frames:
            memory is bounded. The k-th such run may spend alpha / (k (k + 1)), alpha in total.
        recovery_frames: judged frames in a row that must look as the calibration's before a warning
            or an alarm is taken back.
        seed: of the lots that break ties.

    Raises:
        ValueError: a number out of its range.
    """

    false_alarm_probability: float = 0.01
    warn_run_length: int = 10_000
    interval_s: float = 1.0
    max_history: int = 20_000
    recovery_frames: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm_probability < 1:
            raise ValueError(
                f"false_alarm_probability must be in (0, 1), not {self.false_alarm_probability}"
            )
        for name in ("warn_run_length", "max_history", "recovery_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.interval_s < math.inf:
            raise ValueError(f"interval_s must not be {self.interval_s}")


@dataclass(frozen=True)
class DriftedStatistic:
    """A statistic that left its calibration.

    Attributes:
        name: in ``STATISTICS``; direction: where it went.
        value: of the last judged frame.
        calibrated: 5 % and 95 % quantile of the calibration frames.
    """

    name: str
    direction: Direction
    value: float
    calibrated: tuple[float, float]


@dataclass(frozen=True)
class DriftReport:
    """What is known after a frame.

    Attributes:
        state: ``warn``: frames look unlike the calibration's, and such a warning is false at most
            once in ``warn_run_length`` frames; ``alarm``: likewise, by the bound that holds for
            ever. In the first frames after a reset the alarm's limit is the lower one, and no
            warning comes before it.
        judged: whether this frame was; frames: how many were since the last reset.
        log10_evidence: statistic -> log10 of its martingale; an alarm is raised at
            ``log10_limit``.
        drifted: what caused the state, the strongest first; empty when it is ``ok``.
    """

    state: State
    judged: bool
    frames: int
    log10_evidence: Mapping[str, float]
    log10_limit: float
    drifted: tuple[DriftedStatistic, ...]

    @property
    def message(self) -> str:
        """One sentence for the diagnostics."""
        if self.state == "ok":
            return "scores are as in calibration"
        reasons = "; ".join(
            f"{each.name} is {each.direction} ({each.value:.3g}; calibration "
            f"{each.calibrated[0]:.3g} to {each.calibrated[1]:.3g})"
            for each in self.drifted
        )
        return f"outside the domain it was calibrated in: {reasons}"
