"""Replays over DDS by a process of its own: pauses, rounds, new stamps, and what is said."""

from __future__ import annotations

import array
import os
import pty
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from drives import listening, make_frame
from geometry_msgs.msg import Point
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from std_srvs.srv import SetBool
from stereo_msgs.msg import DisparityImage
from visualization_msgs.msg import Marker, MarkerArray

from open_set_seg import cli
from open_set_seg.bags import TYPESTORE, BagWriter, building
from open_set_seg.bags.replay import HeaderPlaces, ReplayReport, Restamper
from open_set_seg.ros.parameters import ParameterError
from open_set_seg.ros.player import make_settings
from open_set_seg.ros.processes import Executable

START, PERIOD = 1_000_000_000_000, 50_000_000
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def write_numbers(path, count: int, period: int = PERIOD, latched: bool = False):
    """A recording of numbers as text; latched, with a text before them."""
    with BagWriter(path, latched=("/info",)) as writer:
        if latched:
            writer.write("/info", START, building.text("first"))
        for n in range(count):
            writer.write("/number", START + n * period, building.text(str(n)))
    return path


def start(tmp_path, **parameters):
    return Executable("open_set_seg.ros.player", parameters, {}, tmp_path / "player.log")


def numbers(listener, topic: str = "/number") -> list[int]:
    return [int(message.data) for message in listener.messages(topic)]


def nanoseconds(stamp) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


def call_pause(listener, paused: bool) -> None:
    client = listener.node.create_client(SetBool, "/player/pause")
    assert listener.spin_until(client.service_is_ready)
    answer = client.call_async(SetBool.Request(data=paused))
    assert listener.spin_until(answer.done)
    assert answer.result().success
    listener.node.destroy_client(client)


def spin_for(listener, seconds: float) -> None:
    listener.spin_until(lambda: False, seconds)


def test_nothing_is_played_during_a_pause_and_nothing_is_left_out(tmp_path):
    bag = write_numbers(tmp_path / "bag", 60)
    with listening() as listener:
        listener.subscribe(String, "/number")
        with start(tmp_path, bag=bag) as player:
            assert listener.spin_until(lambda: len(listener.heard["/number"]) >= 5)
            call_pause(listener, True)
            spin_for(listener, 0.3)  # what was on its way
            before = numbers(listener)
            spin_for(listener, 1.0)
            assert numbers(listener) == before
            call_pause(listener, False)
            assert listener.spin_until(lambda: player.exit_code is not None)
            assert player.exit_code == 0
        assert listener.spin_until(lambda: len(numbers(listener)) == 60)
        assert numbers(listener) == [*range(60)]
        gaps = np.diff([at for at, _ in listener.heard["/number"]])
    # It goes on where it was: the pause is the only long gap, and nothing is hurried after.
    assert np.argmax(gaps) == len(before) - 1
    assert np.median(gaps[len(before) :]) == pytest.approx(PERIOD * 1e-9, rel=0.3)


def test_rounds_repeat_and_the_clock_jumps_back_between_them(tmp_path):
    bag = write_numbers(tmp_path / "bag", 8, latched=True)
    with listening() as listener:
        listener.subscribe(String, "/number")
        listener.subscribe(String, "/info")
        listener.subscribe(Clock, "/clock", qos=QoSProfile(depth=500))
        with start(tmp_path, bag=bag, loop=True, clock_hz=200.0):
            assert listener.spin_until(lambda: len(numbers(listener)) >= 3 * 8)
        heard = numbers(listener)
        assert heard[:24] == [*range(8)] * 3
        times = np.array([nanoseconds(message.clock) for message in listener.messages("/clock")])
        assert [message.data for message in listener.messages("/info")][:3] == ["first"] * 3
    back = np.flatnonzero(np.diff(times) < 0)
    assert len(back) in (2, 3)  # the third round may have ended
    assert (times[back + 1] == START).all()
    assert times.min() == START
    assert START + 7 * PERIOD <= times.max() <= START + 8 * PERIOD
    assert set(START + np.arange(8) * PERIOD) <= set(times)  # each message's time, before it


