"""How well an anomaly score separates outlier pixels from inlier pixels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.image_metrics import ImageMetrics
from open_set_seg.metrics.protocols import PROTOCOLS, PixelRule
from open_set_seg.metrics.score_counts import ScoreCounts
from open_set_seg.metrics.smiyc_curve import BinnedCurve

Frame = tuple[NDArray[np.floating[Any]], NDArray[np.uint8]]


def pixel_metrics(
    frames: Iterable[Frame], protocol: str | PixelRule = "fishyscapes"
) -> dict[str, float]:
    """AP, FPR95, AUROC, best_F1 and best_F1_threshold of a score (higher is more anomalous).

    ``ScoreCounts.metrics`` has the definitions. Where a protocol takes the mean over images,
    images without outliers or without inliers are left out; ``images`` and ``skipped_images`` say
    how many, and ``best_F1_threshold`` is NaN.

    Args:
        frames: (scores, labels) of equal shape per frame; labels 0 inlier, 1 outlier, 255 ignore.
            Consumed once, in bounded memory.
        protocol: key of ``PROTOCOLS``, or a rule.

    Raises:
        ValueError: an unknown protocol, shapes that differ, labels other than 0, 1, 255, a score
            that is NaN on a counted pixel, or no outlier or no inlier at all.
    """
    if not isinstance(protocol, PixelRule) and protocol not in PROTOCOLS:
        raise ValueError(f"protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    rule = protocol if isinstance(protocol, PixelRule) else PROTOCOLS[protocol].pixels
    if rule.pooling == "images":
        images = ImageMetrics(rule)
        for index, (scores, labels) in enumerate(frames):
            images.add(f"{index}", scores, labels)
        return images.metrics()
    counts = BinnedCurve() if rule.curve == "smiyc_binned" else ScoreCounts()
    for scores, labels in frames:
        counts.add(scores, labels)
    return counts.metrics(rule)
