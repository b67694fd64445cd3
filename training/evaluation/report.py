"""The files beside ``result.json`` that people look at: pictures, a table and a page."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from open_set_seg.files import write_whole
from training.datasets.frames import Dataset
from training.datasets.loading import CorruptFrame, load_ahead
from training.presentation.page import write_page
from training.presentation.pictures import frame_picture
from training.presentation.tables import markdown_table
from training.sources import EvaluationError, Source

TABLE_FILE = "table.md"
PAGE_FILE = "report.html"


def write_report(result: dict[str, Any], folder: Path) -> None:
    """Table and page of one result, in its folder."""
    write_comparison([result], [folder], folder)


def write_comparison(
    results: Sequence[dict[str, Any]], folders: Sequence[Path], output: Path
) -> None:
    """Table and page of several results in ``output``; no page where its libraries are missing."""
    write_whole(output / TABLE_FILE, markdown_table(results))
    if all(map(importlib.util.find_spec, ("matplotlib", "jinja2"))):
        write_page(output / PAGE_FILE, results, folders)


def draw_frames(
    source: Source,
    score: str,
    content: Mapping[str, Any],
    dataset: Dataset,
    folder: Path,
    number: int,
    workers: int,
) -> list[dict[str, Any]]:
    """Pictures of the frames with the lowest and the highest AP, as a result lists them.

    Args:
        score: its name; content: what was measured with it.
        folder: of the result; the files go to ``pictures`` in it.
        number: of frames at either end; none is drawn twice.
        workers: see ``load_ahead``.
    """
    known = [row for row in content["frames"] if row["AP"] is not None]
    ordered = sorted(known, key=lambda row: (row["AP"], row["id"]))
    worst = ordered[: min(number, len(ordered) // 2)]
    best = ordered[::-1][: min(number, len(ordered) - len(worst))]
    curve: Mapping[str, Any] = next(iter(content["curves"].values()), {"thresholds": []})
    finite = [value for value in curve["thresholds"] if math.isfinite(value)]
    if not finite or min(finite) == max(finite):
        return []
    wanted = [("worst", *one) for one in enumerate(worst, 1)]
    wanted += [("best", *one) for one in enumerate(best, 1)]
    places = {name: index for index, name in enumerate(dataset.ids)}
    frames = load_ahead(dataset, [places[row["id"]] for _, _, row in wanted], workers)
    (folder / "pictures").mkdir(exist_ok=True)
    pictures = []
    for (rank, place, row), (_, frame) in zip(wanted, frames, strict=True):
        if isinstance(frame, CorruptFrame):
            raise EvaluationError(frame.reason)
        scores = source.answer(frame).scores[score]
        name = f"pictures/{rank}-{place}.jpg"
        picture = frame_picture(frame, scores, (min(finite), max(finite)))
        cv2.imwrite(str(folder / name), picture[..., ::-1])
        entry = {"file": name, "id": row["id"], "score": score, "rank": rank}
        pictures.append({**entry, "AP": row["AP"]})
    return pictures
