"""Pixel metrics of every image by itself, and their mean over images."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.protocols import PixelRule
from open_set_seg.metrics.score_counts import ScoreCounts
from open_set_seg.metrics.score_counts.keys import Scores

if TYPE_CHECKING:
    from typing_extensions import Self

FILE = "image_metrics.json"
AVERAGED = ("AP", "FPR95", "AUROC", "best_F1")

Row = dict[str, Any]


class ImageMetrics:
    """AP, FPR95, AUROC and best F1 of every image that holds both outliers and inliers.

    Args:
        rule: which operating point.

    Attributes:
        rows: image id -> ``outliers``, ``inliers`` and the metrics; None where a class is missing.
    """

    def __init__(self, rule: PixelRule | None = None) -> None:
        self.rule = rule or PixelRule(pooling="images")
        self.rows: dict[str, Row] = {}

    @property
    def ids(self) -> list[str]:
        """Of all images, sorted."""
        return sorted(self.rows)

    def add(self, image_id: str, scores: Scores, labels: NDArray[np.uint8]) -> None:
        """Measure an image; arguments as for ``ScoreCounts.add``.

        Raises:
            ValueError: an image that was added before, and what ``ScoreCounts.add`` refuses.
        """
        counts = ScoreCounts()
        counts.add(scores, labels)
        row: Row = {"outliers": counts.outliers, "inliers": counts.inliers}
        row |= dict.fromkeys((*AVERAGED, "best_F1_threshold"))
        if counts.outliers and counts.inliers:
            row |= counts.metrics(self.rule)
        self._take(image_id, row)

    def merge(self, other: Self) -> None:
        """Add the images of another accumulator.

        Raises:
            ValueError: another rule, or an image that both hold.
        """
        if other.rule != self.rule:
            raise ValueError(f"images measured by {other.rule} do not fit {self.rule}")
        for image_id, row in other.rows.items():
            self._take(image_id, row)

    def save(self, folder: Path) -> None:
        """Write the rows into an existing, empty folder."""
        content = {"rule": vars(self.rule), "images": {name: self.rows[name] for name in self.ids}}
        (folder / FILE).write_text(json.dumps(content), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        metrics = cls(PixelRule(**content["rule"]))
        metrics.rows = content["images"]
        return metrics

    def metrics(self) -> dict[str, float]:
        """Means over the images that hold both classes, ``images`` and ``skipped_images``.

        ``best_F1_threshold`` is NaN: the images have no threshold in common.

        Raises:
            ValueError: no image holds both.
        """
        judged = [row for row in self.rows.values() if row["AP"] is not None]
        if not judged:
            raise ValueError(f"none of {len(self.rows)} images holds both outliers and inliers")
        means = {key: math.fsum(row[key] for row in judged) / len(judged) for key in AVERAGED}
        counts = {"images": len(judged), "skipped_images": len(self.rows) - len(judged)}
        return {**means, "best_F1_threshold": math.nan, **counts}

    def statistics(self, weights: NDArray[np.integer[Any]]) -> dict[str, NDArray[np.float64]]:
        """The means of resampled images.

        Args:
            weights: (B, n) how often each of the ``ids`` was drawn.

        Returns:
            (B,) for AP, FPR95, AUROC, best_F1; NaN where no drawn image holds both classes.
        """
        rows = [self.rows[name] for name in self.ids]
        judged = np.array([row["AP"] is not None for row in rows], bool)
        drawn = np.asarray(weights, np.float64)[:, judged]
        number = drawn.sum(axis=1)
        result = {}
        for key in AVERAGED:
            values = np.array([row[key] for row in rows if row["AP"] is not None], np.float64)
            result[key] = np.full(len(drawn), np.nan)
            np.divide((drawn * values).sum(axis=1), number, out=result[key], where=number > 0)
        return result

    def _take(self, image_id: str, row: Row) -> None:
        if image_id in self.rows:
            raise ValueError(f"the image {image_id!r} was added before")
        self.rows[image_id] = row
