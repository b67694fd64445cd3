"""The node's contract over real DDS, with a plain detector behind it."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_harness import (
    FOCAL,
    Camera,
    FakeDetector,
    make_camera_info,
    make_disparity,
    make_image,
    make_stamp,
    wait_until,
)
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from vision_stand_ins import VISION
from visualization_msgs.msg import MarkerArray

from open_set_seg.frame import DepthMap, DisparityMap, Frame
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.observer import Observer
from open_set_seg.ros.messages import build_jpeg
from open_set_seg.ros.outputs import Outputs, Publication
from open_set_seg.ros.settings import Settings

SECOND = 10**9
MS = 10**6


def newest_status(messages: list, name: str):
    """The newest DiagnosticStatus whose name ends with ``name``, with its values."""
    for message in reversed(messages):
        for status in message.status:
            if status.name.endswith(name):
                return status, {pair.key: pair.value for pair in status.values}
    return None, {}


def warm_up(running, stamp_ns: int = SECOND) -> None:
    """One good frame through everything."""
    running.connect()
    before = running.count("processed")
    running.send(stamp_ns)
    running.processed(before + 1)


def test_every_output_keeps_stamp_and_frame_of_its_image(run_node):
    running = run_node()
    camera = running.camera
    heard = {
        topic: camera.listen(kind, f"detector/{topic}")
        for topic, kind in {
            "segmentation": Image,
            "confidence": Image,
            "anomaly": Image,
            "anomaly/heatmap": Image,
            "overlay": Image,
            "overlay/compressed": CompressedImage,
            "obstacles/list": PointCloud2,
            "obstacles/points": PointCloud2,
            "obstacles/markers": MarkerArray,
            "points": PointCloud2,
        }.items()
    }
    running.connect()
    for topic in heard:
        wait_until(lambda t=topic: running.detector._outputs.wanted(f"~/{t}"), topic)
    camera.send(7 * SECOND + 5)
    wait_until(lambda: all(heard.values()), "outputs")
    for topic, messages in heard.items():
        header = messages[0].markers[0].header if topic.endswith("markers") else messages[0].header
        assert header.stamp == make_stamp(7 * SECOND + 5), topic
        assert header.frame_id == "left_optical", topic
    labels, anomaly = heard["segmentation"][0], heard["anomaly"][0]
    assert (labels.encoding, labels.step) == ("mono8", 32)
    assert np.frombuffer(labels.data, np.uint8).reshape(16, 32)[4, 4] == 12
    assert (anomaly.encoding, anomaly.step) == ("32FC1", 128)
    assert np.frombuffer(anomaly.data, np.float32).max() == 0.75
    assert heard["obstacles/list"][0].width == 1
    assert heard["obstacles/points"][0].width == 6
    assert (heard["points"][0].width, heard["points"][0].height) == (32, 16)


def test_nothing_is_computed_for_topics_without_listeners(run_node, monkeypatch):
    running = run_node()

    def refuse(*_):
        raise AssertionError("drawn for nobody")

    monkeypatch.setattr("open_set_seg.ros.outputs.draw_overlay", refuse)
    monkeypatch.setattr("open_set_seg.ros.outputs.build_points", refuse)
    warm_up(running)
    assert running.count("failed") == 0


def test_without_a_disparity_segmentation_goes_on_with_unknown_distance(run_node):
    running = run_node()
    listing = running.camera.listen(PointCloud2, "detector/obstacles/list")
    points = running.camera.listen(PointCloud2, "detector/obstacles/points")
    running.connect()
    running.camera.send(SECOND, disparity=False)
    wait_until(lambda: listing, "the obstacle list")
    assert np.isnan(np.frombuffer(listing[0].data[12:16], np.float32)[0]), "distance"
    running.send(2 * SECOND)
    wait_until(lambda: len(listing) > 1 and points, "the obstacle list with distance")
    distance = np.frombuffer(listing[1].data[12:16], np.float32)[0]
    assert distance == pytest.approx(FOCAL * 0.5 / 5.0)
    assert len(points) == 1, "obstacles without range give no cloud that looks empty"


def test_frames_that_were_not_examined_give_no_empty_list(run_node):
    running = run_node()
    listing = running.camera.listen(PointCloud2, "detector/obstacles/list")
    labels = running.camera.listen(Image, "detector/segmentation")
    markers = running.camera.listen(MarkerArray, "detector/obstacles/markers")
    reports = running.camera.listen(DiagnosticArray, "/diagnostics")
    running.connect()
    running.fake.examined = False
    running.camera.send(SECOND)
    wait_until(lambda: len(labels) == 1, "the segmentation")
    running.fake.examined, running.fake.obstacles = True, False
    running.camera.send(2 * SECOND)
    wait_until(lambda: listing and markers, "the empty list of an examined frame")
    assert [m.header.stamp.sec for m in listing] == [2]
    assert listing[0].width == 0
    assert len(markers) == 1
    wait_until(
        lambda: newest_status(reports, "detector")[1].get("not_examined") == "1", "diagnostics"
    )


def test_an_obstacle_topic_of_vision_msgs_is_absent_without_the_package(run_node):
    running = run_node()
    topics = dict(running.camera.node.get_topic_names_and_types())
    assert not [t for t in topics if t.endswith(("detector/obstacles", "detector/label_info"))]


def test_where_vision_msgs_is_installed_its_topics_are_served():
    """With plain classes of the same fields, as the package has no wheel."""
    published: dict[str, list] = {}

    class Publisher:
        def __init__(self, topic: str) -> None:
            self.publish = published.setdefault(topic, []).append

        def get_subscription_count(self) -> int:
            return 1

    class StandIn:
        def create_publisher(self, kind, topic, qos, **_):
            return Publisher(topic)

        def get_fully_qualified_name(self) -> str:
            return "/detector"

    outputs = Outputs(StandIn(), VISION)
    outputs.open()
    outputs.publish_label_info(make_stamp(5), STREETHAZARDS, 0.25)
    (info,) = published["~/label_info"]
    assert info.threshold == 0.25
    assert info.header.stamp == make_stamp(5)
    fake, frame = FakeDetector(), Frame(np.zeros((16, 32, 3), np.uint8))
    for fake.examined, fake.obstacles in [(True, True), (True, False), (False, False)]:
        seen = Observer(fake).observe(frame)
        outputs.publish(Publication(Header(), frame, seen, None, STREETHAZARDS, Settings()))
    assert [len(array.detections) for array in published["~/obstacles"]] == [1, 0]


@pytest.mark.parametrize("reliability", list(ReliabilityPolicy)[1:3], ids=lambda p: p.name)
@pytest.mark.parametrize("durability", list(DurabilityPolicy)[1:3], ids=lambda p: p.name)
def test_publishers_of_every_qos_connect(run_node, reliability, durability):
    running = run_node()
    qos = QoSProfile(depth=5, reliability=reliability, durability=durability)
    for kind, topic in ((Image, "image"), (CameraInfo, "camera_info")):
        publisher = running.camera.node.create_publisher(kind, topic, qos)
        running.connect(publisher)
        if kind is Image:
            publisher.publish(make_image(SECOND))
    running.processed(1)


def test_compressed_images_are_taken_from_the_transport_s_topic(run_node):
    running = run_node({"image_transport": "compressed"})
    publisher = running.camera.node.create_publisher(CompressedImage, "image/compressed", 5)
    running.connect(publisher)
    picture = np.full((16, 32, 3), (200, 100, 20), np.uint8)
    publisher.publish(build_jpeg(make_image(SECOND).header, picture, 95))
    running.processed(1)
    assert np.abs(running.fake.frames[0].image.astype(int) - picture).max() < 8


def test_depth_takes_the_place_of_disparity(run_node):
    running = run_node({"range_source": "depth"})
    publisher = running.camera.node.create_publisher(Image, "depth", 5)
    running.connect(publisher, running.camera.image)
    depth = make_disparity(SECOND, value=4.0).image
    publisher.publish(depth)
    running.camera.image.publish(make_image(SECOND))
    running.processed(1)
    assert isinstance(running.fake.frames[0].range_input, DepthMap)
    assert running.fake.frames[0].range_input.values[0, 0] == 4.0


def test_the_right_camera_s_calibration_reaches_the_detector(run_node):
    running = run_node()
    publisher = running.camera.node.create_publisher(CameraInfo, "right/camera_info", 5)
    running.connect(publisher)
    publisher.publish(make_camera_info(tx=-0.5 * FOCAL))
    right = running.detector._inputs.right_info
    wait_until(lambda: right.arrivals.count == 1, "the right camera_info")
    warm_up(running)
    assert running.fake.frames[0].right_baseline == pytest.approx(0.5)


def test_scaled_outputs_come_with_a_calibration_of_their_size(run_node):
    running = run_node({"output_scale": 0.5})
    infos = running.camera.listen(CameraInfo, "detector/camera_info")
    labels = running.camera.listen(Image, "detector/segmentation")
    points = running.camera.listen(PointCloud2, "detector/points")
    warm_up(running)
    wait_until(lambda: infos and labels and points, "scaled outputs")
    for message in (infos[0], labels[0], points[0]):
        assert (message.width, message.height) == (16, 8)
        assert message.header.stamp == make_stamp(SECOND)
    assert infos[0].p[0] == FOCAL / 2


def test_a_slow_detector_gets_the_newest_frame_and_drops_are_counted(run_node):
    running = run_node({"range_source": "none"})
    running.connect(running.camera.image)
    running.fake.gate.clear()
    for n in range(20):
        running.camera.image.publish(make_image(SECOND + n * 10 * MS))
        wait_until(lambda n=n: running.detector._inputs.image.arrivals.count == n + 1, "arrival")
    running.fake.gate.set()
    running.processed(2)
    stamps = [(frame.stamp_ns - SECOND) // (10 * MS) for frame in running.fake.frames]
    assert stamps == [0, 19]
    assert running.detector._slot.snapshot()["dropped"] == 18


def test_frames_that_are_too_old_are_left_out(run_node):
    running = run_node({"max_input_age_s": 1.0})
    running.connect()
    running.camera.send(SECOND)
    wait_until(lambda: running.count("stale") == 1, "a stale frame")
    running.camera.send(time.time_ns())
    running.processed(1)


def test_disparity_80_ms_late_at_20_hz_pairs_every_frame(run_node):
    running = run_node({"disparity_wait_s": 2.0})
    camera = running.camera
    running.connect()
    camera.info.publish(make_camera_info())
    began = time.monotonic()
    events = sorted(
        [(n * 0.05, n, camera.image, make_image) for n in range(12)]
        + [(n * 0.05 + 0.08, n, camera.disparity, make_disparity) for n in range(12)],
        key=lambda event: event[0],
    )
    for due, n, publisher, make in events:
        wait_until(lambda due=due: time.monotonic() - began >= due, "the moment")
        publisher.publish(make(SECOND + n * 50 * MS))
    running.processed(12)
    counts = running.detector._slot.snapshot()
    assert counts.get("exact") == 12
    assert all(isinstance(frame.range_input, DisparityMap) for frame in running.fake.frames)


def test_a_looped_recording_goes_on_after_the_jump(run_node):
    running = run_node()
    running.connect()
    for lap in range(3):
        for n in range(3):
            running.send(SECOND + n * 50 * MS)
            running.processed(3 * lap + n + 1)
    assert all(frame.range_input is not None for frame in running.fake.frames)
    assert running.detector._slot.snapshot()["jumps"] == 2


def test_disparity_that_is_gone_for_two_seconds_comes_back_within_a_frame(run_node):
    running = run_node()
    reports = running.camera.listen(DiagnosticArray, "/diagnostics")
    warm_up(running)
    silent_since, n = time.monotonic(), 0
    while time.monotonic() - silent_since < 2.0:
        n += 1
        running.camera.send(SECOND + n * 50 * MS, disparity=False)
        running.processed(1 + n)
    wait_until(
        lambda: newest_status(reports, "pairing")[0].level == DiagnosticStatus.WARN,
        "a warning about the disparity",
    )
    assert running.detector._slot.snapshot()["passed"] > 0
    running.send(1000 * SECOND)
    running.processed(n + 2)
    assert running.fake.frames[-1].range_input is not None


def test_two_nodes_in_two_namespaces_do_not_hear_each_other(run_node):
    first, second = run_node(), run_node()
    second.connect()
    warm_up(first)
    assert second.detector._inputs.image.arrivals.count == 0


def test_camera_info_is_looked_for_beside_a_remapped_image(run_node):
    running = run_node(arguments=["-r", "image:=/rig/left/image_rect"])
    assert running.detector._inputs.image.topic == "/rig/left/image_rect"
    assert running.detector._inputs.camera_info.topic == "/rig/left/camera_info"
    both = run_node(arguments=["-r", "image:=/rig/left/image_rect", "-r", "camera_info:=/info"])
    assert both.detector._inputs.camera_info.topic == "/info"


def test_qos_can_be_overridden_in_the_standard_way(run_node):
    running = run_node(arguments=["-r", "image:=/loud/image", "-p",
        "qos_overrides./loud/image.subscription.reliability:=reliable"])  # fmt: skip
    (info,) = running.camera.node.get_subscriptions_info_by_topic("/loud/image")
    assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE


def test_simulated_time_that_never_comes_does_not_silence_the_reports(run_node):
    running = run_node({"use_sim_time": True})
    reports = running.camera.listen(DiagnosticArray, "/diagnostics")
    wait_until(lambda: len(reports) >= 2, "reports without a clock")
    warm_up(running)


def test_a_clock_that_jumps_back_makes_the_node_forget_what_waits(run_node):
    running = run_node({"use_sim_time": True, "disparity_wait_s": 5.0})
    running.connect()
    clock = running.camera.node.create_publisher(Clock, "/clock", 5)

    def reads(seconds: int) -> bool:
        clock.publish(Clock(clock=make_stamp(seconds * SECOND)))
        return running.node.get_clock().now().nanoseconds == seconds * SECOND

    wait_until(lambda: reads(10), "the clock")
    running.camera.image.publish(make_image(10 * SECOND))
    wait_until(lambda: running.detector._inputs.image.arrivals.count == 1, "the image")
    wait_until(lambda: reads(5), "the jump")
    running.send(5 * SECOND)
    running.processed(1)
    assert [frame.stamp_ns for frame in running.fake.frames] == [5 * SECOND]
    assert running.fake.frames[0].range_input is not None


def test_steps_of_a_managed_node_can_be_walked_twice(run_node):
    running = run_node()
    warm_up(running)
    running.detector.deactivate()
    assert running.camera.image.topic_name
    wait_until(lambda: running.camera.image.get_subscription_count() == 0, "unsubscription")
    running.detector.cleanup()
    running.detector.configure()
    running.detector.activate()
    warm_up(running, 5 * SECOND)
    assert running.count("processed") == 2


def test_an_error_inside_the_detector_costs_one_frame(run_node):
    running = run_node()
    running.connect()
    running.fake.failure = RuntimeError("out of memory")
    running.camera.send(SECOND)
    running.problem("internal.RuntimeError")
    running.fake.failure = None
    running.camera.send(2 * SECOND)
    running.processed(1)
    assert running.count("failed") == 1


def set_parameter(running, name: str, value):
    return running.node.set_parameters([Parameter(name, value=value)])[0]


def test_parameters_are_retuned_between_two_frames(run_node):
    running = run_node()
    warm_up(running)
    assert set_parameter(running, "threshold", 1).successful, "an integer for a double"
    assert set_parameter(running, "obstacles.min_area_px", 33).successful
    assert set_parameter(running, "obstacles.known_classes", ["car"]).successful
    assert set_parameter(running, "disparity_wait_s", 0.5).successful
    warm_up(running, 2 * SECOND)
    config = running.fake.configs[-1]
    assert config.threshold == 1.0
    assert config.obstacles.min_area_px == 33
    assert config.obstacles.known_classes == ("car",)
    assert running.detector._slot._pairing.config.wait_s == 0.5


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("threshold", 1.5, "threshold"),
        ("threshold", 2, "threshold = 2.0 is out of its range"),
        ("threshold", "high", "threshold must be of type double"),
        ("range.max_range", 0.2, "min_range < max_range"),
        ("ground.mode", "none", "hull, off"),
        ("obstacles.known_classes", ["tank"], "tank"),
        ("model", "other.safetensors", "while the node is unconfigured"),
        ("autostart", False, "read-only"),
        ("treshold", 0.5, "undeclared"),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_a_reason(run_node, name, value, reason):
    running = run_node()
    before = running.detector.settings
    result = set_parameter(running, name, value) if name != "treshold" else None
    if result is None:
        with pytest.raises(Exception, match=reason):
            set_parameter(running, name, value)
    else:
        assert not result.successful
        assert reason in result.reason
    assert running.detector.settings is before


def test_unknown_parameters_are_reported_by_name_and_do_no_harm(run_node, capfd):
    running = run_node({"treshold": 0.5, "jpeg_quality": 50})
    assert running.detector.settings.jpeg_quality == 50
    assert not running.node.has_parameter("treshold")
    assert "there is no parameter 'treshold'; did you mean 'threshold'?" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"threshold": 3.0}, "threshold = 3.0 is out of its range"),
        ({"threshold": "x"}, "threshold must be of type double"),
        ({"jpeg_quality": 0}, "jpeg_quality"),
        ({"range.min_range": 90.0}, "min_range"),
    ],
)
def test_a_wrong_parameter_at_the_start_is_named(run_node, parameters, text):
    with pytest.raises(ValueError, match=text):
        run_node(parameters)


def test_diagnostics_say_what_is_missing_and_what_was_measured(run_node):
    running = run_node({"input_timeout_s": 0.5})
    reports = running.camera.listen(DiagnosticArray, "/diagnostics")
    wait_until(
        lambda: (
            newest_status(reports, "detector")[1].get("missing") == "image, camera_info, disparity"
        ),
        "missing inputs",
    )
    assert newest_status(reports, "detector")[0].level == DiagnosticStatus.ERROR
    running.connect()
    n = 0

    def fine() -> bool:
        nonlocal n
        n += 1
        running.camera.send(n * 20 * MS)
        return newest_status(reports, "detector")[0].level == DiagnosticStatus.OK

    wait_until(fine, "an OK")
    values = newest_status(reports, "detector")[1]
    assert values["model"] == "fake.safetensors"
    assert values["model_hash"] == "0" * 12
    assert values["device"] == "a fake"
    assert values["score"] == "jsd"
    assert float(values["threshold"]) == 0.5
    assert int(values["processed"]) > 0
    for stage in ("decode", "detector", "publish", "latency", "wait"):
        assert float(values[f"{stage}_ms.p50"]) <= float(values[f"{stage}_ms.p95"]), stage
    values = newest_status(reports, "input image")[1]
    assert values["topic"] == running.camera.image.topic_name
    assert "camera" in values["publishers"]
    assert "reliable" in values["publishers"]
    assert float(values["rate_hz"]) > 0
    assert "dropped" in newest_status(reports, "pairing")[1]


def test_silence_is_explained_by_topic_publishers_and_type(run_node, capfd):
    running = run_node({"input_timeout_s": 0.3, "range_source": "depth"})
    text = ""

    def explained() -> bool:
        nonlocal text
        text += capfd.readouterr().err
        return all(f"{name}.silent: no message" in text for name in ("image", "depth"))

    wait_until(explained, "explanations")
    topic = running.detector._inputs.image.topic
    assert f"no message on {topic} (sensor_msgs/msg/Image)" in text
    assert f"published by {running.node.get_namespace()}/camera" in text
    assert "/depth (sensor_msgs/msg/Image)" in text
    assert "it has no publisher; remap 'depth'" in text


def test_an_input_that_came_before_is_not_told_to_be_remapped():
    from open_set_seg.ros.diagnostics import InputReport, describe_silence

    kind = "sensor_msgs/msg/Image"
    report = InputReport(
        "image", "/image", True, (f"/player ({kind}, reliable, volatile)",), 12, 0.0, 6.0, 6.0, 5.0,
        {}, False,
    )  # fmt: skip
    told = describe_silence(report, kind)
    assert "for 6 s, 12 before: /player" in told
    assert "slow, pauses or has stopped" in told
    assert "profile" not in told
    gone = describe_silence(replace(report, publishers=()), kind)
    assert gone.endswith("its publisher is gone")
    assert "config/fastdds.xml" in describe_silence(replace(report, received=0), kind)


def test_stamps_that_never_match_are_explained(run_node, capfd):
    running = run_node({"disparity_wait_s": 0.05})
    running.connect()
    n, text = 0, ""

    def explained() -> bool:
        nonlocal n, text
        n, text = n + 1, text + capfd.readouterr().err
        running.camera.disparity.publish(make_disparity(n * SECOND + 300 * MS))
        running.camera.image.publish(make_image(n * SECOND))
        return "pairing.mismatch" in text

    wait_until(explained, "an explanation")
    assert "sync_tolerance_s" in text


def test_the_camera_may_be_best_effort(run_node):
    running = run_node()
    camera = Camera(running.camera_node, best_effort=True)
    running.connect(camera.image, camera.info, camera.disparity)
    camera.send(SECOND)
    running.processed(1)
