"""The node and ``bag process`` find the same obstacles in the same frames, over real DDS."""

from __future__ import annotations

import numpy as np
import pytest
from node_harness import Running, wait_until
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from stereo_msgs.msg import DisparityImage
from untrained import save_untrained

from open_set_seg.bags import BagWriter, header_stamp, open_bag, read_messages, topics
from open_set_seg.demo.in_process import input_messages
from open_set_seg.messages import decode_points, decode_stamp
from open_set_seg.processing import Network, ProcessConfig, Task, process_recording
from open_set_seg.ros.loading import load_detector
from open_set_seg.simulation import DriveConfig, render_drive

FRAMES, WIDTH, HEIGHT = 6, 160, 96
KINDS = {
    topics.RIGHT_CAMERA_INFO: CameraInfo,
    topics.CAMERA_INFO: CameraInfo,
    topics.DISPARITY: DisparityImage,
    topics.IMAGE: Image,
}
ATTEMPTS = 3  # best effort may lose a message on a busy machine, and ids follow from all frames


class RealRunning(Running):
    """A node with a network instead of a fake."""

    def _load(self, settings):
        return load_detector(settings)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    config = DriveConfig(seed=1_000_000, frames=FRAMES, rate_hz=5.0, width=WIDTH, height=HEIGHT)
    path = tmp_path_factory.mktemp("bag") / "drive"
    with BagWriter(path) as writer:
        for moment in render_drive(config, workers=1):
            for topic, message in input_messages(moment).items():
                writer.write(topic, moment.stamp_ns, message)
    return path


@pytest.fixture(scope="module")
def model(bag, tmp_path_factory):
    message = next(read_messages(bag, [topics.IMAGE]))[2]
    image = np.frombuffer(message.data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    return save_untrained(tmp_path_factory.mktemp("model") / "model.safetensors", image)


def play_slowly(bag, model) -> dict[int, PointCloud2]:
    """Obstacle lists of the node by stamp; a frame is sent when the one before was answered."""
    size = f"{WIDTH}x{HEIGHT}"
    running = RealRunning(
        {"model": str(model), "device": "cpu", "backend": "pytorch", "expected_size": size}
    ).start()
    try:
        camera, inputs = running.camera, running.detector._inputs
        right = camera.node.create_publisher(CameraInfo, "right/camera_info", 10)
        writers = {
            topics.IMAGE: (camera.image, inputs.image),
            topics.CAMERA_INFO: (camera.info, inputs.camera_info),
            topics.RIGHT_CAMERA_INFO: (right, inputs.right_info),
            topics.DISPARITY: (camera.disparity, inputs.range),
        }
        running.connect(camera.image, camera.info, camera.disparity, right)
        heard = camera.listen(PointCloud2, "detector/obstacles/list", depth=FRAMES)
        with open_bag(bag) as reader:
            records = {
                topic: [cdr for c, _, cdr in reader.messages() if c.topic == topic]
                for topic in KINDS
            }
        for number in range(FRAMES):
            for topic in KINDS:  # the image last
                writer, entry = writers[topic]
                before = entry.arrivals.count
                writer.publish(bytes(records[topic][number]))
                wait_until(lambda e=entry, b=before: e.arrivals.count > b, topic, 5.0)
            wait_until(lambda n=number: len(heard) > n, f"the list of frame {number}", 20.0)
    finally:
        running.stop()
    return {decode_stamp(message): message for message in heard}


def test_the_node_and_offline_processing_find_the_same_to_the_bit(bag, model, tmp_path):
    config = ProcessConfig(model=model, device="cpu", backend="pytorch", codec=None, parquet=False)
    task = Task(bag, tmp_path / "out", config.describe(), "")
    process_recording(task, Network.load(config), lambda _: None)
    with open_bag(tmp_path / "out" / "detections") as reader:
        offline = {
            header_stamp(cdr): deserialize_message(bytes(cdr), PointCloud2)
            for connection, _, cdr in reader.messages()
            if connection.topic == topics.OBSTACLE_LIST
        }
    for attempt in range(ATTEMPTS):
        try:
            online = play_slowly(bag, model)
            break
        except AssertionError:
            if attempt == ATTEMPTS - 1:
                raise
    assert sorted(online) == sorted(offline)
    assert len(online) == FRAMES
    points = {stamp: decode_points(message) for stamp, message in offline.items()}
    assert sum(map(len, points.values())) > FRAMES
    # Without ids that go on and without both states there would be nothing to compare of tracking.
    assert {int(state) for found in points.values() for state in found["state"]} == {1, 2}
    for stamp, message in offline.items():
        assert bytes(online[stamp].data) == bytes(message.data)
        assert online[stamp] == message
