"""Obstacles of simulated frames, found by the whole detector and judged one by one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from open_set_seg.detector import ObstacleDetector
from open_set_seg.frame import DisparityMap, Frame, ImageRGB, Prediction
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.metrics import MatchRule, ObjectCounts, TrueObject
from open_set_seg.simulation import StereoFrame
from training.datasets.simulated_frames import SimulatedFrame
from training.evaluation.measures import intervals_of
from training.evaluation.seen import SeenFrame
from training.sources import EvaluationError

RANGES = ("exact disparity", "sensor disparity")
# The same again with the true regions in place of the network's: what range and geometry are
# worth by themselves, at distances where the network finds too little to tell.
TRUE_REGIONS = ", true regions"
CONDITIONS = (*RANGES, *(name + TRUE_REGIONS for name in RANGES))
# Smaller objects are a few pixels of blur: neither asked for nor held against a detection.
MIN_VISIBLE_PX = 20


@dataclass(frozen=True, eq=False)
class KnownPrediction:
    """A segmenter that has seen its one image already."""

    prediction: Prediction
    label_space: LabelSpace

    def segment(self, rgb: ImageRGB, threshold: float | None = None) -> Prediction:
        """The prediction, whatever ``rgb`` shows."""
        return self.prediction


@dataclass(frozen=True)
class Obstacles:
    """Recall, false obstacles and distance errors under one of ``CONDITIONS``."""

    condition: str
    resamples: int = 0

    @property
    def key(self) -> str:
        """See ``Measure``."""
        return f"objects-{self.condition.replace(', ', '-').replace(' ', '_')}"

    def begin(self) -> ObjectCounts:
        """See ``Measure``."""
        return ObjectCounts(MatchRule(min_visible_px=MIN_VISIBLE_PX))

    def load(self, folder: Path) -> ObjectCounts:
        """See ``Measure``."""
        return ObjectCounts.load(folder)

    def add(self, counts: ObjectCounts, seen: SeenFrame) -> None:
        """See ``Measure``."""
        stereo = _stereo(seen)
        space = seen.answer_space if seen.answer.prediction is not None else None
        if space is None or seen.truth_space is None or seen.answer.prediction is None:
            raise EvaluationError("obstacles need a checkpoint with a threshold")
        if self.condition.endswith(TRUE_REGIONS):
            segmenter = KnownPrediction(true_prediction(stereo, seen.truth_space), seen.truth_space)
        else:
            segmenter = KnownPrediction(seen.answer.prediction, space)
        frame = frame_with(stereo, self.condition.removesuffix(TRUE_REGIONS))
        found = ObstacleDetector(segmenter).process(frame).obstacles
        counts.add(seen.frame.id, found, true_objects(stereo))

    def report(self, counts: ObjectCounts, result: dict[str, Any]) -> None:
        """See ``Measure``."""
        found = dataclasses.asdict(counts.metrics())
        found["intervals"] = self._intervals(counts)
        for row in (*found["bands"], found["overall"]):
            row["intervals"] = self._intervals(counts, band=row["band"])
        for row in found["sizes"]:
            row["intervals"] = self._intervals(counts, size=row["band"])
        result["objects"] = (result["objects"] or {}) | {self.condition: found}

    def _intervals(self, counts: ObjectCounts, **stratum: Any) -> dict[str, Any] | None:
        statistics = partial(counts.statistics, **stratum)
        return intervals_of(statistics, len(counts.ids), self.resamples)


class Tally:
    """A number; an accumulator."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def merge(self, other: Tally) -> None:
        """Add the other number."""
        self.count += other.count

    def save(self, folder: Path) -> None:
        """Write one file."""
        (folder / "tally.txt").write_text(f"{self.count}\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Tally:
        """Read what ``save`` wrote."""
        return cls(int((folder / "tally.txt").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class NotExamined:
    """In how many frames no ground was predicted, so that no obstacle could be looked for."""

    key: str = "not_examined"

    def begin(self) -> Tally:
        """See ``Measure``."""
        return Tally()

    def load(self, folder: Path) -> Tally:
        """See ``Measure``."""
        return Tally.load(folder)

    def add(self, tally: Tally, seen: SeenFrame) -> None:
        """See ``Measure``."""
        tally.count += seen.ground is None

    def report(self, tally: Tally, result: dict[str, Any]) -> None:
        """See ``Measure``."""
        result["dataset"]["not_examined"] = tally.count


def true_prediction(stereo: StereoFrame, space: LabelSpace) -> Prediction:
    """The truth of a frame as if a perfect network had seen it: anomaly 1 on unknown objects."""
    unknown = stereo.labels == space.unknown_id
    # What a network would take an object for does not matter; it stands on the ground.
    nearest = np.where(unknown, np.uint8(space.ground_ids[0]), stereo.labels)
    return Prediction(stereo.labels, unknown.astype(np.float32), nearest, 0.5)


def frame_with(stereo: StereoFrame, range_name: str) -> Frame:
    """The detector's input with the matcher's disparity, or with the exact one in its place."""
    frame = stereo.frame()
    if range_name == "sensor disparity":
        return frame
    sensor = stereo.sensor_disparity
    exact = DisparityMap(stereo.disparity, sensor.focal_length, sensor.baseline)
    return dataclasses.replace(frame, range_input=exact)


def true_objects(stereo: StereoFrame) -> list[TrueObject]:
    """The unknown objects, at the 10th percentile of their exact Z: what the detector estimates."""
    height, width = stereo.labels.shape
    return [
        TrueObject(one.full_mask(width, height), one.visible_distance) for one in stereo.obstacles
    ]


def _stereo(seen: SeenFrame) -> StereoFrame:
    if not isinstance(seen.frame, SimulatedFrame):
        raise EvaluationError(f"{seen.frame.id}: obstacles are judged on simulated frames only")
    return seen.frame.stereo
