"""Results -> messages: layouts are read back byte by byte, as a subscriber would."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from node_harness import make_camera_info, make_obstacle
from sensor_msgs.msg import PointField
from std_msgs.msg import Header
from vision_stand_ins import VISION
from visualization_msgs.msg import Marker

from open_set_seg.frame import Camera, FrameResult, Prediction, RangeMap
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.ros.messages import (
    VisionMessages,
    build_bgr,
    build_confidence,
    build_detections,
    build_image,
    build_jpeg,
    build_label_info,
    build_markers,
    build_obstacle_list,
    build_obstacle_points,
    build_points,
    build_scaled_camera_info,
    decode_camera,
    decode_image,
    import_vision_messages,
)

NAN = float("nan")
HEADER = Header(frame_id="left_optical")
HEADER.stamp.sec, HEADER.stamp.nanosec = 12, 34
CAMERA = Camera(8, 6, 50.0, 60.0, 3.5, 2.5)
DTYPES = {
    PointField.FLOAT32: ("<f4", 4),
    PointField.UINT32: ("<u4", 4),
    PointField.UINT8: ("u1", 1),
}


def read_cloud(message) -> dict[str, np.ndarray]:
    """Fields of a PointCloud2, from its own description alone."""
    data = np.frombuffer(message.data, np.uint8)
    assert message.row_step == message.point_step * message.width
    assert data.size == message.row_step * message.height
    points = data.reshape(message.height, message.width, message.point_step)
    result, end = {}, 0
    for entry in message.fields:
        kind, size = DTYPES[entry.datatype]
        assert entry.count == 1
        assert entry.offset >= end, "fields do not overlap"
        end = entry.offset + size
        assert end <= message.point_step
        raw = np.ascontiguousarray(points[:, :, entry.offset : end])
        result[entry.name] = raw.view(kind)[..., 0]
    return result


def make_result(**changes: Any) -> FrameResult:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 13, (6, 8), dtype=np.uint8)
    depth = rng.uniform(2, 30, (6, 8)).astype(np.float32)
    depth[3, 2] = NAN
    obstacle = replace(
        make_obstacle(), box=(2, 3, 3, 2), mask=np.array([[1, 1, 0], [0, 1, 1]], bool)
    )
    result = FrameResult(
        stamp_ns=0,
        frame_id="left_optical",
        prediction=Prediction(
            labels, rng.uniform(0, 1, (6, 8)).astype(np.float32), labels % 12, 0.5
        ),
        obstacles=(obstacle,),
        examined=True,
        ground=None,
        range_map=RangeMap(depth, depth * 0.1),
        camera=CAMERA,
    )
    return replace(result, **changes)


@pytest.mark.parametrize(
    ("encoding", "kind", "shape"),
    [("mono8", np.uint8, (6, 8)), ("bgr8", np.uint8, (6, 8, 3)), ("32FC1", np.float32, (6, 8))],
)
def test_images_have_no_row_padding_and_carry_the_header(encoding, kind, shape):
    pixels = (np.random.default_rng(0).random(shape) * 200).astype(kind)
    message = build_image(HEADER, pixels[:, ::-1], encoding)  # not contiguous
    assert message.header == HEADER
    assert (message.height, message.width, message.encoding) == (6, 8, encoding)
    assert message.step * message.height == len(message.data)
    read = np.frombuffer(message.data, kind).reshape(shape)
    np.testing.assert_array_equal(read, pixels[:, ::-1])


def test_confidence_is_255_minus_255_times_the_anomaly():
    anomaly = np.array([[0.0, 0.25, 0.5, 1.0]], np.float32)
    data = np.frombuffer(build_confidence(HEADER, anomaly).data, np.uint8)
    assert data.tolist() == [255, 191, 128, 0]


def test_pictures_are_read_back_with_their_colours():
    picture = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_image(build_bgr(HEADER, picture)), picture)
    smooth = np.broadcast_to(np.array((210, 90, 20), np.uint8), (32, 32, 3)).copy()
    jpeg = build_jpeg(HEADER, smooth, 95)
    read = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(read.astype(int) - smooth).max() < 8
    assert "jpeg" in jpeg.format


def test_the_obstacle_list_has_the_fields_of_the_contract_in_their_types():
    message = build_obstacle_list(HEADER, (), 12)
    floats = ["x", "y", "z", "distance", "sigma", "valid_share", "score", "width", "height"]
    expected = [(name, PointField.FLOAT32) for name in floats]
    expected += [("id", PointField.UINT32), ("state", PointField.UINT8)]
    expected += [("nearest_class", PointField.UINT8)]
    assert [(f.name, f.datatype) for f in message.fields] == expected
    assert (message.height, message.width, len(message.data)) == (1, 0, 0)
    assert message.is_dense


def test_the_obstacle_list_says_what_the_obstacles_are():
    far = replace(
        make_obstacle(), id=7, position=(NAN, NAN, NAN), distance=NAN, distance_sigma=NAN,
        width=NAN, height=NAN, valid_share=0.0, nearest_classes=(),
    )  # fmt: skip
    message = build_obstacle_list(HEADER, (make_obstacle(), far), 12)
    assert message.header == HEADER
    assert not message.is_dense
    cloud = {name: values[0] for name, values in read_cloud(message).items()}
    near = {name: values[0] for name, values in cloud.items()}
    assert near == pytest.approx(
        {
            "x": 0.5, "y": 0.2, "z": 12.0, "distance": 12.0, "sigma": 0.3, "valid_share": 0.9,
            "score": 0.8, "width": 1.0, "height": 0.5, "id": 1, "state": 0, "nearest_class": 9,
        }
    )  # fmt: skip
    assert math.isnan(cloud["distance"][1])
    assert math.isnan(cloud["x"][1])
    assert (cloud["id"][1], cloud["nearest_class"][1]) == (7, 12)


def test_obstacle_points_are_the_pixels_of_the_mask_with_valid_range():
    result = make_result()
    message = build_obstacle_points(HEADER, result, 12)
    assert [f.name for f in message.fields] == ["x", "y", "z", "anomaly", "probability", "class_id"]
    cloud = {name: values[0] for name, values in read_cloud(message).items()}
    expected = []
    for row, column in [(3, 3), (4, 3), (4, 4)]:  # (3, 2) has no range
        z = result.range_map.depth[row, column]
        x, y = (column - 3.5) * z / 50.0, (row - 2.5) * z / 60.0
        expected.append((x, y, z, result.prediction.anomaly[row, column]))
    read = np.stack([cloud[name] for name in ("x", "y", "z", "anomaly")], axis=1)
    np.testing.assert_allclose(read, expected, rtol=1e-6)
    np.testing.assert_array_equal(cloud["probability"], cloud["anomaly"])
    assert set(cloud["class_id"]) == {12}


def test_points_of_a_known_class_carry_that_class():
    result = make_result()
    result = replace(result, obstacles=(replace(result.obstacles[0], kind="car"),))
    cloud = {n: v[0] for n, v in read_cloud(build_obstacle_points(HEADER, result, 12)).items()}
    nearest = result.prediction.nearest
    assert cloud["class_id"].tolist() == [nearest[3, 3], nearest[4, 3], nearest[4, 4]]
    np.testing.assert_allclose(cloud["probability"], 1 - cloud["anomaly"], rtol=1e-6)


def test_obstacle_points_of_a_clear_frame_are_an_empty_cloud():
    message = build_obstacle_points(HEADER, make_result(obstacles=()), 12)
    assert (message.width, len(message.data)) == (0, 0)
    with pytest.raises(ValueError, match="range map"):
        build_obstacle_points(HEADER, make_result(range_map=None), 12)


def test_the_organised_cloud_has_the_pixels_in_order_and_nan_where_unknown():
    depth = make_result().range_map.depth
    message = build_points(HEADER, depth, CAMERA)
    assert (message.height, message.width, message.point_step) == (6, 8, 12)
    assert not message.is_dense
    cloud = read_cloud(message)
    rows, columns = np.mgrid[:6, :8]
    np.testing.assert_allclose(cloud["z"], depth)
    np.testing.assert_allclose(cloud["x"], (columns - 3.5) * depth / 50, rtol=1e-5)
    np.testing.assert_allclose(cloud["y"], (rows - 2.5) * depth / 60, rtol=1e-5)
    assert np.isnan(cloud["x"][3, 2])
    assert np.isnan(cloud["z"]).sum() == 1


def test_markers_start_with_deleteall_and_end_by_themselves():
    unplaced = replace(make_obstacle(), id=2, position=(NAN, NAN, NAN), distance=NAN)
    markers = build_markers(HEADER, (make_obstacle(), unplaced)).markers
    assert [marker.action for marker in markers] == [Marker.DELETEALL, Marker.ADD, Marker.ADD]
    box, text = markers[1:]
    assert (box.type, text.type) == (Marker.CUBE, Marker.TEXT_VIEW_FACING)
    assert box.header == text.header == HEADER
    assert (box.ns, box.id) != (text.ns, text.id)
    assert box.id == 1
    assert box.lifetime.sec * 1e9 + box.lifetime.nanosec >= 0.3e9
    assert (box.scale.x, box.scale.y) == (1.0, 0.5)
    assert box.pose.position.z - box.scale.z / 2 == pytest.approx(12.0), "front of the box"
    assert text.text == "12.0 ± 0.3 m", "as in the pictures; without a number: not followed"
    assert text.pose.position.y < box.pose.position.y - box.scale.y / 2, "above the box"


@pytest.mark.parametrize("scale", [0.5, 0.25])
def test_scaled_calibration_keeps_the_rays(scale):
    source = make_camera_info(5, 64, 48, tx=-20.0)
    camera = decode_camera(source).scaled(int(64 * scale), int(48 * scale))
    scaled = build_scaled_camera_info(source, camera, HEADER)
    assert decode_camera(scaled) == camera
    assert scaled.header == HEADER
    assert scaled.p[3] / scaled.p[0] == pytest.approx(source.p[3] / source.p[0])
    assert scaled.k[0] / source.k[0] == pytest.approx(scale)
    assert (scaled.k[2] + 0.5) == pytest.approx((source.k[2] + 0.5) * scale)
    assert (source.width, source.p[0]) == (64, 100.0), "the original stays as it was"


def test_label_info_names_every_id_and_unknown():
    message = build_label_info(VISION, HEADER, STREETHAZARDS, 0.7)
    names = {entry.class_id: entry.class_name for entry in message.class_map}
    assert names == {**dict(enumerate(STREETHAZARDS.classes)), 12: "unknown"}
    assert 255 not in names, "255 means unlabelled"
    assert message.threshold == 0.7


def test_detections_carry_position_size_score_and_covariance():
    message = build_detections(VISION, HEADER, (make_obstacle(),))
    assert message.header == HEADER
    (detection,) = message.detections
    (hypothesis,) = detection.results
    assert detection.id == "1"
    assert (hypothesis.hypothesis.class_id, hypothesis.hypothesis.score) == ("unknown", 0.8)
    position = hypothesis.pose.pose.position
    assert (position.x, position.y, position.z) == (0.5, 0.2, 12.0)
    assert (detection.bbox.size.x, detection.bbox.size.y) == (1.0, 0.5)
    covariance = np.array(hypothesis.pose.covariance).reshape(6, 6)
    assert covariance[2, 2] == pytest.approx(0.09)
    np.testing.assert_allclose(covariance, covariance.T)
    ray = np.array(make_obstacle().position)
    np.testing.assert_allclose(covariance[:3, :3], 0.09 * np.outer(ray, ray) / 144)


def test_detections_of_unknown_distance_are_kept_with_nan_and_a_large_variance():
    blind = replace(make_obstacle(), position=(NAN, NAN, NAN), distance=NAN, distance_sigma=NAN)
    (detection,) = build_detections(VISION, HEADER, (blind,)).detections
    pose = detection.results[0].pose
    assert math.isnan(pose.pose.position.z)
    assert np.isfinite(pose.covariance).all()
    assert pose.covariance[14] >= 1e6


def test_an_empty_list_is_a_message_too():
    assert build_detections(VISION, HEADER, ()).detections == []


def test_vision_msgs_is_absent_without_it(monkeypatch):
    import sys
    import types

    monkeypatch.setitem(sys.modules, "vision_msgs", None)
    assert import_vision_messages() is None
    package = types.ModuleType("vision_msgs")
    older = types.SimpleNamespace(Detection3DArray=VISION.Detection3DArray)  # no LabelInfo
    package.msg = older
    monkeypatch.setitem(sys.modules, "vision_msgs", package)
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", package.msg)
    assert import_vision_messages() is None
    for name in VisionMessages.__dataclass_fields__:
        setattr(package.msg, name, getattr(VISION, name))
    assert import_vision_messages() == VISION
