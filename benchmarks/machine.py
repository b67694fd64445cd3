"""Results: stored with the machine that they were measured on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from open_set_seg.machine import describe_machine

ROOT = Path(__file__).resolve().parent.parent


def save_result(path: Path, result: dict[str, Any]) -> None:
    """Write a result with the machine that it was measured on, and print it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**result, "machine": describe_machine()}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    print(f"written to {path}")
