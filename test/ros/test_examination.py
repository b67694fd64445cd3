"""Doctor on a live system over real DDS: a simulator process and a detector process."""

from __future__ import annotations

import json

import pytest
import rclpy
from drives import make_drive
from node_harness import wait_until
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from open_set_seg import cli
from open_set_seg.doctor.inputs import examine_inputs
from open_set_seg.ros.examination import ExaminationError, examine_live
from open_set_seg.ros.processes import Executable
from open_set_seg.simulation import save_drive

TOPICS = {
    "image": "/image", "camera_info": "/camera_info", "disparity": "/disparity",
    "depth": "/depth", "right_camera_info": "/right/camera_info",
}  # fmt: skip
SEGMENT = 2**20


@pytest.fixture
def camera(tmp_path):
    """A looped best-effort camera of tiny images."""
    # Longer than what is heard of it: samples of a short loop can all be the same picture.
    save_drive(make_drive(101), tmp_path / "drive")
    parameters = {
        "drive": tmp_path / "drive", "loop": True, "rate_hz": 20.0, "reliable": False,
        "wait_for_subscribers": 0,
    }  # fmt: skip
    with Executable("open_set_seg.ros.simulator", parameters, {}, tmp_path / "log") as running:
        yield running


@pytest.fixture
def reliable_listener():
    """A subscription as RViz has it by default, to images that are offered best effort."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("rviz", context=context)
    node.create_subscription(Image, "/image", lambda message: None, QoSProfile(depth=1))
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def remarks(found):
    # On a busy machine the camera itself falters, and noise shows no road: both is rightly said.
    expected = ("rates", "diagnostics")
    return [f for f in found if f.severity in ("warning", "error") and f.check not in expected]


def test_a_running_system_is_fine_and_a_deaf_listener_is_named(camera, start_process, request):
    process = start_process("--ros-args", "-p", "sync_tolerance_s:=0.02")
    process.wait_for("processing")  # the first frame: everybody has found each other
    seen = examine_live(TOPICS, "/detector", seconds=2.0, segment_bytes=SEGMENT)
    assert seen.tolerance_s == 0.02
    assert seen.sim_time is False
    assert {role: stream.topic for role, stream in seen.streams.items()} == {
        role: topic for role, topic in TOPICS.items() if role != "depth"
    }
    assert any(status.name.startswith("/detector: ") for status in seen.statuses)
    for role in ("image", "disparity"):
        stream = seen.streams[role]
        assert [p.reliability for p in stream.publishers] == ["best_effort"]
        assert [s.node for s in stream.subscribers] == ["/detector"]
        assert len(stream.stamps_ns) >= 10
    found = examine_inputs(seen)
    assert remarks(found) == []
    assert {"topics", "qos", "stamps", "pairing", "images", "camera", "range"} <= {
        f.check for f in found if f.severity == "ok"
    }

    listener = request.getfixturevalue("reliable_listener")
    wait_until(lambda: listener.count_publishers("/image") > 0, "the listener to find the camera")
    found = remarks(examine_inputs(examine_live(TOPICS, seconds=1.0, segment_bytes=SEGMENT)))
    assert [(f.check, f.severity) for f in found] == [("qos", "error")]
    assert "/rviz hears nothing from /simulator on /image" in found[0].what


def test_a_system_without_anybody_is_described(monkeypatch, capsys):
    monkeypatch.setenv("ROS_DOMAIN_ID", "101")
    monkeypatch.setattr("open_set_seg.doctor.examine_environment", list)
    with pytest.raises(ExaminationError, match="no node /detector in domain 101"):
        examine_live(TOPICS, "/detector", seconds=0.1)
    assert cli.main(["doctor", "--live", "--seconds", "0.1", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [f["check"] for f in findings if f["severity"] == "error"] == ["topics"]
    assert "remap the node: image:=TOPIC" in findings[0]["advice"]