def test_late_subscribers_get_what_was_latched_before_the_offset(tmp_path):
    bag = write_numbers(tmp_path / "bag", 400, latched=True)
    with listening() as listener:
        best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        listener.subscribe(String, "/number", qos=best_effort)  # as the detector does
        with start(tmp_path, bag=bag, start_offset=1.0):
            assert listener.spin_until(lambda: len(numbers(listener)) >= 3)
            listener.subscribe(String, "/info", qos=LATCHED)
            assert listener.spin_until(lambda: len(listener.heard["/info"]) == 1)
        assert numbers(listener)[0] >= 20


def test_new_stamps_are_of_now_and_go_on_over_rounds(tmp_path):
    rounds, frames = 3, 4
    with BagWriter(tmp_path / "bag") as writer:
        for n in range(frames):
            now, frame = START + n * PERIOD, make_frame(n)
            writer.write("/image", now, building.image(frame.left, now, "camera"))
            info = building.camera_info(frame.rig.camera, now, "camera")
            writer.write("/info", now + 20_000_000, info)
    with listening() as listener:
        listener.subscribe(Image, "/image")
        listener.subscribe(CameraInfo, "/info")
        begin = time.time_ns()
        with start(tmp_path, bag=tmp_path / "bag", loop=True, restamp=True):
            wanted = rounds * frames
            assert listener.spin_until(lambda: len(listener.heard["/info"]) >= wanted)
        images, infos = (listener.messages(t)[:wanted] for t in ("/image", "/info"))
        end = time.time_ns()
    stamps = np.array([nanoseconds(image.header.stamp) for image in images])
    assert [nanoseconds(info.header.stamp) for info in infos] == [*stamps]
    assert begin < stamps[0]
    assert stamps[-1] < end
    np.testing.assert_allclose(np.diff(stamps), PERIOD, atol=10_000)
    assert [bytes(image.data) for image in images] == [
        make_frame(n).left.tobytes() for n in range(frames)
    ] * rounds


@pytest.mark.parametrize("name", ["", "a", "abc", "a longer name"])
def test_stamps_are_found_in_messages_that_ros_serialised(name):
    markers = MarkerArray(markers=[Marker(ns=name, text=name + "x") for _ in range(3)])
    markers.markers[1].points = [Point(x=1.0)] * 2
    disparity = DisparityImage(f=3.0, t=0.5)
    disparity.image.encoding, disparity.image.data = name, array.array("B", range(7))
    inside = [disparity.header, disparity.image.header]
    for message, headers in ((markers, [m.header for m in markers.markers]), (disparity, inside)):
        package, _, _ = type(message).__module__.partition(".")
        for header in headers:
            header.frame_id, header.stamp.sec, header.stamp.nanosec = name, 5, 6
        before = serialize_message(message)
        for header in headers:
            header.stamp.sec, header.stamp.nanosec = 7, 8
        restamper = Restamper(HeaderPlaces(TYPESTORE), lambda stamp: stamp + 2_000_000_002)
        after = restamper.apply(before, f"{package}/msg/{type(message).__name__}")
        assert deserialize_message(after, type(message)) == message
        assert after != before


def test_damage_is_told_after_what_could_be_played(tmp_path):
    whole, bag = 300, tmp_path / "bag"
    write_numbers(bag, whole, period=1_000_000)
    (bag / "metadata.yaml").write_text(
        (bag / "metadata.yaml").read_text().replace("message_count: 300", "message_count: 301")
    )
    with listening() as listener, start(tmp_path, bag=bag) as player:
        listener.subscribe(String, "/number", qos=QoSProfile(depth=whole))
        assert listener.spin_until(lambda: player.exit_code is not None)
        assert player.exit_code == 2
        assert len(numbers(listener)) == whole
    log = (tmp_path / "player.log").read_text()
    assert "/number: 300 of 301 messages" in log
    assert log.splitlines()[-1].endswith(
        "is damaged: it holds fewer messages than it says (/number: 300 of 301)"
    )


def test_what_cannot_be_held_is_told_and_nothing_is_left_out(tmp_path):
    bag = write_numbers(tmp_path / "bag", 20_000, period=10_000)
    with start(tmp_path, bag=bag, rate=100.0, wait_for_subscribers_s=0.0) as player:
        with listening() as listener:
            assert listener.spin_until(lambda: player.exit_code is not None)
        assert player.exit_code == 0
    log = (tmp_path / "player.log").read_text()
    assert "/number: 20000 of 20000 messages" in log
    assert "behind the pace of the recording" in log
    assert "fell behind by" in log


