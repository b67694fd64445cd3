"""The drive through the pipeline in this process: the same frames, the same recording, no ROS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from open_set_seg.backends import AUTOMATIC
from open_set_seg.bags import BagWriter, building, topics
from open_set_seg.bags.outputs import output_messages
from open_set_seg.detector import ObstacleDetector
from open_set_seg.drawing import draw_overlay
from open_set_seg.frame import Frame
from open_set_seg.messages import (
    decode_camera,
    decode_disparity,
    decode_image,
    decode_right_camera,
    decode_stamp,
)
from open_set_seg.observer import Observer
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.simulation import StereoFrame

LEFT_FRAME = "left_camera_optical_frame"
RIGHT_FRAME = "right_camera_optical_frame"


@dataclass(frozen=True)
class Report:
    """How the playing went.

    Attributes:
        device: device and network in words.
        interrupted: whether the user stopped it; the recording holds what there was until then.
        details: whatever else the player knows, for the summary.
    """

    device: str
    interrupted: bool
    details: dict[str, Any] = field(default_factory=dict)


def play_in_process(
    drive: Sequence[StereoFrame],
    bag: Path,
    model: Path,
    device: str,
    progress: Callable[[int], None],
    backend: str = AUTOMATIC,
) -> Report:
    """Process a drive frame by frame and record inputs and outputs.

    Frames are made from the messages that are recorded, so that the detector sees exactly what a
    subscriber to those messages would.

    Args:
        progress: called with the number of frames done.
        backend: what runs the network.
    """
    observer = Observer.from_checkpoint(model, device=device, backend=backend)
    detector = observer.detector
    assert isinstance(detector, ObstacleDetector)
    interrupted = False
    with BagWriter(bag) as writer:
        try:
            for done, moment in enumerate(drive, start=1):
                inputs = input_messages(moment)
                result = observer.observe(_frame_of(inputs)).result
                draw = partial(draw_overlay, moment.left, result, detector.label_space)
                outputs = output_messages(result, detector.label_space.unknown_id, draw)
                _write(writer, inputs, moment.stamp_ns)
                _write(writer, outputs, moment.stamp_ns + round(result.timings["total"] * 1e9))
                progress(done)
        except KeyboardInterrupt:
            interrupted = True
    segmenter = detector.segmenter
    assert isinstance(segmenter, OpenSetSegmenter)
    return Report(segmenter.device_description, interrupted)


def input_messages(moment: StereoFrame) -> dict[str, Any]:
    """The messages of a simulated camera, by topic."""
    stamp, rig = moment.stamp_ns, moment.rig
    messages = {
        topics.IMAGE: building.image(moment.left, stamp, LEFT_FRAME),
        topics.CAMERA_INFO: building.camera_info(rig.camera, stamp, LEFT_FRAME),
        topics.RIGHT_CAMERA_INFO: building.camera_info(
            rig.camera, stamp, RIGHT_FRAME, rig.baseline
        ),
        topics.DISPARITY: building.disparity_image(moment.sensor_disparity, stamp, LEFT_FRAME),
    }
    if moment.right is not None:
        messages[topics.RIGHT_IMAGE] = building.image(moment.right, stamp, RIGHT_FRAME)
    return messages


def _frame_of(messages: dict[str, Any]) -> Frame:
    image = messages[topics.IMAGE]
    return Frame(
        image=decode_image(image),
        stamp_ns=decode_stamp(image),
        frame_id=image.header.frame_id,
        camera=decode_camera(messages[topics.CAMERA_INFO]),
        range_input=decode_disparity(messages[topics.DISPARITY]),
        right_baseline=decode_right_camera(messages[topics.RIGHT_CAMERA_INFO])[1],
    )


def _write(writer: BagWriter, messages: dict[str, Any], time_ns: int) -> None:
    for topic, message in messages.items():
        writer.write(topic, time_ns, message)
