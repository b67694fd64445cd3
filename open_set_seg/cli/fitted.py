"""What was fitted to inlier images, in words."""

from __future__ import annotations

import math

from open_set_seg.checkpoint import CheckpointMetadata
from open_set_seg.fitting.score_maps import MEDIAN_ODDS
from open_set_seg.scores import ScoreStatistics


def describe_fitted(
    metadata: CheckpointMetadata, statistics: ScoreStatistics | None
) -> dict[str, str]:
    """Lines with their titles; none where nothing was fitted."""
    lines = {}
    if metadata.statistics_source:
        lines["fitted to"] = metadata.statistics_source
    if statistics is not None:
        shapes = (
            f"{name} ({' x '.join(map(str, tensor.shape))})"
            for name, tensor in statistics.tensors().items()
        )
        lines["statistics"] = f"{', '.join(shapes)}; SHA-256 {metadata.statistics_sha256}"
    for name, one in metadata.score_maps.items():
        median = one.location - one.scale * math.log(MEDIAN_ODDS)
        lines[f"score map {name}"] = (
            f"{median:.6g} is published as 0.05 (the median of inlier pixels), "
            f"{one.location:.6g} as 0.5 (their 95th percentile)"
        )
    return lines
