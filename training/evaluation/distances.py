"""Measures in bands of distance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from open_set_seg.metrics import DistanceCounts, ImageCounts
from open_set_seg.metrics.protocols import DistanceRule, PixelRule
from open_set_seg.metrics.score_counts.counts import MEMORY_LIMIT
from training.evaluation.measures import intervals_of
from training.evaluation.seen import SeenFrame


@dataclass(frozen=True)
class PixelsByDistance:
    """Figures in bands of distance, from the frames' disparity."""

    score: str
    rule: DistanceRule
    pixel_rule: PixelRule
    memory: int = MEMORY_LIMIT

    @property
    def key(self) -> str:
        """See ``Measure``."""
        return f"distance-{self.score}"

    def begin(self) -> DistanceCounts:
        """See ``Measure``."""
        return DistanceCounts(self.rule, self.memory)

    def load(self, folder: Path) -> DistanceCounts:
        """See ``Measure``."""
        return DistanceCounts.load(folder)

    def add(self, counts: DistanceCounts, seen: SeenFrame) -> None:
        """See ``Measure``."""
        counts.add(seen.score(self.score), seen.outliers, seen.distance(self.rule))

    def report(self, counts: DistanceCounts, result: dict[str, Any]) -> None:
        """See ``Measure``."""
        bands = counts.metrics(self.pixel_rule)
        result["scores"][self.score]["distance"] = {"rule": self.rule.disparity, "bands": bands}


class BandImages:
    """``ImageCounts`` for every band of distance; an accumulator."""

    def __init__(self, rule: DistanceRule, pixel_rule: PixelRule) -> None:
        self.bands = {band: ImageCounts(pixel_rule) for band in rule.bands}

    def merge(self, other: BandImages) -> None:
        """Take in the images of another one."""
        for band, images in self.bands.items():
            images.merge(other.bands[band])

    def save(self, folder: Path) -> None:
        """Write everything into an empty folder."""
        for number, images in enumerate(self.bands.values()):
            (folder / str(number)).mkdir()
            images.save(folder / str(number))

    def fill(self, folder: Path) -> BandImages:
        """Read what ``save`` wrote into this empty one."""
        for number, band in enumerate(self.bands):
            self.bands[band] = ImageCounts.load(folder / str(number))
        return self


@dataclass(frozen=True)
class ResampledDistance:
    """Intervals of the figures in bands of distance."""

    score: str
    rule: DistanceRule
    pixel_rule: PixelRule
    resamples: int

    @property
    def key(self) -> str:
        """See ``Measure``."""
        return f"images-{self.score}-distance"

    def begin(self) -> BandImages:
        """See ``Measure``."""
        return BandImages(self.rule, self.pixel_rule)

    def load(self, folder: Path) -> BandImages:
        """See ``Measure``."""
        return self.begin().fill(folder)

    def add(self, counts: BandImages, seen: SeenFrame) -> None:
        """See ``Measure``."""
        distance, scores = seen.distance(self.rule), seen.score(self.score)
        for (near, far), images in counts.bands.items():
            inside = (distance >= near) & (distance < far)
            images.add(seen.frame.id, scores[inside], seen.outliers[inside])

    def report(self, counts: BandImages, result: dict[str, Any]) -> None:
        """See ``Measure``; follows ``PixelsByDistance``."""
        rows = result["scores"][self.score]["distance"]["bands"]
        for row, images in zip(rows, counts.bands.values(), strict=True):
            known = row["outliers"] > 0 and row["inliers"] > 0
            found = intervals_of(images.statistics, len(images.ids), self.resamples * known)
            row["intervals"] = found and {name: found[name] for name in ("AP", "FPR95", "AUROC")}
