"""How well obstacles are found and how well their distance is known, by distance and by size.

``object_matching`` says which detection is true, which false, and which objects are found.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Obstacle
from open_set_seg.metrics.object_bands import BandMetrics, summarise_band, weighted_medians
from open_set_seg.metrics.object_matching import (
    FalseDetection,
    FrameObjects,
    MatchRule,
    Outcome,
    TrueObject,
    judge_objects,
)
from open_set_seg.metrics.protocols import BANDS, Band

if TYPE_CHECKING:
    from typing_extensions import Self

# Visible pixels; the squares of 10, 20, 40 and 80 pixels.
SIZES: tuple[Band, ...] = (
    (0.0, 100.0),
    (100.0, 400.0),
    (400.0, 1600.0),
    (1600.0, 6400.0),
    (6400.0, math.inf),
)
FILE = "objects.json"


@dataclass(frozen=True)
class ObjectMetrics:
    """Results by band and over all bands together.

    Attributes:
        frames: number of frames.
        bands: by distance, nearest first.
        overall: everything between the first band's near and the last band's far limit.
        false_of_unknown_distance_per_frame: false detections without a distance, in no band.
        false_per_frame: all false detections per frame, of whatever distance.
        sizes: by visible pixels, smallest first, of whatever distance.
    """

    frames: int
    bands: tuple[BandMetrics, ...]
    overall: BandMetrics
    false_of_unknown_distance_per_frame: float
    false_per_frame: float
    sizes: tuple[BandMetrics, ...]


class ObjectCounts:
    """What became of the objects and detections of many frames.

    Args:
        rule: of matching.
    """

    def __init__(self, rule: MatchRule | None = None) -> None:
        self.rule = rule or MatchRule()
        self._frames: dict[str, FrameObjects] = {}

    @property
    def ids(self) -> list[str]:
        """Of the frames, sorted: the order of the columns of ``statistics``' weights."""
        return sorted(self._frames)

    def add(
        self, image_id: str, obstacles: Sequence[Obstacle], objects: Sequence[TrueObject]
    ) -> None:
        """Judge the detected obstacles of a frame by its true objects.

        Raises:
            ValueError: an id that was added before.
        """
        if image_id in self._frames:
            raise ValueError(f"the objects of image {image_id!r} were counted before")
        self._frames[image_id] = judge_objects(obstacles, objects, self.rule)

    def merge(self, other: Self) -> None:
        """Take in the frames of another counter.

        Raises:
            ValueError: another rule, or a frame that both have.
        """
        if other.rule != self.rule:
            raise ValueError(f"objects matched by {other.rule} do not add to {self.rule}")
        twice = self._frames.keys() & other._frames.keys()
        if twice:
            raise ValueError(f"the objects of image {min(twice)!r} were counted twice")
        self._frames.update(other._frames)

    def save(self, folder: Path) -> None:
        """Write everything into an empty folder."""
        frames = {name: asdict(self._frames[name]) for name in self.ids}
        text = json.dumps({"rule": asdict(self.rule), "frames": frames})
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        counts = cls(MatchRule(**content["rule"]))
        for name, frame in content["frames"].items():
            outcomes = (Outcome(**one) for one in frame["outcomes"])
            false = (FalseDetection(**one) for one in frame["false"])
            counts._frames[name] = FrameObjects(tuple(outcomes), tuple(false))
        return counts

    def metrics(
        self, bands: Sequence[Band] = BANDS, sizes: Sequence[Band] = SIZES
    ) -> ObjectMetrics:
        """Recall, false obstacles and distance error, pooled over all frames.

        Args:
            bands: adjoining [near, far) intervals of distance in metres, nearest first.
            sizes: adjoining [fewest, most) intervals of visible pixels, smallest first.

        Raises:
            ValueError: no frame at all, or bands that do not adjoin.
        """
        for strata in (bands, sizes):
            if not strata or any(one[1] != two[0] for one, two in itertools.pairwise(strata)):
                raise ValueError(f"bands must adjoin, nearest or smallest first, not {strata}")
        if not self._frames:
            raise ValueError("there is no frame to judge")
        frames = [self._frames[name] for name in self.ids]
        outcomes = [one for frame in frames for one in frame.outcomes]
        false = [one for frame in frames for one in frame.false]

        def by_distance(band: Band) -> BandMetrics:
            inside = [one for one in outcomes if band[0] <= one.distance < band[1]]
            wrong = sum(band[0] <= one.distance < band[1] for one in false)
            return summarise_band(band, inside, wrong, len(frames))

        def by_size(size: Band) -> BandMetrics:
            inside = [one for one in outcomes if size[0] <= one.visible_px < size[1]]
            wrong = sum(size[0] <= one.area_px < size[1] for one in false)
            return summarise_band(size, inside, wrong, len(frames))

        return ObjectMetrics(
            frames=len(frames),
            bands=tuple(map(by_distance, bands)),
            overall=by_distance((bands[0][0], bands[-1][1])),
            false_of_unknown_distance_per_frame=sum(math.isnan(one.distance) for one in false)
            / len(frames),
            false_per_frame=len(false) / len(frames),
            sizes=tuple(map(by_size, sizes)),
        )

    def statistics(
        self, weights: NDArray[np.integer[Any]], band: Band | None = None, size: Band | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """``recall``, ``false_per_frame`` and ``median_relative_error`` of B resamples.

        Args:
            weights: (B, n), how often each frame of ``ids`` is drawn.
            band: only what lies in this interval of distance; None: at whatever distance, unknown
                ones included.
            size: only what lies in this interval of size; None: of whatever size.

        Returns:
            (B,) each; NaN in a resample without anything to measure.

        Raises:
            ValueError: weights of another number of frames.
        """
        frames = [self._frames[name] for name in self.ids]
        if weights.ndim != 2 or weights.shape[1] != len(frames) or not frames:
            raise ValueError(f"weights of shape {weights.shape} for {len(frames)} frames")

        def counted(distance: float, pixels: int) -> bool:
            near = band is None or band[0] <= distance < band[1]
            return near and (size is None or size[0] <= pixels < size[1])

        inside = [
            (row, one)
            for row, frame in enumerate(frames)
            for one in frame.outcomes
            if counted(one.distance, one.visible_px)
        ]
        false = [sum(counted(one.distance, one.area_px) for one in f.false) for f in frames]
        drawn = weights[:, [row for row, _ in inside]].astype(np.int64)
        objects = drawn.sum(axis=1)
        recall = np.full(len(weights), np.nan)
        found = drawn @ np.array([one.found for _, one in inside], np.int64)
        np.divide(found, objects, out=recall, where=objects > 0)
        error = np.array([abs(one.measured - one.distance) / one.distance for _, one in inside])
        known = np.isfinite(error)
        return {
            "recall": recall,
            "false_per_frame": weights @ np.array(false, np.int64) / weights.sum(axis=1),
            "median_relative_error": weighted_medians(error[known], drawn[:, known]),
        }


def object_metrics(
    frames: Iterable[tuple[Sequence[Obstacle], Sequence[TrueObject]]],
    rule: MatchRule | None = None,
    bands: Sequence[Band] = BANDS,
) -> ObjectMetrics:
    """Recall, false obstacles and distance error by band, pooled over all frames.

    Args:
        frames: (detected obstacles, true objects) of every examined frame; consumed once.
        rule: of matching.
        bands: adjoining [near, far) intervals in metres, nearest first.

    Raises:
        ValueError: no frame at all, or bands that do not adjoin.
    """
    counts = ObjectCounts(rule)
    for index, (obstacles, objects) in enumerate(frames):
        counts.add(f"{index:09d}", obstacles, objects)
    return counts.metrics(bands)
