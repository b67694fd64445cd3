"""Recordings through the pipeline without ROS: every frame, in order, many at a time."""

from open_set_seg.processing.config import ProcessConfig
from open_set_seg.processing.describing import ProcessedFrame, describe_frame
from open_set_seg.processing.folders import (
    Plan,
    count_images,
    plan_tasks,
    watch_folder,
)
from open_set_seg.processing.network import Network
from open_set_seg.processing.recording import Task, process_recording
from open_set_seg.processing.records import (
    HISTOGRAM_BINS,
    FrameRecord,
    ObstacleRecord,
    RecordError,
    read_records,
)
from open_set_seg.processing.run_file import ProcessingError, read_run
from open_set_seg.processing.sinks import Run, Sink
from open_set_seg.processing.working import Outcome, work_on

__all__ = [
    "HISTOGRAM_BINS",
    "FrameRecord",
    "Network",
    "ObstacleRecord",
    "Outcome",
    "Plan",
    "ProcessConfig",
    "ProcessedFrame",
    "ProcessingError",
    "RecordError",
    "Run",
    "Sink",
    "Task",
    "count_images",
    "describe_frame",
    "plan_tasks",
    "process_recording",
    "read_records",
    "read_run",
    "watch_folder",
    "work_on",
]
