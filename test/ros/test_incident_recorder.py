"""The recorder in the node, over real DDS: a confirmed obstacle, a service call, diagnostics."""

from __future__ import annotations

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from node_harness import BASELINE, FOCAL, Running, make_camera_info, wait_until
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from std_srvs.srv import Trigger

from open_set_seg.bags import open_bag, read_frames
from open_set_seg.bags.incidents import RecorderConfig, read_summary
from open_set_seg.messages import decode_points
from open_set_seg.ros.recorder_parameters import RECORDER_PARAMETERS
from open_set_seg.ros.settings import build_settings

SECOND = 10**9


def parameters(folder, **options):
    given = {"folder": str(folder), "before_s": 0.5, "after_s": 0.5, "min_free_mb": 0.0, **options}
    return {f"recorder.{name}": value for name, value in given.items()}


def bags_in(folder):
    return sorted(path for path in folder.glob("incident-*") if "partial" not in path.name)


def drive(running: Running, first: int, last: int) -> None:
    """Frames at 10 Hz, each processed before the next is sent."""
    for n in range(first, last):
        before = running.count("processed")
        running.send(n * SECOND // 10)
        running.processed(before + 1)


def ask(running: Running) -> Trigger.Response:
    client = running.camera_node.create_client(Trigger, "detector/record_incident")
    assert client.wait_for_service(timeout_sec=15.0)
    future = client.call_async(Trigger.Request())
    wait_until(future.done, "an answer of the service")
    return future.result()


def recorder_status(messages) -> dict[str, str]:
    for message in reversed(messages):
        for status in message.status:
            if status.name.endswith(": recorder"):
                return {pair.key: pair.value for pair in status.values} | {"text": status.message}
    return {}


def test_a_confirmed_obstacle_is_recorded_as_it_was_seen(run_node, tmp_path):
    running = run_node(parameters(tmp_path))
    diagnostics = running.camera.listen(DiagnosticArray, "/diagnostics")
    running.fake.obstacles = False
    running.connect()
    right = running.camera_node.create_publisher(type(make_camera_info()), "right/camera_info", 10)
    running.connect(right)
    right.publish(make_camera_info(0, tx=-FOCAL * BASELINE))
    wait_until(lambda: running.detector._inputs.right_info.arrivals.count > 0, "the right camera")
    drive(running, 10, 20)
    running.fake.obstacles = True
    drive(running, 20, 30)  # confirmed at 2.1 s: 1.6 to 2.6 s are recorded
    wait_until(lambda: bags_in(tmp_path), "a recording")
    wait_until(lambda: recorder_status(diagnostics).get("written") == "1", "diagnostics")
    (bag,) = bags_in(tmp_path)
    frames = list(read_frames(bag))
    assert [one.stamp_ns for one in frames] == [n * SECOND // 10 for n in range(16, 27)]
    for one in frames:
        assert (one.image == 90).all()
        assert one.frame_id == "left_optical"
        assert one.camera is not None
        assert one.camera.fx == FOCAL
        assert one.right_baseline == BASELINE
        assert (one.range_input.values == 5.0).all()
    summary = read_summary(bag)
    assert [each["id"] for each in summary["reasons"]] == [1]
    assert summary["reasons"][0]["time_s"] == 0.5
    assert summary["reasons"][0]["distance"] == FOCAL * BASELINE / 5.0
    assert (summary["model"], summary["threshold"]) == ("fake.safetensors", 0.5)
    assert summary["topics"]["image"].endswith("/image")
    with open_bag(bag) as reader:
        found: dict[str, list] = {}
        for connection, _, cdr in reader.messages():
            message = reader.deserialize(cdr, connection.msgtype)
            found.setdefault(connection.topic, []).append(message)
    assert {topic: len(each) for topic, each in found.items()} == dict.fromkeys(
        ("/image", "/camera_info", "/right/camera_info", "/disparity", "/detector/segmentation",
         "/detector/visibility", "/detector/obstacles/list"), 11,
    )  # fmt: skip
    states = [decode_points(one)["state"].tolist() for one in found["/detector/obstacles/list"]]
    assert states == [[]] * 4 + [[1]] + [[2]] * 6, "tentative, then confirmed"
    labels = np.asarray(found["/detector/segmentation"][0].data).reshape(16, 32)
    assert labels[4, 4] == 12
    assert running.count("failed") == 0


def test_the_service_records_what_is_in_memory(run_node, tmp_path):
    running = run_node(parameters(tmp_path, after_s=0.2, min_score=1.0))
    running.connect()
    sent = [n * SECOND // 10 for n in range(10, 16)]
    drive(running, 10, 16)
    answer = ask(running)
    assert answer.success, answer.message
    assert "0.5 s ago" in answer.message
    drive(running, 16, 20)
    wait_until(lambda: bags_in(tmp_path), "a recording")
    (bag,) = bags_in(tmp_path)
    recorded = [one.stamp_ns for one in read_frames(bag)]
    assert recorded == sent + [n * SECOND // 10 for n in (16, 17)]
    summary = read_summary(bag)
    assert (summary["requested"], summary["ended"]) == (True, "over")


def test_without_a_folder_nothing_is_kept_and_the_service_says_so(run_node):
    running = run_node()
    diagnostics = running.camera.listen(DiagnosticArray, "/diagnostics")
    running.connect()
    drive(running, 10, 12)
    answer = ask(running)
    assert not answer.success
    assert "recorder.folder" in answer.message
    wait_until(lambda: recorder_status(diagnostics).get("text") == "off", "diagnostics")


def test_a_folder_that_cannot_be_used_costs_no_frame(run_node, tmp_path):
    (tmp_path / "file").write_text("")
    running = run_node(parameters(tmp_path / "file" / "folder"))
    diagnostics = running.camera.listen(DiagnosticArray, "/diagnostics")
    running.connect()
    running.problem("recorder.failed")
    drive(running, 10, 20)
    assert running.count("failed") == 0
    wait_until(lambda: recorder_status(diagnostics).get("state") == "resting", "diagnostics")
    assert "not recorded" in recorder_status(diagnostics)["text"]
    assert not ask(running).success


def test_bounds_change_while_the_node_runs_and_the_folder_does_not(run_node, tmp_path):
    running = run_node(parameters(tmp_path))
    node = running.node
    changed = node.set_parameters([Parameter("recorder.before_s", value=0.2)])[0]
    assert changed.successful, changed.reason
    running.connect()
    running.fake.obstacles = False
    drive(running, 10, 20)
    assert running.detector._incidents._recorder.status().buffered_s <= 0.2 + 1e-9
    refused = node.set_parameters([Parameter("recorder.max_bag_mb", value=1e6)])[0]
    assert not refused.successful
    assert "max_total_mb" in refused.reason
    refused = node.set_parameters([Parameter("recorder.folder", value="/elsewhere")])[0]
    assert not refused.successful


def test_the_recorder_ends_with_the_activity_of_the_node(run_node, tmp_path):
    running = run_node(parameters(tmp_path, after_s=100.0))
    running.connect()
    drive(running, 10, 16)
    running.detector.deactivate()
    wait_until(lambda: bags_in(tmp_path), "a recording")
    assert read_summary(bags_in(tmp_path)[0])["ended"] == "silence"


def test_parameters_have_the_defaults_of_the_recorder(tmp_path):
    config = RecorderConfig(tmp_path)
    for row in RECORDER_PARAMETERS[1:]:
        assert row.default == getattr(config, row.name.removeprefix("recorder.")), row.name
    assert build_settings({}).recorder is None
    assert build_settings({"recorder.folder": str(tmp_path)}).recorder == config


def test_parts_are_the_messages_that_arrived(run_node, tmp_path, monkeypatch):
    """Field for field; bytes between fields have no value of their own."""
    running = run_node(parameters(tmp_path, before_s=0.0, after_s=0.0))
    kept = []
    collect = running.detector._inputs.collect
    monkeypatch.setattr(
        running.detector._inputs, "collect", lambda pair: kept.append(collect(pair)) or kept[-1]
    )
    running.connect()
    drive(running, 10, 14)
    wait_until(lambda: bags_in(tmp_path), "a recording")
    with open_bag(bags_in(tmp_path)[0]) as reader:
        raw = {c.topic: bytes(cdr) for c, _, cdr in reader.messages()}
    for name in ("image", "camera_info", "disparity"):
        message = kept[1][name]
        assert deserialize_message(raw[f"/{name}"], type(message)) == message
