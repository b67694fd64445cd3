"""The report of one processed recording."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from open_set_seg.files import write_whole
from open_set_seg.processing.album import MOST_THUMBNAILS, Thumbnail, load_thumbnails
from open_set_seg.processing.json_form import to_json
from open_set_seg.processing.records import read_records
from open_set_seg.processing.report import charts, summary, tables
from open_set_seg.processing.report.digest import Digest, digest_records
from open_set_seg.processing.report.events import Event, choose_events, find_events
from open_set_seg.processing.report.judgement import truth_blocks
from open_set_seg.processing.run_file import read_run
from open_set_seg.processing.truth_counts import load_truth
from open_set_seg.report import (
    Block,
    Card,
    Cards,
    Page,
    Picture,
    Section,
    Text,
    render_page,
)
from open_set_seg.report.numbers import counted, decimal

REPORT, SUMMARY = "report.html", "summary.json"
_FOOTER = "Written by open_set_seg. This page loads nothing and runs no script."


@dataclass(frozen=True, eq=False)
class Material:
    """What a report is made of.

    Attributes:
        digest: of all frames.
        run: content of ``run.json``.
        thumbnails: by id of the obstacle.
        truth: content of ``ground_truth.json``; None without.
        name: of the recording.
    """

    digest: Digest
    run: Mapping[str, Any]
    thumbnails: Mapping[int, Thumbnail] = field(default_factory=dict)
    truth: Mapping[str, Any] | None = None
    name: str = ""


def write_report(folder: Path) -> Path:
    """Make ``report.html`` and ``summary.json`` of a processed recording's folder.

    Returns:
        Path of the page.

    Raises:
        ModuleNotFoundError: matplotlib or Jinja2 is missing.
        ProcessingError, RecordError, AlbumError: the folder is not what processing made.
    """
    run = read_run(folder)
    name = Path(str(run.get("source") or folder.resolve())).name
    digest = digest_records(read_records(folder))
    material = Material(digest, run, load_thumbnails(folder), load_truth(folder), name)
    text = render_page(report_page(material))
    path = folder / REPORT
    write_whole(path, text.encode("utf-8", errors="replace"))
    content = json.dumps(to_json(summarise_material(material)), indent=1, allow_nan=False)
    write_whole(folder / SUMMARY, content + "\n")
    return path


def report_page(material: Material) -> Page:
    """The report as data."""
    digest, run, truth = material.digest, material.run, material.truth
    events = find_events(digest)
    shown = choose_events([e for e in events if e.id in material.thumbnails], MOST_THUMBNAILS)
    anchors = {event.id: f"obstacle-{event.id}" for event in shown}
    parts: list[tuple[str, Sequence[Block | None]]] = [
        ("Summary", summary.sentences(digest, events, run)),
        (
            "Obstacles",
            [
                charts.obstacle_timeline(digest, events, anchors),
                *_cards(material, shown),
                tables.event_table(digest, events, anchors),
            ],
        ),
        ("Ground truth", truth_blocks(truth) if truth else []),
        ("What could be seen", [*charts.visibility_strips(digest), tables.band_table(digest)]),
        ("Scores", [charts.score_timeline(digest), charts.score_histogram(digest)]),
        ("Time", [tables.stage_table(digest)]),
        ("How it was made", [tables.run_table(run), tables.settings_fold(run)]),
    ]
    sections = tuple(
        Section(title, tuple(kept))
        for title, blocks in parts
        if (kept := [block for block in blocks if block is not None])
    )
    return Page(
        title=material.name or "Recording",
        subtitle="Open-set obstacles of a recording",
        facts=summary.facts(digest, events, run, truth),
        sections=sections,
        footer=_FOOTER,
    )


def summarise_material(material: Material) -> dict[str, Any]:
    """The figures that an index over many recordings shows."""
    digest, events = material.digest, find_events(material.digest)
    pixels = (material.truth or {}).get("pixels") or {}
    distances = [event.distance for event in events if not math.isnan(event.distance)]
    return {
        "name": material.name,
        "frames": digest.frames,
        "seconds": digest.seconds,
        "confirmed": len(events),
        "nearest": min(distances, default=math.nan),
        "examined_share": float(np.mean(digest.examined)) if digest.frames else math.nan,
        "range_share": float(np.mean(digest.has_range)) if digest.frames else math.nan,
        "blind_share": summary.blind_share(digest),
        "warnings": len(summary.warnings(digest, material.run)),
        # None: nobody watched.
        "drifted": sum(n for state, n in digest.drift.items() if state != "ok")
        if digest.drift
        else None,
        "AP": pixels.get("AP"),
        "FPR95": pixels.get("FPR95"),
        "threshold": material.run.get("threshold"),
        "model_sha256": material.run.get("model_sha256"),
    }


def _cards(material: Material, events: Sequence[Event]) -> list[Block]:
    if not events:
        return []
    cards = tuple(_card(material, event) for event in events)
    text = (
        "Each at its best moment: the image with the obstacle outlined (others in white), and the "
        "scores there, from dark violet (0) to yellow (1)."
    )
    return [Text(text), Cards(cards)]


def _card(material: Material, event: Event) -> Card:
    digest, thumbnail = material.digest, material.thumbnails[event.id]
    moment = thumbnail.moment
    distance = "unknown distance" if math.isnan(moment.distance) else f"{moment.distance:.1f} m"
    what = f"obstacle {event.id} in frame {moment.frame}, {distance}"
    return Card(
        f"obstacle-{event.id}",
        f"Obstacle {event.id}" + ("" if event.kind == "unknown" else f" ({event.kind})"),
        (
            Picture(thumbnail.picture, what, f"Image around {what}"),
            Picture(thumbnail.heatmap, f"scores of {what}", f"Anomaly scores around {what}"),
        ),
        (
            ("nearest", summary.distance_text(event.distance, event.nearest.sigma)),
            ("pictured", f"{distance}, frame {moment.frame}"),
            ("seen", f"{tables.span_text(digest, event)}, {counted(event.sightings, 'frame')}"),
            ("width × height", tables.size_text(event)),
            (
                "score",
                f"mean up to {decimal(event.highest_score)}, peak {decimal(event.peak_score)}",
            ),
            ("looks most like", tables.likeness_text(event)),
        ),
    )
