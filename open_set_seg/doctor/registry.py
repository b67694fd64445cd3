"""The checks of the machine and of the model; ``inputs`` has those of what the detector is fed.

A new check is a function and a line in one of these tables.
"""

from __future__ import annotations

from open_set_seg.doctor.acceleration import check_cuda, check_engines, check_head, check_torch
from open_set_seg.doctor.findings import Check, Finding, run_checks
from open_set_seg.doctor.middleware import (
    check_discovery,
    check_network_buffers,
    check_profile,
    check_rmw,
    check_ros,
    check_shared_memory,
)
from open_set_seg.doctor.model import (
    ModelFiles,
    check_calibration,
    check_certificate,
    check_checkpoint,
)
from open_set_seg.doctor.packages import (
    check_cv_bridge,
    check_interpreter,
    check_numpy,
    check_opencv,
)
from open_set_seg.doctor.surroundings import Surroundings

ENVIRONMENT_CHECKS: dict[str, Check[Surroundings]] = {
    "interpreter": check_interpreter,
    "numpy": check_numpy,
    "opencv": check_opencv,
    "cv_bridge": check_cv_bridge,
    "torch": check_torch,
    "cuda": check_cuda,
    "engines": check_engines,
    "head": check_head,
    "ros": check_ros,
    "rmw": check_rmw,
    "profile": check_profile,
    "discovery": check_discovery,
    "shared memory": check_shared_memory,
    "network": check_network_buffers,
}
MODEL_CHECKS: dict[str, Check[ModelFiles]] = {
    "checkpoint": check_checkpoint,
    "calibration": check_calibration,
    "certificate": check_certificate,
}


def examine_environment(here: Surroundings | None = None) -> list[Finding]:
    """Findings about this machine, its packages and its middleware."""
    return run_checks(ENVIRONMENT_CHECKS, here or Surroundings.here())


def examine_model(files: ModelFiles) -> list[Finding]:
    """Findings about a model file and what lies beside it."""
    return run_checks(MODEL_CHECKS, files)
