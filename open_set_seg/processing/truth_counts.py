"""How right the frames of a recording were, by its ground truth; all counting is ``metrics``'."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.components import label_components
from open_set_seg.files import write_whole
from open_set_seg.frame import FrameResult, LabelImage, Mask, Obstacle
from open_set_seg.metrics import (
    PROTOCOLS,
    DistanceCounts,
    DistanceRule,
    MatchRule,
    ObjectCounts,
    ScoreCounts,
    TrueObject,
    match_objects,
)
from open_set_seg.processing.ground_truth import IGNORED, KNOWN, UNKNOWN
from open_set_seg.processing.json_form import to_json
from open_set_seg.tracking import TrackedObstacle

TRUTH_FILE = "ground_truth.json"
FORMAT_VERSION = 1
PIXEL_PROTOCOL = "fishyscapes"
DISTANCE_PROTOCOL = "lost_and_found_distance_encoded"
# Smaller objects are a few pixels of blur: neither asked for nor held against a detection.
MATCH = MatchRule(min_visible_px=20)
# An obstacle of which more than this lies where nothing is labelled cannot be judged.
MOST_IGNORED = 0.5
MOST_OBJECTS = 256  # of a frame, the largest; each takes a mask
NEAR_FACE = 10.0  # percentile of Z, as for detected obstacles
MEMORY = 96 * 2**20  # bytes for each of the two kinds of counts; the rest goes to a file


class TruthCounts:
    """Counts of all frames of a recording that have labels.

    Args:
        name: of the labels' codes; count: of the labels in the recording.
        problem: why none of them can be used; empty where they can.
    """

    def __init__(self, name: str = "", count: int = 0, problem: str = "") -> None:
        self._name, self._count, self._problem = name, count, problem
        self._pixels = ScoreCounts(MEMORY)
        rule = PROTOCOLS[DISTANCE_PROTOCOL].distance or DistanceRule("encoded")
        self._bands = DistanceCounts(rule, MEMORY)
        self._objects = {"listed": ObjectCounts(MATCH), "confirmed": ObjectCounts(MATCH)}
        self._above = np.zeros(2, np.int64)  # known and unknown pixels above the threshold
        self._frames, self._unexamined = 0, 0
        self._left_out: Counter[str] = Counter()

    def add(self, number: int, result: FrameResult, labels: LabelImage) -> dict[str, float] | None:
        """Judge a frame.

        Args:
            number: of the frame, unique.
            result: of the frame, its obstacles tracked or not.
            labels: (H, W) ``KNOWN``, ``UNKNOWN`` or ``IGNORED``.

        Returns:
            For the frame's record: pixels by label, labelled objects asked for, how many of them
            were found (by a confirmed obstacle), and false obstacles (confirmed ones); None for
            labels of another size, which are left out.
        """
        anomaly = result.prediction.anomaly
        if labels.shape != anomaly.shape:
            self.leave_out("labels of another size than the image")
            return None
        self._frames += 1
        self._unexamined += not result.examined
        self._pixels.add(anomaly, labels)
        above = labels[anomaly > result.prediction.threshold]
        self._above += [np.count_nonzero(above == KNOWN), np.count_nonzero(above == UNKNOWN)]
        depth = None
        if result.range_map is not None:
            depth = result.range_map.depth
            self._bands.add(anomaly, labels, depth.astype(np.float64))
        objects, ignored = find_objects(labels, depth)
        found: dict[str, float] = {
            "known_px": float(np.count_nonzero(labels == KNOWN)),
            "unknown_px": float(np.count_nonzero(labels == UNKNOWN)),
        }
        for kind, counts in self._objects.items():
            listed = [one for one in result.obstacles if kind == "listed" or _is_confirmed(one)]
            judged = leave_out_ignored(listed, objects, ignored)
            counts.add(f"{number:09d}", judged, objects)
            matching = match_objects(judged, objects, MATCH)
            asked = [f for f, a in zip(matching.finders, matching.asked, strict=True) if a]
            found["objects"] = float(len(asked))
            found[f"found_{kind}"] = float(sum(finder is not None for finder in asked))
            found[f"false_{kind}"] = float(matching.true.count(False))
        return found

    def leave_out(self, reason: str) -> None:
        """Note a frame whose labels cannot be used."""
        self._left_out[reason] += 1

    def result(self) -> dict[str, Any]:
        """Everything as JSON could hold it, but for NaN."""
        return {
            "format_version": FORMAT_VERSION,
            "codes": self._name,
            "labels": self._count,
            "problem": self._problem,
            "frames": self._frames,
            "unexamined": self._unexamined,
            "left_out": dict(self._left_out),
            "pixels": self._pixel_figures(),
            "distance": {
                "protocol": DISTANCE_PROTOCOL,
                "bands": self._bands.metrics(PROTOCOLS[DISTANCE_PROTOCOL].pixels),
            },
            "objects": self._object_figures(),
        }

    def save(self, folder: Path) -> None:
        """Write the figures as ``ground_truth.json``; NaN is null."""
        text = json.dumps(to_json(self.result()), indent=1, sort_keys=True)
        write_whole(folder / TRUTH_FILE, text + "\n")

    def _pixel_figures(self) -> dict[str, Any]:
        counts = self._pixels
        known, unknown = counts.inliers, counts.outliers
        names = ("AP", "FPR95", "AUROC", "best_F1", "best_F1_threshold")
        figures: dict[str, float] = dict.fromkeys(names, math.nan)
        if known and unknown:
            metrics = counts.metrics(PROTOCOLS[PIXEL_PROTOCOL].pixels)
            figures = {name: float(metrics[name]) for name in names}
        false, true = self._above.tolist()
        return {
            "protocol": PIXEL_PROTOCOL,
            "known_px": known,
            "unknown_px": unknown,
            **figures,
            "found_share": true / unknown if unknown else math.nan,
            "false_share": false / known if known else math.nan,
        }

    def _object_figures(self) -> dict[str, Any] | None:
        if not self._frames:
            return None
        kinds = {kind: asdict(counts.metrics()) for kind, counts in self._objects.items()}
        return {"rule": asdict(MATCH), **kinds}


def find_objects(
    labels: LabelImage, depth: NDArray[np.float32] | None
) -> tuple[list[TrueObject], Mask]:
    """Labelled objects of a frame, and where nothing can be judged.

    An object is an 8-connected region of ``UNKNOWN`` pixels; its distance is the 10th percentile
    of its pixels' Z, NaN without ranges. Of more than ``MOST_OBJECTS`` the smallest are not judged.

    Returns:
        Objects, and a mask (H, W).
    """
    components = label_components((labels == UNKNOWN).astype(np.uint8))
    areas = components.areas()
    largest = np.argsort(-areas, kind="stable")[:MOST_OBJECTS]
    ignored: Mask = labels == IGNORED
    chosen = [int(one) for one in sorted(largest) if areas[one] > 0]
    if np.count_nonzero(areas) > len(chosen):
        ignored |= (components.labels > 0) & ~np.isin(components.labels, chosen)
    objects = []
    for one in chosen:
        mask: Mask = components.labels == one
        ranges = depth[mask] if depth is not None else np.empty(0, np.float32)
        valid = ranges[np.isfinite(ranges)].astype(np.float64)
        near = float(np.percentile(valid, NEAR_FACE)) if valid.size else math.nan
        objects.append(TrueObject(mask, near))
    return objects, ignored


def leave_out_ignored(
    obstacles: Sequence[Obstacle], objects: Sequence[TrueObject], ignored: Mask
) -> list[Obstacle]:
    """Obstacles that can be judged: true ones, and those mostly on labelled ground."""
    true = match_objects(obstacles, objects, MATCH).true
    return [
        obstacle
        for obstacle, is_true in zip(obstacles, true, strict=True)
        if is_true or _ignored_share(obstacle, ignored) <= MOST_IGNORED
    ]


def load_truth(folder: Path) -> Mapping[str, Any] | None:
    """What ``TruthCounts.save`` wrote, null for NaN; None where there is no such file.

    Raises:
        ValueError: another file, or another format.
    """
    path = folder / TRUTH_FILE
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{path}: expected ground-truth figures of format {FORMAT_VERSION}")
    return content


def _ignored_share(obstacle: Obstacle, ignored: Mask) -> float:
    left, top, width, height = obstacle.box
    common = ignored[top : top + height, left : left + width] & obstacle.mask
    return np.count_nonzero(common) / max(1, obstacle.area_px)


def _is_confirmed(obstacle: Obstacle) -> bool:
    # Without tracking nothing is ever confirmed.
    return isinstance(obstacle, TrackedObstacle) and obstacle.state == "confirmed"
