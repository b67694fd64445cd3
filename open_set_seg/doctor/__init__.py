"""Is everything there that the detector needs, and is what it is fed what it should be?

Checks look at the machine, at the model file, and at a recording or a live system, and say what to
do about what they find. Nothing here imports ROS; ``open_set_seg.ros.examination`` takes the
snapshot of a live system that the same checks judge. ``inputs`` and ``recording`` need OpenCV and
the rosbags library, so that they are not imported here.
"""

from open_set_seg.doctor.findings import (
    SEVERITIES,
    Finding,
    Severity,
    attempt,
    error,
    findings_to_json,
    sort_findings,
)
from open_set_seg.doctor.model import ModelFiles
from open_set_seg.doctor.registry import examine_environment, examine_model
from open_set_seg.doctor.surroundings import Surroundings

__all__ = [
    "SEVERITIES",
    "Finding",
    "ModelFiles",
    "Severity",
    "Surroundings",
    "attempt",
    "error",
    "examine_environment",
    "examine_model",
    "findings_to_json",
    "sort_findings",
]
