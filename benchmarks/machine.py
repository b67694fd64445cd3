"""What a measurement was made on and of: stored beside its numbers."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from open_set_seg.demo.tables import describe_software

ROOT = Path(__file__).resolve().parent.parent


def describe_machine() -> dict[str, Any]:
    """Processor, cores, versions, and the commit of the source tree."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "versions": describe_software(),
    }


def save_result(path: Path, result: dict[str, Any]) -> None:
    """Write a result with the machine that it was measured on, and print it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**result, "machine": describe_machine()}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    print(f"written to {path}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()
