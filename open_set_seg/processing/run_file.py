"""``run.json``: what a folder of results says of itself, and by which it is known to be whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RUN = "run.json"


class ProcessingError(ValueError):
    """Recordings cannot be processed as asked; the message says why."""


def read_run(folder: Path) -> dict[str, Any]:
    """What ``run.json`` of a processed recording says.

    Raises:
        ProcessingError: the folder holds no processed recording.
    """
    try:
        content = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProcessingError(f"{folder} holds no processed recording: {error}") from None
    if not isinstance(content, dict):
        raise ProcessingError(f"{folder / RUN}: expected an object")
    return content
