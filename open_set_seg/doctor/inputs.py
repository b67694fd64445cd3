"""The checks of what the detector is fed, from a recording or live."""

from __future__ import annotations

from open_set_seg.doctor.connections import (
    check_diagnostics,
    check_qos,
    check_reading,
    check_sizes,
    check_topics,
)
from open_set_seg.doctor.findings import Check, Finding, run_checks
from open_set_seg.doctor.pictures import check_camera, check_images
from open_set_seg.doctor.ranges import check_range
from open_set_seg.doctor.snapshot import Snapshot
from open_set_seg.doctor.timing import check_pairing, check_rates, check_stamps

INPUT_CHECKS: dict[str, Check[Snapshot]] = {
    "reading": check_reading,
    "topics": check_topics,
    "qos": check_qos,
    "stamps": check_stamps,
    "rates": check_rates,
    "pairing": check_pairing,
    "images": check_images,
    "camera": check_camera,
    "range": check_range,
    "message size": check_sizes,
    "diagnostics": check_diagnostics,
}


def examine_inputs(snapshot: Snapshot) -> list[Finding]:
    """Findings about a recording or a live system."""
    return run_checks(INPUT_CHECKS, snapshot)
