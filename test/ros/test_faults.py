"""What goes wrong around a running detector costs what it must and no more."""

from __future__ import annotations

import array
import os
import shutil
import signal
import threading
from collections import deque

import numpy as np
from detector_processes import assert_clean_end
from drives import make_drive
from node_harness import make_camera_info, make_disparity, make_image, wait_until
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from open_set_seg.checkpoint import DEMO_CHECKPOINT
from open_set_seg.detector import ObstacleDetector
from open_set_seg.frame import Frame, FrameResult, Prediction
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.ros.processes import Executable
from open_set_seg.simulation import save_drive

SECOND = 10**9
MALFORMED = 10_000
ENCODINGS = ("rgb8", "bgr8", "mono8", "mono16", "bayer_rggb8", "32FC1", "16UC1", "8UC3", "", "yuv")
SIZES = (0, 1, 15, 16, 32, 33, 1000, 2**31, 2**32 - 1)
NUMBERS = (0.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"), 100.0)


def spoil_image(image, random) -> None:
    """Change one to three fields of an image message."""
    for field in random.choice(["height", "width", "step", "encoding", "data", "order"], 3):
        if field in ("height", "width", "step"):
            setattr(image, field, int(random.choice(SIZES)))
        elif field == "encoding":
            image.encoding = str(random.choice(ENCODINGS))
        elif field == "data":
            image.data = array.array("B", random.bytes(int(random.integers(0, 3000))))
        else:
            image.is_bigendian = int(random.integers(0, 256))


def spoil_stamp(header, random) -> None:
    header.stamp.sec = int(random.choice([0, -1, 2**31 - 1, -(2**31), 7]))
    header.stamp.nanosec = int(random.choice([0, 10**9, 2**32 - 1]))


def malformed(random, number):
    """(which input, message or bytes) of one random malformed message."""
    which = str(random.choice(["image", "info", "disparity"], p=[0.4, 0.2, 0.4]))
    stamp = (number + 1) * SECOND
    if which == "image":
        message = make_image(stamp)
        spoil_image(message, random)
        header = message.header
    elif which == "info":
        message = make_camera_info(stamp)
        header = message.header
        message.width, message.height = (int(random.choice(SIZES)) for _ in range(2))
        message.k[int(random.integers(9))] = float(random.choice(NUMBERS))
        message.p[int(random.integers(12))] = float(random.choice(NUMBERS))
    else:
        message = make_disparity(stamp)
        header = message.header
        message.f, message.t = (float(random.choice(NUMBERS[:2] + NUMBERS[4:])) for _ in range(2))
        message.max_disparity = float(random.choice(NUMBERS[4:]))
        if random.random() < 0.7:
            spoil_image(message.image, random)
    if random.random() < 0.2:
        spoil_stamp(header, random)
    if random.random() < 0.1:  # bytes that are not even a message
        whole = serialize_message(message)
        return which, whole[: int(random.integers(0, len(whole)))]
    return which, message


class RoadEverywhere:
    """A segmenter that needs no network: road, and one strange spot."""

    label_space = STREETHAZARDS

    def segment(self, rgb, threshold=None) -> Prediction:
        nearest = np.full(rgb.shape[:2], STREETHAZARDS.id_of("road"), np.uint8)
        labels, anomaly = nearest.copy(), np.full(nearest.shape, 0.25, np.float32)
        labels[4:10, 4:12], anomaly[4:10, 4:12] = STREETHAZARDS.unknown_id, 0.75
        return Prediction(labels, anomaly, nearest, 0.5)


class NotingDetector(ObstacleDetector):
    """The detector itself, which keeps the frames that it was given."""

    def __init__(self) -> None:
        super().__init__(RoadEverywhere())
        self.frames: deque[Frame] = deque(maxlen=10)
        self.gate = threading.Event()

    def process(self, frame: Frame) -> FrameResult:
        self.frames.append(frame)
        return super().process(frame)


def test_ten_thousand_malformed_messages_do_no_harm(run_node):
    running = run_node(detector=NotingDetector())
    running.connect()
    camera, inputs = running.camera, running.detector._inputs
    publishers = {"image": camera.image, "info": camera.info, "disparity": camera.disparity}
    entries = {"image": inputs.image, "info": inputs.camera_info, "disparity": inputs.range}
    random = np.random.default_rng(20)
    for number in range(MALFORMED):
        which, message = malformed(random, number)
        publishers[which].publish(message)
        if number % 50 == 49:  # a good one now and then shows that all before it were taken
            before = entries[which].arrivals.count
            good = {"image": make_image, "info": make_camera_info, "disparity": make_disparity}
            publishers[which].publish(good[which]((number + 1) * SECOND))
            wait_until(lambda e=entries[which], b=before: e.arrivals.count > b, which)
    assert running.thread.is_alive()
    received = sum(entry.arrivals.count for entry in entries.values())
    assert received > MALFORMED / 4, "the messages did reach the node"
    assert sum(running.detector.problems.snapshot().values()) > 100
    assert not [code for code in running.detector.problems.snapshot() if "internal" in code]
    stamp = 2_000_000 * SECOND
    running.send(stamp)
    frames = running.fake.frames
    wait_until(lambda: frames and frames[-1].stamp_ns == stamp, "the good frame after them")
    assert frames[-1].camera is not None
    assert frames[-1].range_input is not None


def test_a_camera_that_is_killed_is_reported_and_taken_back(run_node, tmp_path):
    save_drive(make_drive(5), tmp_path / "drive")
    names = ("image", "camera_info", "disparity")
    remapped = [part for name in names for part in ("-r", f"{name}:=/{name}")]
    running = run_node({"input_timeout_s": 0.5}, arguments=remapped)
    settings = {"drive": tmp_path / "drive", "rate_hz": 20.0, "loop": True}

    def camera(log: str) -> Executable:
        return Executable("open_set_seg.ros.simulator", settings, {}, tmp_path / log)

    with camera("first.log") as first:
        running.processed(3)
        os.kill(first.pid, signal.SIGKILL)
    running.problem("image.silent")
    done = running.count("processed")
    with camera("second.log"):
        running.processed(done + 3)
    assert running.thread.is_alive()


def test_a_checkpoint_that_is_replaced_changes_nothing_until_it_is_asked_for(
    start_process, tmp_path
):
    model = tmp_path / "model.safetensors"
    shutil.copy(DEMO_CHECKPOINT, model)
    process = start_process(
        *("--ros-args", "-p", f"model:={model}", "-p", "range_source:=none"),
        *("-p", "expected_size:=64x32", "-p", "backend:=pytorch"),
        real=True,
    )
    context = Context()
    context.init()
    node = Node("camera", context=context)
    camera = node.create_publisher(Image, "image", qos_profile_sensor_data)
    heard: list[Image] = []
    node.create_subscription(Image, "detector/anomaly", heard.append, 10)
    try:
        process.wait_for("listening to")
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        stamp = 0

        def answered() -> bool:
            nonlocal stamp
            stamp += SECOND
            camera.publish(make_image(stamp, 64, 32))
            executor.spin_once(timeout_sec=0.05)
            return bool(heard) and process.child.poll() is None

        wait_until(answered, "a first answer", 30.0)
        expected = bytes(heard[0].data)
        # In place, so that whatever still reads the file sees other bytes; then cut short.
        with model.open("r+b") as file:
            file.write(bytes(model.stat().st_size))
            file.truncate(1000)
        for _ in range(3):
            heard.clear()
            wait_until(answered, "an answer after the file was replaced", 30.0)
            assert bytes(heard[-1].data) == expected
        executor.shutdown()
    finally:
        node.destroy_node()
        context.try_shutdown()
    process.child.send_signal(signal.SIGINT)
    assert_clean_end(process)
