"""What protocols measure on pixels: each a ``Measure`` around an accumulator."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from open_set_seg.metrics import (
    BinnedCurve,
    ImageCounts,
    ImageMetrics,
    ScoreCounts,
)
from open_set_seg.metrics.bootstrap import Statistics, image_intervals
from open_set_seg.metrics.protocols import PixelRule
from open_set_seg.metrics.score_counts.counts import MEMORY_LIMIT
from training.evaluation.seen import SeenFrame

PIXEL_FIGURES = ("AP", "FPR95", "AUROC", "best_F1", "best_F1_threshold")
FRAME_FIGURES = ("outliers", "inliers", "AP", "FPR95")
CURVE_POINTS = 400
HISTOGRAM_BINS = 64
LEVEL = 0.95


@dataclass(frozen=True)
class PooledPixels:
    """Figures and curves of all pixels of all frames together.

    Attributes:
        score: name of the score.
        region: part of the image, key of ``REGIONS``.
        rule: by which is counted.
        figures: whether the figures are the protocol's; else only the curves are reported.
        memory: bytes that the counts may take.
    """

    score: str
    region: str
    rule: PixelRule
    figures: bool = True
    memory: int = MEMORY_LIMIT

    @property
    def key(self) -> str:
        """See ``Measure``."""
        return f"pixels-{self.score}-{_slug(self.region)}"

    def begin(self) -> ScoreCounts | BinnedCurve:
        """See ``Measure``."""
        return BinnedCurve() if self.rule.curve == "smiyc_binned" else ScoreCounts(self.memory)

    def load(self, folder: Path) -> ScoreCounts | BinnedCurve:
        """See ``Measure``."""
        kind = BinnedCurve if self.rule.curve == "smiyc_binned" else ScoreCounts
        return kind.load(folder)

    def add(self, counts: ScoreCounts | BinnedCurve, seen: SeenFrame) -> None:
        """See ``Measure``."""
        counts.add(seen.score(self.score), seen.within(self.region))

    def report(self, counts: ScoreCounts | BinnedCurve, result: dict[str, Any]) -> None:
        """See ``Measure``."""
        content = result["scores"][self.score]
        known = counts.outliers > 0 and counts.inliers > 0
        if self.figures:
            figures = counts.metrics(self.rule) if known else dict.fromkeys(PIXEL_FIGURES, math.nan)
            content["pixels"][self.region] = figures
        if not known:
            return
        curve = counts.curve(CURVE_POINTS)
        true, false = curve.true_positives, curve.false_positives
        content["curves"][self.region] = {
            "thresholds": curve.thresholds.tolist(),
            "TPR": (true / curve.outliers).tolist(),
            "FPR": (false / curve.inliers).tolist(),
            "precision": (true / np.maximum(true + false, 1)).tolist(),
        }
        if not isinstance(counts, ScoreCounts) or not np.isfinite(curve.thresholds).any():
            return
        low, high = counts.range(finite=True)
        if low < high:
            # Between float64 numbers that are close there are fewer edges than were asked for.
            edges = np.unique(np.linspace(low, high, HISTOGRAM_BINS + 1))
            inliers, outliers = counts.histogram(edges.tolist())
            content["histogram"][self.region] = {
                "edges": edges.tolist(),
                "inliers": inliers.tolist(),
                "outliers": outliers.tolist(),
            }


@dataclass(frozen=True)
class FramePixels:
    """Figures of every frame by itself, for the table of frames or for the mean over frames.

    Attributes:
        figures: whether the protocol's figures are the means over the frames that hold both
            outliers and inliers.
        resamples: of the frames, for intervals of these means.
    """

    score: str
    region: str
    rule: PixelRule
    figures: bool
    resamples: int = 0

    @property
    def key(self) -> str:
        """See ``Measure``."""
        return f"frames-{self.score}-{_slug(self.region)}"

    def begin(self) -> ImageMetrics:
        """See ``Measure``."""
        return ImageMetrics(replace(self.rule, curve="exact"))

    def load(self, folder: Path) -> ImageMetrics:
        """See ``Measure``."""
        return ImageMetrics.load(folder)

    def add(self, images: ImageMetrics, seen: SeenFrame) -> None:
        """See ``Measure``."""
        images.add(seen.frame.id, seen.score(self.score), seen.within(self.region))

    def report(self, images: ImageMetrics, result: dict[str, Any]) -> None:
        """See ``Measure``."""
        content = result["scores"][self.score]
        content["frames"] = [
            {"id": name} | {key: images.rows[name][key] for key in FRAME_FIGURES}
            for name in images.ids
        ]
        if not self.figures:
            return
        if all(row["AP"] is None for row in images.rows.values()):
            content["pixels"][self.region] = dict.fromkeys(PIXEL_FIGURES, math.nan)
            return
        found = images.metrics()
        content["pixels"][self.region] = {name: found[name] for name in PIXEL_FIGURES}
        intervals = intervals_of(images.statistics, len(images.ids), self.resamples)
        _put_intervals(content, self.region, intervals)


@dataclass(frozen=True)
class ResampledPixels:
    """Intervals of pooled figures: frames are drawn again and their counts pooled."""

    score: str
    region: str
    rule: PixelRule
    resamples: int

    @property
    def key(self) -> str:
        """See ``Measure``."""
        return f"images-{self.score}-{_slug(self.region)}"

    def begin(self) -> ImageCounts:
        """See ``Measure``."""
        return ImageCounts(self.rule)

    def load(self, folder: Path) -> ImageCounts:
        """See ``Measure``."""
        return ImageCounts.load(folder)

    def add(self, counts: ImageCounts, seen: SeenFrame) -> None:
        """See ``Measure``."""
        counts.add(seen.frame.id, seen.score(self.score), seen.within(self.region))

    def report(self, counts: ImageCounts, result: dict[str, Any]) -> None:
        """See ``Measure``."""
        content = result["scores"][self.score]
        if not math.isfinite(content["pixels"][self.region]["AP"]):  # no outliers, or no inliers
            return
        intervals = intervals_of(counts.statistics, len(counts.ids), self.resamples)
        _put_intervals(content, self.region, intervals)


def intervals_of(
    statistics: Statistics, images: int, resamples: int
) -> dict[str, dict[str, Any]] | None:
    """Intervals as JSON values; None where none were asked for, or there is nothing to draw."""
    if not resamples or not images:
        return None
    return {
        name: {
            "low": one.low,
            "high": one.high,
            "level": one.level,
            "resamples": one.resamples,
        }
        for name, one in image_intervals(statistics, images, resamples, LEVEL).items()
    }


def _put_intervals(
    content: dict[str, Any], region: str, intervals: dict[str, dict[str, Any]] | None
) -> None:
    if intervals is not None:
        content["intervals"] = (content["intervals"] or {}) | {region: intervals}


def empty_score() -> dict[str, Any]:
    """What a result says of one score before anything is measured."""
    return {
        "pixels": {},
        "deviation": None,
        "runs": None,
        "intervals": None,
        "components": None,
        "distance": None,
        "open_set": None,
        "curves": {},
        "histogram": {},
        "frames": [],
    }


def _slug(region: str) -> str:
    return region.replace(" ", "_")
