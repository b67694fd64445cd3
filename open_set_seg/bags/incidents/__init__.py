"""Recording incidents: the seconds around a confirmed obstacle, within bounds of memory and disk.

Without ROS and without a camera: frames come as serialised (or serialisable) messages.
"""

from open_set_seg.bags.incidents.config import RecorderConfig
from open_set_seg.bags.incidents.policy import Decision, IncidentPolicy, Sighting
from open_set_seg.bags.incidents.recorder import IncidentRecorder, RecorderStatus
from open_set_seg.bags.incidents.ring import Part, RecordedFrame, RingBuffer
from open_set_seg.bags.incidents.scenes import Scene, Viewer
from open_set_seg.bags.incidents.summary import read_summary

__all__ = [
    "Decision",
    "IncidentPolicy",
    "IncidentRecorder",
    "Part",
    "RecordedFrame",
    "RecorderConfig",
    "RecorderStatus",
    "RingBuffer",
    "Scene",
    "Sighting",
    "Viewer",
    "read_summary",
]
