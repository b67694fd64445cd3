"""The player publishes what was recorded, as it was recorded, at the pace of the recording."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from drives import listening, make_frame
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from open_set_seg.bags import TYPESTORE, BagWriter, building
from open_set_seg.ros.processes import Executable

FRAMES, PERIOD = 5, 100_000_000
START = 1_000_000_000_000


@pytest.fixture
def bag(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for n in range(FRAMES):
            now, frame = START + n * PERIOD, make_frame(n)
            writer.write("/image", now, building.image(frame.left, now, "camera"))
            writer.write("/info", now, building.camera_info(frame.rig.camera, now, "camera"))
    return tmp_path / "bag"


def start(tmp_path, **parameters):
    return Executable("open_set_seg.ros.player", parameters, {}, tmp_path / "player.log")


def pixels_of(message) -> bytes:
    return bytes(message.data)


def test_messages_arrive_unchanged_at_the_pace_of_the_recording(tmp_path, bag):
    with listening() as listener:
        listener.subscribe(Image, "/image")
        listener.subscribe(CameraInfo, "/info")
        with start(tmp_path, bag=bag, rate=2) as player:
            assert listener.spin_until(lambda: player.exit_code is not None)
            assert player.exit_code == 0
        images = listener.messages("/image")
        assert [pixels_of(image) for image in images] == [
            make_frame(n).left.tobytes() for n in range(FRAMES)
        ]
        stamps = [i.header.stamp.sec * 10**9 + i.header.stamp.nanosec for i in images]
        assert stamps == [START + n * PERIOD for n in range(FRAMES)]
        assert len(listener.messages("/info")) == FRAMES
        periods = np.diff([at for at, _ in listener.heard["/image"]])
    assert np.median(periods) == pytest.approx(PERIOD * 1e-9 / 2, abs=0.02)


def test_an_offset_and_chosen_topics(tmp_path, bag):
    with listening() as listener:
        listener.subscribe(Image, "/image")
        listener.subscribe(CameraInfo, "/info")
        with start(tmp_path, bag=bag, start_offset=0.25, rate=10, topics=["/image"]) as player:
            assert listener.spin_until(lambda: player.exit_code is not None)
        assert [pixels_of(image) for image in listener.messages("/image")] == [
            make_frame(n).left.tobytes() for n in (3, 4)
        ]
        assert listener.messages("/info") == []


def test_the_clock_follows_the_recording(tmp_path, bag):
    with listening() as listener:
        listener.subscribe(Image, "/image")
        listener.subscribe(Clock, "/clock", qos=QoSProfile(depth=200))
        with start(tmp_path, bag=bag, clock_hz=100.0) as player:
            assert listener.spin_until(lambda: player.exit_code is not None)
        times = [c.clock.sec * 10**9 + c.clock.nanosec for c in listener.messages("/clock")]
    assert times == sorted(times)
    assert times[0] >= START
    assert times[-1] == START + (FRAMES - 1) * PERIOD
    assert max(np.diff(times)) <= 0.05 * 10**9


def test_a_loop_goes_on_until_sigint(tmp_path, bag):
    with listening() as listener:
        listener.subscribe(Image, "/image")
        with start(tmp_path, bag=bag, loop=True, rate=20) as player:
            assert listener.spin_until(lambda: len(listener.heard["/image"]) > 2 * FRAMES)
            assert player.stop() == 0
        images = listener.messages("/image")
    assert pixels_of(images[FRAMES]) == pixels_of(images[0])
    assert "Traceback" not in (tmp_path / "player.log").read_text()


def test_what_was_latched_is_latched_again(tmp_path):
    forever = QosTime(0, 0)
    latched = Qos(
        QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
        forever, forever, QosLiveliness.AUTOMATIC, forever, False,
    )  # fmt: skip
    message = building.camera_info(make_frame(0).rig.camera, START, "camera")
    image = building.image(make_frame(0).left, START, "camera")
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        one = writer.add_connection(
            "/info", message.__msgtype__, typestore=TYPESTORE, offered_qos_profiles=[latched]
        )
        writer.write(one, START, TYPESTORE.serialize_cdr(message, message.__msgtype__))
        two = writer.add_connection("/image", image.__msgtype__, typestore=TYPESTORE)
        for n in (0, 60 * 10**9):  # the second message keeps the player alive
            writer.write(two, START + n, TYPESTORE.serialize_cdr(image, image.__msgtype__))
    with listening() as listener:
        listener.subscribe(Image, "/image")
        with start(tmp_path, bag=tmp_path / "bag"):
            assert listener.spin_until(lambda: len(listener.heard["/image"]) == 1)
            late = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            listener.subscribe(CameraInfo, "/info", qos=late)
            assert listener.spin_until(lambda: len(listener.heard["/info"]) == 1)


def test_types_that_are_not_installed_are_left_out(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write("/image", START, building.image(make_frame(0).left, START, "camera"))
        error = TYPESTORE.types["tf2_msgs/msg/TF2Error"](error=1, error_string="none")
        writer.write("/tf_error", START, error)
    with listening() as listener:
        listener.subscribe(Image, "/image")
        with start(tmp_path, bag=tmp_path / "bag") as player:
            assert listener.spin_until(lambda: player.exit_code is not None)
            assert player.exit_code == 0
        assert len(listener.messages("/image")) == 1
    log = (tmp_path / "player.log").read_text()
    installed = importlib.util.find_spec("tf2_msgs") is not None
    assert ("/tf_error is left out" in log) == (not installed)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({}, "bag names no recording"),
        ({"bag": "/nowhere"}, "/nowhere is not a whole recording"),
    ],
)
def test_a_wrong_recording_ends_it_with_one_line(tmp_path, parameters, told):
    with listening() as listener, start(tmp_path, **parameters) as player:
        assert listener.spin_until(lambda: player.exit_code is not None)
        assert player.exit_code == 2
    log = (tmp_path / "player.log").read_text()
    assert log.splitlines()[-1].startswith("player: ")
    assert told in log.splitlines()[-1]
    assert "Traceback" not in log
