"""The simulator publishes a drive as a camera driver and a matcher would."""

from __future__ import annotations

import signal
from itertools import islice

import numpy as np
import pytest
from drives import RIG, Listener, listening, make_drive, make_frame
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image
from stereo_msgs.msg import DisparityImage

from open_set_seg.bags import TYPESTORE, building
from open_set_seg.ros.drive_messages import LEFT_FRAME, RIGHT_FRAME, build_messages, set_stamp
from open_set_seg.ros.messages import decode_disparity, decode_image
from open_set_seg.ros.processes import Executable
from open_set_seg.ros.simulator import Stamps, schedule
from open_set_seg.simulation import save_drive

STAMP = 1_234_567_890_123_456_789
TOPICS = {
    "/image": Image,
    "/camera_info": CameraInfo,
    "/right/image": Image,
    "/right/camera_info": CameraInfo,
    "/disparity": DisparityImage,
    "/truth/labels": Image,
}


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.25])
def test_every_disparity_follows_its_image_by_the_delay(delay):
    events = list(schedule(frames=7, rate_hz=10.0, delay_s=delay, loop=False))
    assert [event.due_s for event in events] == sorted(event.due_s for event in events)
    for kind, shift in (("image", 0.0), ("disparity", delay)):
        due = [(event.number, event.due_s) for event in events if event.kind == kind]
        assert due == [(n, pytest.approx(n / 10 + shift)) for n in range(7)]


def test_a_loop_goes_on_without_a_gap():
    events = islice(schedule(frames=2, rate_hz=20.0, delay_s=0.01, loop=True), 20)
    images = [event for event in events if event.kind == "image"]
    np.testing.assert_allclose([event.due_s for event in images], np.arange(10) / 20)
    assert [event.number for event in images] == list(range(10))


def test_stamps_are_taken_once_and_jump_back_where_asked():
    clock = iter(range(100, 200))
    going_on = Stamps(lambda: next(clock))
    assert [going_on.of(n) for n in (0, 1, 0, 2, 1)] == [100, 101, 100, 102, 101]
    restarting = Stamps(lambda: next(clock), round_length=2)
    assert [restarting.of(n) for n in (0, 1, 2, 3, 4)] == [103, 104, 103, 104, 103]


def test_messages_equal_those_of_recordings_byte_for_byte():
    frame = make_frame(0)
    (messages,) = build_messages([frame], "rgb8", right=True, truth=True)
    expected = {
        "image": building.image(frame.left, STAMP, LEFT_FRAME),
        "camera_info": building.camera_info(RIG.camera, STAMP, LEFT_FRAME),
        "right/image": building.image(frame.right, STAMP, RIGHT_FRAME),
        "right/camera_info": building.camera_info(RIG.camera, STAMP, RIGHT_FRAME, RIG.baseline),
        "truth/labels": building.image(frame.labels, STAMP, LEFT_FRAME),
        "disparity": building.disparity_image(frame.sensor_disparity, STAMP, LEFT_FRAME),
    }
    live = {**messages.at_once, "disparity": messages.disparity}
    assert set(live) == set(expected)
    for topic, message in live.items():
        set_stamp(message, STAMP)
        kind = expected[topic].__msgtype__
        # Through one serialiser: what stands in the padding between fields is not defined.
        received = TYPESTORE.deserialize_cdr(serialize_message(message), kind)
        sent = TYPESTORE.serialize_cdr(expected[topic], kind)
        assert bytes(TYPESTORE.serialize_cdr(received, kind)) == bytes(sent), topic


@pytest.fixture
def saved_drive(tmp_path):
    drive = make_drive(5)
    save_drive(drive, tmp_path / "drive")
    return drive, tmp_path / "drive"


def start(tmp_path, **parameters):
    return Executable("open_set_seg.ros.simulator", parameters, {}, tmp_path / "simulator.log")


def subscribe_to_all(listener: Listener) -> None:
    for topic, kind in TOPICS.items():
        listener.subscribe(kind, topic)


