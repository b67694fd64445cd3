"""Pixel metrics by distance: how far away an obstacle can be and still be seen."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.protocols import DistanceRule, PixelRule
from open_set_seg.metrics.score_counts import ScoreCounts
from open_set_seg.metrics.score_counts.counts import MEMORY_LIMIT
from open_set_seg.metrics.score_counts.keys import Scores

if TYPE_CHECKING:
    from typing_extensions import Self

FILE = "distance_counts.json"
MEASURED = ("AP", "FPR95", "AUROC")


def decode_distance(
    codes: NDArray[np.uint16], baseline: float, focal: float, rule: DistanceRule
) -> NDArray[np.float64]:
    """Distance of every pixel from a 16-bit disparity image: baseline * focal / disparity.

    ``official``: the disparity is I / 256; where I = 0 the distance is the largest finite one of
    the image, as in Distance-based-OOD (``evaluations/base_dist.py``). ``encoded``: (I - 1) / 256;
    pixels without disparity (I = 0, and I = 1 which says infinitely far) are NaN.

    Args:
        codes: (H, W) I.
        baseline: metres.
        focal: pixels; the published evaluation takes (fx + fy) / 2.
        rule: which of the two.

    Returns:
        (H, W) metres.

    Raises:
        ValueError: codes that are not uint16, or a baseline or focal length that is not positive.
    """
    if codes.dtype != np.uint16:
        raise ValueError(f"disparity codes are uint16, not {codes.dtype}")
    if not (baseline > 0 and focal > 0 and math.isfinite(baseline * focal)):
        raise ValueError(f"baseline and focal length are positive, not {baseline} and {focal}")
    encoded = rule.disparity == "encoded"
    disparity = (codes.astype(np.float64) - encoded) / 256
    distance = np.full(codes.shape, np.nan)
    np.divide(baseline * focal, disparity, out=distance, where=disparity > 0)
    if not encoded and (codes > 0).any():
        distance[codes == 0] = np.nanmax(distance)
    return distance


class DistanceCounts:
    """``ScoreCounts`` for every band of distance.

    Args:
        rule: the bands, half-open.
        memory_limit: bytes for all bands together.
        scratch: as for ``ScoreCounts``.
    """

    def __init__(
        self,
        rule: DistanceRule | None = None,
        memory_limit: int = MEMORY_LIMIT,
        scratch: Path | None = None,
    ) -> None:
        self.rule = rule or DistanceRule()
        share = memory_limit // max(1, len(self.rule.bands))
        self.bands = [ScoreCounts(share, scratch) for _ in self.rule.bands]

    def add(
        self, scores: Scores, labels: NDArray[np.uint8], distance: NDArray[np.floating[Any]]
    ) -> None:
        """Count the pixels of a frame, each in its band; those outside all bands are left out.

        Args:
            scores: as for ``ScoreCounts.add``.
            labels: likewise.
            distance: of the same shape, metres; NaN where unknown.

        Raises:
            ValueError: shapes that differ, and what ``ScoreCounts.add`` refuses in a band.
        """
        if not scores.shape == labels.shape == distance.shape:
            raise ValueError(
                f"scores of shape {scores.shape}, labels of shape {labels.shape} and distances of "
                f"shape {distance.shape}"
            )
        for (near, far), counts in zip(self.rule.bands, self.bands, strict=True):
            inside = (distance >= near) & (distance < far)
            counts.add(scores[inside], labels[inside])

    def merge(self, other: Self) -> None:
        """Add what another accumulator counted.

        Raises:
            ValueError: it has another rule.
        """
        if other.rule != self.rule:
            raise ValueError(f"counts by {other.rule} cannot be added to counts by {self.rule}")
        for mine, theirs in zip(self.bands, other.bands, strict=True):
            mine.merge(theirs)

    def save(self, folder: Path) -> None:
        """Write the counts into an existing, empty folder."""
        (folder / FILE).write_text(json.dumps(asdict(self.rule)), encoding="utf-8")
        for index, counts in enumerate(self.bands):
            (folder / f"band_{index}").mkdir()
            counts.save(folder / f"band_{index}")

    @classmethod
    def load(
        cls, folder: Path, memory_limit: int = MEMORY_LIMIT, scratch: Path | None = None
    ) -> Self:
        """Read what ``save`` wrote."""
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        bands = tuple((near, far) for near, far in content["bands"])
        loaded = cls(DistanceRule(content["disparity"], bands), memory_limit, scratch)
        share = memory_limit // max(1, len(bands))
        loaded.bands = [
            ScoreCounts.load(folder / f"band_{index}", share, scratch)
            for index in range(len(bands))
        ]
        return loaded

    def metrics(self, rule: PixelRule | None = None) -> list[dict[str, Any]]:
        """Per band: ``band``, ``outliers``, ``inliers``, ``AP``, ``FPR95``, ``AUROC``.

        The metrics are NaN where the band lacks outliers or inliers.
        """
        rows = []
        for band, counts in zip(self.rule.bands, self.bands, strict=True):
            values = dict.fromkeys(MEASURED, math.nan)
            if counts.outliers and counts.inliers:
                metrics = counts.metrics(rule)
                values = {key: metrics[key] for key in MEASURED}
            rows.append(
                {"band": band, "outliers": counts.outliers, "inliers": counts.inliers, **values}
            )
        return rows
