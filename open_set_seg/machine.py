"""What a number was measured on and of: processor, versions and commit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import open_set_seg

PACKAGES = (
    "torch", "numpy", "opencv-python-headless", "openvino", "onnxruntime", "triton", "rosbags",
    "ros-rclpy",
)  # fmt: skip
TREE = Path(__file__).resolve().parent.parent


def describe_machine() -> dict[str, Any]:
    """Processor, cores, load, versions, and the commit where the package lies in its git tree."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        **_describe_tree(),
        "versions": describe_software(),
    }


def describe_software() -> dict[str, str]:
    """Versions of what the numbers depend on, and the system."""
    found = {"open_set_seg": open_set_seg.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {
        **found,
        "platform": f"{platform.system()} {platform.machine()}",
        "byte_order": sys.byteorder,
    }


def _describe_tree() -> dict[str, Any]:
    # An installed package may lie inside somebody else's repository: only a tree of ours counts.
    if _git("rev-parse", "--show-toplevel") != str(TREE):
        return {"commit": None, "uncommitted_changes": None}
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": _git("rev-parse", "HEAD"), "uncommitted_changes": bool(changes)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=TREE, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()
