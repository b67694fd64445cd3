"""Anomaly, range and ground become a list of obstacles."""

from open_set_seg.obstacles.config import ObstacleConfig
from open_set_seg.obstacles.measurement import find_obstacles, measure_regions
from open_set_seg.obstacles.near_face import estimate_near_face
from open_set_seg.obstacles.regions import Region, RegionSearch, find_regions

__all__ = [
    "ObstacleConfig",
    "Region",
    "RegionSearch",
    "estimate_near_face",
    "find_obstacles",
    "find_regions",
    "measure_regions",
]
