"""Finds stored results again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from training.presentation.runs import Result

RESULT_FILE = "result.json"


def collect_results(places: Sequence[Path]) -> list[tuple[Result, Path]]:
    """Every result at or under the given places, with the folder that it lies in.

    Args:
        places: files ``result.json``, folders that hold one, or folders of such folders.

    Raises:
        ValueError: nothing is found at a place, or a file that is no result of format 1.
    """
    found: dict[Path, Result] = {}
    for place in places:
        files = [place] if place.is_file() else sorted(place.rglob(RESULT_FILE))
        if not files:
            raise ValueError(f"there is no {RESULT_FILE} at or under {place}")
        for file in files:
            found.setdefault(file.resolve(), _read(file))
    return [(result, file.parent) for file, result in found.items()]


def _read(file: Path) -> Result:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as a result: {error}") from error
    if not isinstance(content, dict) or content.get("format") != 1:
        raise ValueError(f"{file} is no result of format 1")
    return content
