"""Reporter: once a second, the state of inputs, pairing and processing as diagnostics."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from rclpy.node import Node

from open_set_seg.ros.diagnostics import (
    ERROR,
    OK,
    WARN,
    InputReport,
    build_array,
    build_input_status,
    build_status,
    describe_silence,
    format_times,
    report_input,
)
from open_set_seg.ros.inputs import Input, Inputs
from open_set_seg.ros.loading import LoadedDetector
from open_set_seg.ros.settings import Settings
from open_set_seg.ros.statistics import FrameStatistics, ProblemLog
from open_set_seg.ros.watching import (
    build_frame_statuses,
    build_stale_statuses,
    build_threshold_status,
)
from open_set_seg.ros.worker import FrameSlot

if TYPE_CHECKING:
    from open_set_seg.observer import Observation, Observer


class Reporter:
    """Looks at everything, logs what is silent, and builds the DiagnosticArray."""

    def __init__(
        self,
        node: Node,
        inputs: Inputs,
        slot: FrameSlot[Any, Any],
        statistics: FrameStatistics,
        problems: ProblemLog,
    ) -> None:
        self._node, self._inputs, self._slot = node, inputs, slot
        self._statistics, self._problems = statistics, problems
        self._since = 0.0
        self._errors: dict[str, int] = {}
        self._frames: dict[str, int] = {}
        self._pairs: dict[str, int] = {}
        self._loaded: LoadedDetector | None = None
        self._observer: Observer | None = None
        self._seen: tuple[Observation, float] | None = None
        self.ticks = 0

    def describe_detector(self, loaded: LoadedDetector, observer: Observer) -> None:
        """Tell which detector is in use, and what watches it."""
        self._loaded, self._observer = loaded, observer

    def see(self, observation: Observation, now: float) -> None:
        """Take the newest frame's observation; from the inference thread."""
        self._seen = observation, now

    @property
    def threshold(self) -> float:
        """The one in use; NaN until there is a detector."""
        if self._loaded is None or self._observer is None:
            return math.nan
        chosen = self._observer.operating_point.threshold
        return self._loaded.threshold if chosen is None else chosen

    def begin(self) -> None:
        """The node listens from now on."""
        self._since = time.monotonic()

    def build(self, settings: Settings) -> Any:
        """The DiagnosticArray of this moment; silent inputs are logged too."""
        self.ticks += 1
        now = time.monotonic()
        reports = []
        for entry in self._inputs.all:
            report = self._look_at(entry, settings, now)
            reports.append(report)
            if report.missing:
                self._log_silence(entry, report, now)
        name = self._node.get_fully_qualified_name()
        statuses = [
            self._detector_status(name, reports, settings, now),
            *(build_input_status(name, report) for report in reports),
            self._pairing_status(name, settings, now),
            self._problem_status(name),
            *self._watching_statuses(name, settings, now),
        ]
        return build_array(self._node.get_clock().now().to_msg(), statuses)

    def _look_at(self, entry: Input, settings: Settings, now: float) -> InputReport:
        report = report_input(
            self._node,
            entry,
            self._since,
            now,
            settings.input_timeout_s,
            self._errors.get(entry.name, 0),
        )
        self._errors[entry.name] = sum(report.errors.values())
        return report

    def _log_silence(self, entry: Input, report: InputReport, now: float) -> None:
        expected = f"{entry.kind.__module__.split('.')[0]}/msg/{entry.kind.__name__}"
        text = describe_silence(report, expected)
        self._problems.report(f"{entry.name}.silent", text, "warning", now)

    def _log_mismatch(self, settings: Settings, now: float) -> None:
        assert self._inputs.range is not None
        name, miss = self._inputs.range.name, self._slot.nearest_miss_ns
        seen = "" if miss is None else f"; the nearest stamp was {miss / 1e6:+.1f} ms away"
        text = (
            f"{name} messages arrive, but none with the stamp of an image (within "
            f"{settings.pairing.tolerance_ns / 1e6:g} ms, sync_tolerance_s) in time (within "
            f"{settings.pairing.wait_s:g} s, disparity_wait_s){seen}"
        )
        self._problems.report("pairing.mismatch", text, "warning", now)

    def _detector_status(
        self, name: str, reports: list[InputReport], settings: Settings, now: float
    ) -> Any:
        counts = self._statistics.snapshot()
        new = {key: count - self._frames.get(key, 0) for key, count in counts.items()}
        self._frames = counts
        rate = self._statistics.published.rate(now)
        missing = [report.name for report in reports if report.missing]
        level, text = OK, f"{rate:.1f} frames/s"
        if "image" in missing:
            level, text = ERROR, "no images arrive"
        elif new.get("failed") or new.get("undecodable"):
            level, text = ERROR, "frames could not be processed"
        elif missing:
            level, text = WARN, f"{text}; missing: {', '.join(missing)}"
        elif new.get("not_examined"):
            level, text = WARN, f"{text}; frames without visible road are not examined"
        loaded = self._loaded
        values = {
            "device": loaded.describe_device() if loaded else "",
            "model": loaded.model if loaded else "",
            "model_hash": loaded.model_hash if loaded else "",
            "score": loaded.score if loaded else "",
            "threshold": self.threshold,
            "rate_hz": f"{rate:.2f}",
            "missing": ", ".join(missing),
            **{key: counts.get(key, 0) for key in _FRAME_COUNTS},
            **format_times(self._statistics.times()),
        }
        return build_status(f"{name}: detector", level, text, values)

    def _watching_statuses(self, name: str, settings: Settings, now: float) -> list[Any]:
        """The newest frame's, unless it is so old that it says nothing of the present."""
        seen, age_s = None, None
        if self._seen is not None:
            age_s = now - self._seen[1]
            seen = self._seen[0] if age_s <= settings.input_timeout_s else None
        statuses = []
        if self._observer is not None:
            point, drift = self._observer.operating_point, seen.drift if seen else None
            statuses.append(build_threshold_status(name, point, self.threshold, drift))
        if seen is None:
            return [*statuses, *build_stale_statuses(name, age_s)]
        return [*statuses, *build_frame_statuses(name, seen)]

    def _pairing_status(self, name: str, settings: Settings, now: float) -> Any:
        counts = self._slot.snapshot()
        text = f"{counts['dropped']} frames dropped for newer ones"
        level, source = OK, self._inputs.range
        new = {key: count - self._pairs.get(key, 0) for key, count in counts.items()}
        self._pairs = counts
        if source is not None and self._slot.range_absent():
            level, text = WARN, f"no {source.name}: distances are unknown"
        elif new.get("alone") and not new.get("exact") and not new.get("near"):
            level, text = WARN, "images and range messages do not match: distances are unknown"
            self._log_mismatch(settings, now)
        values = {key: counts.get(key, 0) for key in _PAIRING_COUNTS}
        return build_status(f"{name}: pairing", level, text, values)

    def _problem_status(self, name: str) -> Any:
        counts = self._problems.snapshot()
        text = "none" if not counts else f"{len(counts)} kinds of problem since the start"
        return build_status(f"{name}: problems", OK, text, counts)


_FRAME_COUNTS = ("processed", "not_examined", "undecodable", "failed", "stale")
_PAIRING_COUNTS = (
    "dropped", "exact", "near", "alone", "overtaken", "passed", "evicted", "unused_ranges", "jumps",
)  # fmt: skip
