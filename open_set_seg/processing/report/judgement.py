"""What the recording's ground truth says of its results, as tables with their rules in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from open_set_seg.metrics import PROTOCOLS
from open_set_seg.report import Block, Row, Table, Text
from open_set_seg.report.numbers import counted, decimal, percent, thousands

_PIXELS = (
    "All pixels of all labelled frames form one sample, every distinct score is a threshold, AP is "
    "the step sum of precision over recall, and FPR95 is read at {point}. Pixels that nobody "
    "labelled (255) are left out everywhere. Frames of a drive resemble each other: do not take "
    "these for figures of a benchmark."
)
_POINTS = {
    "at_least": "the first threshold from the top with TPR >= 95 %",
    "above_thinned": "the first threshold from the top with TPR > 95 %, of those that "
    "scikit-learn's roc_curve keeps",
}
_DISTANCE = (
    "Inlier and outlier pixels inside the band, a threshold a band; distance is the frame's own "
    "measured Z, and pixels without range are left out. FPR95: {point}."
)
_OBJECTS = (
    "An object is a connected region of unknown pixels, as far as the 10th percentile of its Z. It "
    "is found if a true obstacle covers at least {coverage} of it; an obstacle is true if at least "
    "{purity} of it lies on objects. Objects under {pixels} pixels are not asked for. False "
    "obstacles lie on labelled ground; those that lie mostly where nobody labelled are left out."
)


def truth_blocks(truth: Mapping[str, Any]) -> list[Block]:
    """Everything about the ground truth of a recording.

    Args:
        truth: content of ``ground_truth.json``.
    """
    if truth.get("problem"):
        return [Text(f"The labels could not be used: {truth['problem']}.", "warning")]
    blocks: list[Block] = [Text(_counted_frames(truth))]
    for reason, frames in sorted(truth["left_out"].items()):
        blocks.append(Text(f"Left out: {counted(frames, 'frame')} with {reason}.", "warning"))
    if not truth["frames"]:
        return blocks
    blocks += [_pixel_table(truth["pixels"]), _distance_table(truth["distance"])]
    if truth["objects"]:
        blocks.append(_object_table(truth["objects"], truth["frames"]))
    return blocks


def _counted_frames(truth: Mapping[str, Any]) -> str:
    labelled = f"{counted(truth['frames'], 'frame')} of {counted(truth['labels'], 'label image')}"
    text = f"Judged: {labelled} (codes: {truth['codes']})."
    if truth["unexamined"]:
        text += (
            f" {counted(truth['unexamined'], 'of them was', 'of them were')} not searched for "
            "obstacles; their objects count as missed."
        )
    return text


def _pixel_table(pixels: Mapping[str, Any]) -> Table:
    protocol = PROTOCOLS[pixels["protocol"]]
    header = ("AP", "FPR95", "AUROC", "best F1", "found", "marked wrongly", "unknown", "known")
    values = [percent(pixels[key]) for key in ("AP", "FPR95", "AUROC", "best_F1")]
    values += [percent(pixels["found_share"]), percent(pixels["false_share"], 3)]
    values += [f"{thousands(pixels[key])} px" for key in ("unknown_px", "known_px")]
    notes = (
        _PIXELS.format(point=_POINTS[protocol.pixels.operating_point]),
        "Found and marked wrongly: shares of the unknown and of the known pixels above the "
        "threshold in use.",
    )
    caption = f"Unknown pixels, counted as {protocol.title} does"
    return Table(("", *header), (Row(("all distances", *values)),), caption, notes)


def _distance_table(distance: Mapping[str, Any]) -> Table:
    protocol = PROTOCOLS[distance["protocol"]]
    rows = [
        Row(
            (
                _band(one["band"]),
                *(percent(one[key]) for key in ("AP", "FPR95", "AUROC")),
                thousands(one["outliers"]),
                thousands(one["inliers"]),
            )
        )
        for one in distance["bands"]
    ]
    note = _DISTANCE.format(point=_POINTS[protocol.pixels.operating_point])
    return Table(
        ("distance, m", "AP", "FPR95", "AUROC", "unknown px", "known px"),
        tuple(rows),
        f"Unknown pixels by distance, counted as in {protocol.title}",
        (note,),
    )


def _object_table(objects: Mapping[str, Any], frames: int) -> Table:
    listed, confirmed, rule = objects["listed"], objects["confirmed"], objects["rule"]
    pairs = zip(listed["bands"], confirmed["bands"], strict=True)
    rows = [Row((_band(one["band"]), *_object_cells(one, other))) for one, other in pairs]
    both = listed["overall"], confirmed["overall"]
    rows.append(Row((_band(both[0]["band"]), *_object_cells(*both)), "total"))
    false = [decimal(one["false_per_frame"]) for one in (listed, confirmed)]
    notes = (
        _OBJECTS.format(
            coverage=percent(rule["min_coverage"], 0),
            purity=percent(rule["min_purity"], 0),
            pixels=rule["min_visible_px"],
        ),
        f"False obstacles a frame at any distance, also unknown: {false[0]} of all that were "
        f"listed, {false[1]} of the confirmed ones, over {counted(frames, 'frame')}.",
    )
    header = (
        "distance, m", "objects", "found", "found, confirmed", "false/frame",
        "false/frame, confirmed", "error of distance",
    )  # fmt: skip
    return Table(header, tuple(rows), "Labelled objects found, object by frame", notes)


def _object_cells(listed: Mapping[str, Any], confirmed: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        thousands(listed["objects"]),
        *(_found(one) for one in (listed, confirmed)),
        *(decimal(one["false_per_frame"]) for one in (listed, confirmed)),
        percent(listed["median_relative_error"], 2),
    )


def _found(one: Mapping[str, Any]) -> str:
    if not one["objects"]:
        return percent(None)
    return f"{thousands(one['found'])} ({percent(one['recall'], 0)})"


def _band(band: Sequence[Any]) -> str:
    near, far = (float(end) for end in band)
    return f"{near:g}–{far:g}"
