"""The detector with a memory: ids, what an empty list is worth, drift, and the camera's health."""

from open_set_seg.observer.config import ObserverConfig
from open_set_seg.observer.observation import Observation
from open_set_seg.observer.observer import Observer
from open_set_seg.observer.operating_point import (
    AUTOMATIC_CALIBRATION,
    OperatingPoint,
    find_calibration,
)

__all__ = [
    "AUTOMATIC_CALIBRATION",
    "Observation",
    "Observer",
    "ObserverConfig",
    "OperatingPoint",
    "find_calibration",
]
