"""What is known after a frame."""

from __future__ import annotations

from dataclasses import dataclass

from open_set_seg.frame import FrameResult
from open_set_seg.monitoring import DriftReport, HealthReport, Visibility
from open_set_seg.tracking import TrackedObstacle


@dataclass(frozen=True, eq=False)
class Observation:
    """What is known after a frame.

    Attributes:
        result: of the detector, with the same obstacles in the same order; with tracking they are
            ``TrackedObstacle``. Its ``timings`` also have ``tracking``, ``visibility`` and
            ``monitoring``, which ``total`` includes.
        missing: confirmed obstacles that this frame did not show, where they are expected; empty
            without tracking. They are no part of what a calibration promises.
        visibility: what an empty list is worth in this frame.
        camera_health: frozen, too dark, too bright, blurred.
        drift: whether frames still look as the calibration's; None where no calibration says how
            those look.
    """

    result: FrameResult
    missing: tuple[TrackedObstacle, ...]
    visibility: Visibility
    camera_health: HealthReport
    drift: DriftReport | None