def stamp_of(message) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def test_a_drive_arrives_whole_with_the_disparity_later(tmp_path, saved_drive):
    drive, folder = saved_drive
    parameters = {"drive": folder, "rate_hz": 20, "disparity_delay_ms": 25, "truth": True}
    with listening() as listener:
        subscribe_to_all(listener)
        with start(tmp_path, encoding="bgr8", **parameters) as simulator:
            assert listener.spin_until(lambda: simulator.exit_code is not None)
            assert simulator.exit_code == 0
        listener.spin_until(lambda: len(listener.heard["/disparity"]) == 5, 2.0)
    counts = {topic: len(heard) for topic, heard in listener.heard.items()}
    assert counts == dict.fromkeys(TOPICS, 5)
    stamps = [stamp_of(message) for message in listener.messages("/image")]
    assert stamps == sorted(stamps)
    for topic in TOPICS:
        assert [stamp_of(message) for message in listener.messages(topic)] == stamps, topic
    for frame, image, labels, disparity in zip(
        drive,
        listener.messages("/image"),
        listener.messages("/truth/labels"),
        listener.messages("/disparity"),
        strict=True,
    ):
        assert image.encoding == "bgr8"
        np.testing.assert_array_equal(decode_image(image), frame.left)
        assert bytes(labels.data) == frame.labels.tobytes()
        received = decode_disparity(disparity)
        np.testing.assert_array_equal(received.values, frame.sensor_disparity.values)
        assert received.baseline == pytest.approx(RIG.baseline)
    arrivals = [[at for at, _ in listener.heard[t]] for t in ("/image", "/disparity")]
    delays = np.subtract(arrivals[1], arrivals[0])
    assert np.median(delays) > 0.015
    periods = np.diff(stamps) * 1e-9
    assert np.median(periods) == pytest.approx(0.05, abs=0.02)


def test_a_looped_drive_jumps_back_and_ends_with_sigint(tmp_path, saved_drive):
    _, folder = saved_drive
    with listening() as listener:
        listener.subscribe(Image, "/image")
        listener.subscribe(DisparityImage, "/disparity")
        parameters = {"drive": folder, "rate_hz": 50.0, "loop": True, "loop_stamps": "restart"}
        with start(tmp_path, **parameters) as simulator:
            assert listener.spin_until(lambda: len(listener.heard["/image"]) >= 12)
            assert simulator.stop() == 0
    stamps = [stamp_of(message) for message in listener.messages("/image")]
    assert stamps[5:10] == stamps[:5]
    assert "Traceback" not in (tmp_path / "simulator.log").read_text()


@pytest.mark.parametrize("phase", ["rendering", "waiting"])
def test_signals_end_it_cleanly_before_it_publishes(tmp_path, saved_drive, phase):
    rendering = {"frames": 100, "width": 128, "height": 64}
    parameters = rendering if phase == "rendering" else {"drive": saved_drive[1]}
    log = tmp_path / "simulator.log"
    begun = "rendering 1/" if phase == "rendering" else "publishing"
    with listening() as listener, start(tmp_path, **parameters) as simulator:
        assert listener.spin_until(lambda: begun in log.read_text())
        simulator.stop(signal.SIGTERM if phase == "waiting" else signal.SIGINT)
        assert simulator.exit_code == 0
    assert "Traceback" not in log.read_text()


def test_it_starts_without_subscribers_after_the_deadline(tmp_path, saved_drive):
    parameters = {"drive": saved_drive[1], "rate_hz": 100, "wait_for_subscribers_s": 0.1}
    with listening() as listener, start(tmp_path, **parameters) as simulator:
        assert listener.spin_until(lambda: simulator.exit_code is not None)
        assert simulator.exit_code == 0
    assert "publishing anyway" in (tmp_path / "simulator.log").read_text()


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"rate_hz": "fast"}, "rate_hz must be of type double"),
        ({"rate_hz": 0}, "rate_hz = 0.0 is out of its range"),
        ({"encoding": "mono8"}, "encoding = 'mono8' is not one of rgb8, bgr8"),
        ({"drive": "/nowhere"}, "/nowhere"),
    ],
)
def test_wrong_parameters_end_it_with_one_line(tmp_path, parameters, told):
    with listening() as listener, start(tmp_path, **parameters) as simulator:
        assert listener.spin_until(lambda: simulator.exit_code is not None)
        assert simulator.exit_code == 2
    (line,) = (tmp_path / "simulator.log").read_text().splitlines()
    assert line.startswith("simulator: ")
    assert told in line
