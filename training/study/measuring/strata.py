"""One score by distance, by size, by family and by camouflage of the unknown objects.

Everything is judged on the road: a stratum's unknown pixels against known pixels of the road, with
all other unknown pixels left out. AP depends on how frequent the unknown pixels are, so compare it
between networks, never between strata.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.protocols import Band
from training.study.measuring.answers import Truth
from training.study.measuring.pixel_figures import Scores, pixel_figures
from training.study.measuring.scenes import StudyObject

Row = dict[str, Any]


@dataclass(frozen=True)
class StrataRule:
    """The limits of strata.

    Attributes:
        distances: half-open bands in metres. Pixels are sorted by their own depth, on both sides:
            an object may lie in two bands. It is counted in that of its visible distance.
        sizes: half-open bands of the visible pixels of an object.
        fewest_px: smaller objects are noise, and are in no stratum but those of distance.
    """

    distances: tuple[Band, ...] = ((5.0, 10.0), (10.0, 20.0), (20.0, 30.0), (30.0, 50.0))
    sizes: tuple[Band, ...] = ((20, 50), (50, 200), (200, 800), (800, math.inf))
    fewest_px: int = 20


def stratify(truth: Truth, unknown: Scores, road: Scores, rule: StrataRule) -> dict[str, Any]:
    """The strata of a score.

    Args:
        truth: of the scenes.
        unknown: (U,) scores of the unknown pixels, in the order of the truth.
        road: (R,) likewise of known pixels on the road.
        rule: the limits.

    Returns:
        ``distance`` and ``size``: rows with ``from``, ``to`` (None: no limit), AP, FPR95,
        ``objects`` and ``positives`` (their pixels); ``family``: such rows by name;
        ``camouflaged``: one row. AP and FPR95 are NaN where there is nothing to measure.
    """
    inliers = np.sort(road)

    def row(wanted: Callable[[StudyObject], bool]) -> Row:
        chosen = np.array(
            [each.visible_px >= rule.fewest_px and wanted(each) for each in truth.objects], bool
        )
        return _row(unknown[chosen[truth.unknown_owner]], inliers, int(chosen.sum()))

    families = sorted({each.family for each in truth.objects})
    return {
        "distance": [_distance_row(truth, unknown, road, band) for band in rule.distances],
        "size": [
            _limits(band) | row(lambda each, band=band: band[0] <= each.visible_px < band[1])  # type: ignore[misc]
            for band in rule.sizes
        ],
        "family": {
            name: row(lambda each, name=name: each.family == name)  # type: ignore[misc]
            for name in families
        },
        "camouflaged": row(lambda each: each.camouflaged),
    }


def _distance_row(truth: Truth, unknown: Scores, road: Scores, band: Band) -> Row:
    outliers = unknown[_inside(truth.unknown_depth, band)]
    inliers = np.sort(road[_inside(truth.road_depth, band)])
    objects = sum(band[0] <= each.visible_distance < band[1] for each in truth.objects)
    return _limits(band) | _row(outliers, inliers, objects)


def _row(outliers: Scores, inliers: Scores, objects: int) -> Row:
    figures = pixel_figures(outliers, [inliers])
    return {
        "AP": figures["AP"],
        "FPR95": figures["FPR95"],
        "objects": objects,
        "positives": outliers.size,
    }


def _limits(band: Band) -> Row:
    return {"from": band[0], "to": band[1] if math.isfinite(band[1]) else None}


def _inside(values: NDArray[np.float32], band: Band) -> NDArray[np.bool_]:
    return np.asarray((values >= band[0]) & (values < band[1]))