def test_a_report_says_what_was_measured():
    report = ReplayReport(held={"/a": 5, "/b": 2}, left_out={"/c": "x/msg/Y is not installed"})
    report.published.update({"/a": 5, "/b": 1})
    report.rounds, report.played_s, report.running_s = 1, 6.0, 4.0
    for late in (0.001, 0.01, 0.25):
        report.lateness.add(late)
    assert report.behind
    assert report.lines() == [
        "left out: /c (x/msg/Y is not installed)",
        "/a: 5 of 5 messages",
        "/b: 1 of 2 messages",
        "late by 10.00 ms (median), 250.00 ms (95 %), 250.00 ms (most)",
        "0.8 messages a second, rate 1.500",
        "fell behind by 0.25 s; rate held 1.500",
    ]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"rate": 0.0}, r"rate = 0.0 is out of its range \[0.01, 100\]"),
        ({"clock_hz": 40.0, "restamp": True}, "clock_hz and restamp exclude each other"),
        ({"start_offset": -1.0}, "start_offset = -1.0 is out of its range"),
    ],
)
def test_wrong_wishes_are_refused(values, told):
    with pytest.raises(ParameterError, match=told):
        make_settings(bag="somewhere", **values)


# The verb


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "open_set_seg.cli", "bag", "play", *map(str, arguments)]


def test_the_verb_plays_renames_and_reports(tmp_path):
    bag = write_numbers(tmp_path / "bag", 6)
    with listening() as listener:
        listener.subscribe(String, "/other")
        arguments = (bag, "--rate", 2, "--topics", "/number", "/none", "-m", "/number:=/other")
        with subprocess.Popen(
            command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as player:
            assert listener.spin_until(lambda: player.poll() is not None)
            output, errors = player.communicate()
        assert player.returncode == 0
        assert numbers(listener, "/other") == [*range(6)]
    assert "/number: 6 of 6 messages" in output
    assert "left out: /none (not in the recording)" in output
    assert "warning: /none is left out: not in the recording" in errors


def test_the_verb_says_in_one_line_what_is_wrong(capsys):
    done = subprocess.run(command("/nowhere"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "/nowhere is not a whole recording" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    for arguments, told in (
        (["--rate", "0"], "rate = 0.0 is out of its range"),
        (["--remap", "x"], "--remap wants OLD:=NEW, not 'x'"),
        (["--clock", "--restamp"], "exclude each other"),
    ):
        assert cli.main(["bag", "play", "/nowhere", *arguments]) == 2
        assert told in capsys.readouterr().err


@contextmanager
def on_terminal(arguments: list[str]):
    """A process on a terminal of its own; gives what types to it and what reads from it."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(arguments[0], arguments)
    os.set_blocking(terminal, False)
    told = bytearray()

    def read() -> str:
        with suppress(BlockingIOError, OSError):  # nothing there, or the process has ended
            told.extend(os.read(terminal, 4096))
        return told.decode(errors="replace")

    try:
        yield lambda keys: os.write(terminal, keys), read
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def test_keys_pause_step_and_change_the_rate(tmp_path):
    bag = write_numbers(tmp_path / "bag", 30)
    arguments = command(bag, "--start-paused", "--wait-for-subscribers", 30)
    with listening() as listener, on_terminal(arguments) as (press, read):
        listener.subscribe(String, "/number")
        assert listener.spin_until(lambda: "PAUSED" in read())
        press(b"\x1b[C")
        assert listener.spin_until(lambda: numbers(listener) == [0])
        press(b"\x1b[C\x1b[C")
        assert listener.spin_until(lambda: numbers(listener) == [0, 1, 2])
        spin_for(listener, 0.5)
        assert numbers(listener) == [0, 1, 2]
        press(b"\x1b[A")
        assert listener.spin_until(lambda: "rate 1.10" in read())
        press(b" ")
        assert listener.spin_until(lambda: "30 of 30 messages" in read())
        assert listener.spin_until(lambda: numbers(listener) == [*range(30)])
    assert "SPACE pauses" in read()
    assert "1.4 of 1.4 s" in read()
