"""The demo's drive over real DDS: simulator and detector are processes, this one records."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from stereo_msgs.msg import DisparityImage
from visualization_msgs.msg import MarkerArray

from open_set_seg.bags import BagWriter, topics
from open_set_seg.ros.isolation import isolated_environment, isolated_node
from open_set_seg.ros.processes import Executable, ProcessError
from open_set_seg.ros.recorder import Recorder

DIAGNOSTICS = "/diagnostics"
DETECTOR_STATUSES = (": detector", ": pairing", ": problems")
INPUTS = {
    topics.IMAGE: Image,
    topics.CAMERA_INFO: CameraInfo,
    topics.RIGHT_IMAGE: Image,
    topics.RIGHT_CAMERA_INFO: CameraInfo,
    topics.DISPARITY: DisparityImage,
}
OUTPUTS = {
    topics.SEGMENTATION: Image,
    topics.ANOMALY: Image,
    topics.OVERLAY: Image,
    topics.OBSTACLE_LIST: PointCloud2,
    "/detector/obstacles/markers": MarkerArray,
    "/detector/visibility": DiagnosticArray,
    DIAGNOSTICS: DiagnosticArray,
}
STARTING_S = 90.0  # importing and loading on a busy machine
SETTLING_S = 0.5  # the detector sees its listeners a moment after they see it
ANSWERING_S = 5.0  # the longest that the detector may take for the last image
REPORTING_S = 1.2  # pictures come after the segmentation, and diagnostics once a second


@dataclass(frozen=True)
class LiveReport:
    """How the playing went.

    Attributes:
        device: device and network in words, as the detector's diagnostics say it.
        interrupted: whether the user stopped it; the recording holds what there was until then.
        details: the detector's last diagnostics.
    """

    device: str
    interrupted: bool
    details: dict[str, Any] = field(default_factory=dict)


def play_live(
    drive: Path,
    bag: Path,
    model: Path,
    device: str,
    rate_hz: float,
    logs: Path,
    progress: Callable[[int], None],
    backend: str = "auto",
    size: tuple[int, int] = (1024, 512),
) -> LiveReport:
    """Play a saved drive from one process into a detector in another, and record both.

    Args:
        drive: folder of a saved drive.
        bag: folder that the recording becomes.
        model, device: of the detector.
        rate_hz: frames a second.
        logs: folder for what the two processes write.
        progress: called with the number of frames for which a result has arrived.
        backend: of the detector.
        size: width and height of the images.

    Raises:
        ProcessError: one of the processes failed; with the end of its log.
    """
    environment = isolated_environment(domain_id=1 + os.getpid() % 100)
    with isolated_node("recorder", environment) as (node, spin), BagWriter(bag) as writer:
        recorder = Recorder(node, writer)
        interrupted = False
        detector = Executable(
            "open_set_seg.ros.node",
            {
                "model": model,
                "device": device,
                "backend": backend,
                "expected_size": f"{size[0]}x{size[1]}",
            },
            environment,
            logs / "detector.log",
        )
        simulator = Executable(
            "open_set_seg.ros.simulator",
            {
                "drive": drive,
                "rate_hz": rate_hz,
                "wait_for_subscribers": 2,
                "wait_for_subscribers_s": STARTING_S,
            },
            environment,
            logs / "simulator.log",
        )
        try:
            with detector, simulator:
                recorder.subscribe(OUTPUTS)
                _wait_for_detector(node, spin, detector)
                # The simulator waits for two listeners, so this one comes last.
                recorder.subscribe(INPUTS)
                _follow(recorder, spin, detector, simulator, progress)
        except KeyboardInterrupt:
            interrupted = True
        details = read_diagnostics(recorder.newest(DIAGNOSTICS))
    return LiveReport(details.get("device", ""), interrupted, details)


def _wait_for_detector(node: Node, spin: Callable[[], None], detector: Executable) -> None:
    deadline = time.monotonic() + STARTING_S
    while node.count_publishers(topics.OVERLAY) == 0:
        detector.check()
        if time.monotonic() > deadline:
            raise ProcessError(f"the detector was not ready within {STARTING_S:g} s")
        spin()
    _spin_for(spin, SETTLING_S)


def _follow(
    recorder: Recorder,
    spin: Callable[[], None],
    detector: Executable,
    simulator: Executable,
    progress: Callable[[int], None],
) -> None:
    """Spin until the simulator has ended and the detector has answered its last image."""
    ended = None
    while True:
        spin()
        detector.check()
        simulator.check()
        progress(recorder.counts[topics.OVERLAY])  # the last that is recorded of a frame
        if simulator.exit_code is None:
            continue
        ended = ended or time.monotonic()
        # Frames may be dropped for newer ones, but the last one has none to be dropped for.
        last = recorder.newest_stamp(topics.IMAGE)
        answered = last is not None and recorder.newest_stamp(topics.SEGMENTATION) == last
        if answered or time.monotonic() - ended > ANSWERING_S:
            break
    _spin_for(spin, REPORTING_S)


def _spin_for(spin: Callable[[], None], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        spin()


def read_diagnostics(message: Any) -> dict[str, str]:
    """Key -> value of what the detector says about itself (its inputs aside); empty for None."""
    statuses = message.status if message is not None else []
    return {
        entry.key: entry.value
        for status in statuses
        if status.name.endswith(DETECTOR_STATUSES)
        for entry in status.values
    }
