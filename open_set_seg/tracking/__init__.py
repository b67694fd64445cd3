"""Obstacles over time: stable ids and a state, added to every frame and never held back."""

from open_set_seg.tracking.assignment import assign
from open_set_seg.tracking.config import TrackingConfig
from open_set_seg.tracking.motion import GroundPose
from open_set_seg.tracking.states import STATE_CODES, UNTRACKED, State, next_state
from open_set_seg.tracking.tracker import ObstacleTracker
from open_set_seg.tracking.tracks import TrackedObstacle

__all__ = [
    "STATE_CODES",
    "UNTRACKED",
    "GroundPose",
    "ObstacleTracker",
    "State",
    "TrackedObstacle",
    "TrackingConfig",
    "assign",
    "next_state",
]
