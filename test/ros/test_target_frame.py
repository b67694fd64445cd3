"""Rigid transforms against SciPy and plain axes, placed messages, and tf that fails."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_harness import (
    FOCAL,
    Running,
    make_obstacle,
    make_stamp,
    wait_until,
)
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from vision_stand_ins import VISION
from visualization_msgs.msg import Marker, MarkerArray

from open_set_seg.frame import Camera, Problem
from open_set_seg.messages import decode_points
from open_set_seg.ros.messages import (
    build_detections,
    build_markers,
    build_obstacle_list,
    build_points,
    place_cloud,
    place_detections,
    place_markers,
)
from open_set_seg.ros.transforms import OutputFrame, RigidTransform, TfBuffer

SECOND = 10**9
HALF = np.sqrt(0.5)
# Optical (x right, y down, z forward) to body (x forward, y left, z up), 1 m above the ground.
OPTICAL_TO_BODY = RigidTransform(np.array([-0.5, 0.5, -0.5, 0.5]), np.array([0.2, 0.0, 1.0]))
IDENTITY = RigidTransform(np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(3))

components = st.floats(-1, 1)
quaternions = st.tuples(components, components, components, components).filter(
    lambda q: np.linalg.norm(q) > 0.1
)
vectors = st.tuples(*[st.floats(-100, 100)] * 3)
transforms = st.builds(lambda q, t: RigidTransform(np.array(q), np.array(t)), quaternions, vectors)


@pytest.mark.parametrize(
    ("rotation", "point", "moved"),
    [
        ((HALF, 0, 0, HALF), (0, 1, 0), (0, 0, 1)),
        ((0, HALF, 0, HALF), (0, 0, 1), (1, 0, 0)),
        ((0, 0, HALF, HALF), (1, 0, 0), (0, 1, 0)),
        ((0, 0, 2, 2), (1, 0, 0), (0, 1, 0)),
    ],
)
def test_quarter_turns_about_the_axes(rotation, point, moved):
    transform = RigidTransform(np.array(rotation), np.array([10.0, 20.0, 30.0]))
    np.testing.assert_allclose(transform.apply(point) - [10, 20, 30], moved, atol=1e-12)


def test_forward_of_the_camera_is_forward_of_the_robot():
    right_down_forward = OPTICAL_TO_BODY.apply([[0, 0, 5], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(
        right_down_forward, [[5.2, 0, 1], [0.2, -1, 1], [0.2, 0, 0]], atol=1e-12
    )


@given(transforms, transforms, vectors, quaternions)
def test_transforms_are_those_of_scipy(first, second, point, orientation):
    ours, theirs = first.matrix, Rotation.from_quat(first.rotation)
    np.testing.assert_allclose(ours, theirs.as_matrix(), atol=1e-12)
    moved = theirs.apply(point) + first.translation
    np.testing.assert_allclose(first.apply(point), moved, atol=1e-10)
    chain = second.after(first)
    np.testing.assert_allclose(chain.apply(point), second.apply(first.apply(point)), atol=1e-9)
    np.testing.assert_allclose(first.inverse().apply(moved), point, atol=1e-9)
    turned = (theirs * Rotation.from_quat(orientation)).as_matrix()
    np.testing.assert_allclose(
        Rotation.from_quat(first.turn(orientation)).as_matrix(), turned, atol=1e-9
    )


@given(transforms)
def test_a_point_that_is_not_known_stays_unknown(transform):
    assert np.isnan(transform.apply([np.nan, np.nan, np.nan])).all()
    assert np.isnan(transform.apply([1.0, 2.0, np.nan])).any()


@given(transforms, st.lists(st.floats(-3, 3), min_size=36, max_size=36))
def test_covariances_keep_what_no_frame_can_change(transform, numbers):
    root = np.array(numbers).reshape(6, 6)
    covariance = root @ root.T
    turned = transform.rotate_covariance(covariance.ravel())
    for block in (np.s_[:3, :3], np.s_[3:, 3:]):
        np.testing.assert_allclose(
            np.linalg.eigvalsh(turned[block]), np.linalg.eigvalsh(covariance[block]), atol=1e-8
        )
    direction = np.array([1.0, 2.0, 3.0])
    along = transform.matrix @ direction
    np.testing.assert_allclose(
        along @ turned[:3, :3] @ along, direction @ covariance[:3, :3] @ direction, atol=1e-7
    )


@pytest.mark.parametrize(
    ("rotation", "translation"),
    [((0, 0, 0, 0), (0, 0, 0)), ((0, 0, 0, np.nan), (0, 0, 0)), ((0, 0, 0, 1), (0, np.inf, 0))],
)
def test_what_is_no_transform_is_refused(rotation, translation):
    with pytest.raises(ValueError, match="no rigid transform"):
        RigidTransform(np.array(rotation, float), np.array(translation, float))


def image_header() -> Header:
    return Header(stamp=make_stamp(3 * SECOND + 7), frame_id="left_optical")


def test_a_placed_cloud_moves_its_points_and_nothing_else():
    obstacles = (make_obstacle(12.0), make_obstacle(float("nan")))
    before = decode_points(build_obstacle_list(image_header(), obstacles, 12)).copy()
    message = build_obstacle_list(image_header(), obstacles, 12)
    placed = place_cloud(message, OPTICAL_TO_BODY, "base_link")
    after = decode_points(placed)
    assert (placed.header.frame_id, placed.header.stamp) == ("base_link", make_stamp(3000000007))
    assert after[0]["x"] == pytest.approx(12.2)
    assert after[0]["y"] == pytest.approx(-0.5)
    assert after[0]["z"] == pytest.approx(0.8)
    assert np.isnan([after[1][name] for name in "xyz"]).all()
    for name in set(before.dtype.names) - set("xyz"):
        np.testing.assert_array_equal(after[name], before[name])


def test_the_organised_cloud_stays_organised():
    depth = np.full((300, 400), 4.0, np.float32)
    depth[7, 9] = np.nan
    camera = Camera(400, 300, FOCAL, FOCAL, 200.0, 150.0)
    plain = decode_points(build_points(image_header(), depth, camera))
    placed = place_cloud(build_points(image_header(), depth, camera), OPTICAL_TO_BODY, "base_link")
    points = decode_points(placed)
    assert (placed.width, placed.height) == (400, 300)
    assert np.isnan(points["x"][7 * 400 + 9])
    np.testing.assert_allclose(points["x"], plain["z"] + 0.2, rtol=1e-6)
    np.testing.assert_allclose(points["z"], 1.0 - plain["y"], rtol=1e-6, atol=1e-6)


def test_placed_markers_and_detections_are_the_same_things_elsewhere():
    header, obstacle = image_header(), make_obstacle(12.0)
    markers = place_markers(build_markers(header, (obstacle,)), OPTICAL_TO_BODY, "base_link")
    assert {marker.header.frame_id for marker in markers.markers} == {"base_link"}
    assert {marker.header.stamp.sec for marker in markers.markers} == {3}
    assert header.frame_id == "left_optical", "the image's own header is shared"
    box = next(marker for marker in markers.markers if marker.type == Marker.CUBE)
    turn = Rotation.from_quat([getattr(box.pose.orientation, name) for name in "xyzw"])
    assert box.pose.position.x == pytest.approx(12.3), "the box lies behind its near face"
    across, up, along = turn.apply(np.eye(3))
    np.testing.assert_allclose(across, [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(up, [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(along, [1, 0, 0], atol=1e-12)
    found = build_detections(VISION, header, (obstacle,))
    (detection,) = place_detections(found, OPTICAL_TO_BODY, "base_link").detections
    assert detection.header.frame_id == "base_link"
    assert detection.bbox.center.position.x == pytest.approx(12.2)
    assert detection.bbox.size.x == obstacle.width
    covariance = np.array(detection.results[0].pose.covariance).reshape(6, 6)
    assert covariance[0, 0] == pytest.approx(0.3**2), "of the distance, which is x now"
    assert covariance[2, 2] == pytest.approx(0.3**2 * (0.2 / 12.0) ** 2)


class Known:
    """A source that knows one transform, from a stamp on."""

    def __init__(self, since_ns: int = 0) -> None:
        self.since_ns, self.asked, self.forgotten = since_ns, [], 0

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform | str:
        self.asked.append((target, source, stamp_ns))
        return OPTICAL_TO_BODY if stamp_ns >= self.since_ns else "extrapolation into the past"

    def forget(self) -> None:
        self.forgotten += 1

    def close(self) -> None:
        pass


def test_no_frame_asked_for_asks_nobody():
    source = Known()
    assert OutputFrame("", source).find("left_optical", 5) is None
    assert OutputFrame("left_optical", source).find("left_optical", 5) is None
    assert not source.asked


def test_the_stamp_of_the_image_is_asked_for_and_a_failure_is_told():
    source = Known(since_ns=SECOND)
    frame = OutputFrame("base_link", source)
    assert frame.find("left_optical", SECOND) is OPTICAL_TO_BODY
    assert frame.reason is None
    problem = frame.find("left_optical", SECOND - 1)
    assert isinstance(problem, Problem)
    for word in ("left_optical", "base_link", "extrapolation into the past"):
        assert word in problem.message
    assert frame.reason == "extrapolation into the past"
    assert source.asked[-1] == ("base_link", "left_optical", SECOND - 1)
    assert source.forgotten == 1, "time went back"
    assert isinstance(frame.find("", 2 * SECOND), Problem)


def listen(running: Running) -> dict[str, list]:
    heard = {
        topic: running.camera.listen(kind, f"detector/{topic}")
        for topic, kind in {
            "segmentation": Image,
            "obstacles/list": PointCloud2,
            "obstacles/points": PointCloud2,
            "obstacles/markers": MarkerArray,
            "points": PointCloud2,
        }.items()
    }
    running.connect()
    for topic in heard:
        wait_until(lambda t=topic: running.detector._outputs.wanted(f"~/{t}"), topic)
    return heard


def frames_of(heard: dict[str, list], index: int) -> dict[str, str]:
    return {
        topic: (messages[index].markers[0] if topic.endswith("markers") else messages[index])
        .header.frame_id
        for topic, messages in heard.items()
    }  # fmt: skip


@pytest.fixture
def tf(monkeypatch):
    """A stand-in for tf2_ros with its names; it knows a transform at stamps from 2 s on."""
    module = types.ModuleType("tf2_ros")

    class TransformException(Exception):
        pass

    class Buffer:
        def lookup_transform(self, target, source, time):
            if time.nanoseconds < 2 * SECOND:
                raise TransformException("Lookup would require extrapolation\n into the past")
            assert (target, source) == ("base_link", "left_optical")
            make = types.SimpleNamespace
            rotation = dict(zip("xyzw", OPTICAL_TO_BODY.rotation, strict=True))
            move = dict(zip("xyz", OPTICAL_TO_BODY.translation, strict=True))
            return make(transform=make(rotation=make(**rotation), translation=make(**move)))

        def clear(self):
            pass

    class TransformListener:
        open = 0

        def __init__(self, buffer, node, spin_thread):
            assert not spin_thread, "no thread besides our own"
            TransformListener.open += 1

        def unregister(self):
            TransformListener.open -= 1

    module.TransformException, module.Buffer = TransformException, Buffer
    module.TransformListener = TransformListener
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    yield module
    assert TransformListener.open == 0, "a listener that nobody closed"


def test_obstacles_and_points_go_out_in_the_target_frame_and_images_do_not(tf, run_node):
    running = run_node({"target_frame": "base_link"})
    heard = listen(running)
    running.send(2 * SECOND)
    wait_until(lambda: all(heard.values()), "outputs")
    frames = frames_of(heard, 0)
    assert frames.pop("segmentation") == "left_optical"
    assert set(frames.values()) == {"base_link"}
    assert heard["points"][0].header.stamp == make_stamp(2 * SECOND)
    (obstacle,) = decode_points(heard["obstacles/list"][0])
    assert obstacle["x"] == pytest.approx(obstacle["distance"] + 0.2)


def test_without_a_transform_at_the_stamp_outputs_stay_and_say_so(tf, run_node, capfd):
    running = run_node({"target_frame": "base_link"})
    heard = listen(running)
    running.send(SECOND)
    running.problem("transform.missing")
    wait_until(lambda: all(heard.values()), "outputs")
    assert set(frames_of(heard, 0).values()) == {"left_optical"}
    running.send(2 * SECOND)
    wait_until(lambda: all(len(messages) > 1 for messages in heard.values()), "outputs")
    assert frames_of(heard, 1)["points"] == "base_link", "the next frame is placed again"
    assert "extrapolation into the past" in capfd.readouterr().err


def test_without_tf_the_node_works_in_the_optical_frame_and_names_what_is_missing(
    run_node, monkeypatch, capfd
):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    running = run_node({"target_frame": "base_link"})
    assert running.detector.problems.snapshot() == {"transform.unavailable": 1}
    assert "needs tf2_ros, which is not installed" in capfd.readouterr().err
    heard = listen(running)
    running.send(SECOND)
    wait_until(lambda: all(heard.values()), "outputs")
    assert set(frames_of(heard, 0).values()) == {"left_optical"}
    assert running.detector._frame.reason == "tf2_ros is not installed"


def test_a_transform_that_is_none_is_a_reason(tf, monkeypatch):
    buffer = TfBuffer(node=None)
    broken = types.SimpleNamespace(rotation=types.SimpleNamespace(x=0, y=0, z=0, w=0),
        translation=types.SimpleNamespace(x=0, y=0, z=0))  # fmt: skip
    monkeypatch.setattr(
        tf.Buffer, "lookup_transform", lambda *_: types.SimpleNamespace(transform=broken)
    )
    assert "no rigid transform" in buffer.lookup("base_link", "left_optical", 2 * SECOND)
    buffer.close()
