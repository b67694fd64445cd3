"""Ground truth of a recording: read as it was written, counted as scikit-learn counts."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_curve
from stereo_trees import LOST_AND_FOUND, render, train_ids, write_lost_and_found

from open_set_seg.bags import BagWriter, building, read_frames, topics
from open_set_seg.bags.conversion import ConversionConfig, convert, open_lost_and_found
from open_set_seg.frame import FrameResult, Obstacle, Prediction, RangeMap
from open_set_seg.metrics import TrueObject
from open_set_seg.processing.ground_truth import GroundTruth, TruthError, _read_codes
from open_set_seg.processing.truth_counts import (
    MOST_OBJECTS,
    TruthCounts,
    find_objects,
    leave_out_ignored,
    load_truth,
)
from open_set_seg.tracking import TrackedObstacle

FRAMES = render(3)
CODES = {"ground_truth": {"name": "ours", "inliers": [1], "outliers": [2]}}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    root = write_lost_and_found(tmp_path_factory.mktemp("tree"), FRAMES)
    bag = tmp_path_factory.mktemp("bags") / "bag"
    convert(open_lost_and_found(root, "test"), bag, ConversionConfig(17.0))
    return bag


def expected(frame):
    codes = train_ids(frame)
    return np.where(codes == 1, 0, np.where(codes == 2, 1, 255)).astype(np.uint8)


def write_labels(path, labels, info=CODES, stamps=None, encoding=""):
    with BagWriter(path) as bag:
        if info is not None:
            bag.write(topics.DATASET_INFO, 1, building.text(json.dumps(info)))
        for stamp, one in zip(stamps or range(5, 5 + len(labels)), labels, strict=True):
            bag.write(topics.GROUND_TRUTH, stamp, building.image(one, stamp, "c", encoding))
    return path


def test_labels_of_a_converted_data_set_mean_what_its_files_say(recording):
    with GroundTruth(recording) as truth:
        found = [truth.find(frame.stamp_ns) for frame in read_frames(recording)]
        assert (truth.present, truth.problem, truth.count) == (True, "", len(FRAMES))
        assert truth.name == "lost_and_found labelTrainIds"
    assert len(LOST_AND_FOUND) >= len(found) == 3
    for labels, frame in zip(found, FRAMES, strict=True):
        np.testing.assert_array_equal(labels, expected(frame))


def test_every_label_is_served_once_in_any_order_and_others_are_none(tmp_path):
    labels = [np.full((2, 3), code, np.uint8) for code in (1, 2, 7, 1)]
    bag = write_labels(tmp_path / "bag", labels, stamps=[10, 20, 30, 40])
    with GroundTruth(bag) as truth:
        order = [20, 10, 15, 40, 30, 30]
        found = [truth.find(stamp) for stamp in order]
    means = [None if one is None else int(one[0, 0]) for one in found]
    assert means == [1, 0, None, 0, 255, None]


def test_a_recording_without_labels_has_no_truth_and_no_problem(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        bag.write(topics.DATASET_FRAME, 1, building.text("x"))
    with GroundTruth(tmp_path / "bag") as truth:
        assert (truth.present, truth.problem, truth.find(1)) == (False, "", None)


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (None, "no /dataset/info"),
        ({"ground_truth": None}, "does not say what the labels mean"),
        ({"ground_truth": {"name": "x", "inliers": [300], "outliers": []}}, "codes 300 to 300"),
    ],
)
def test_labels_whose_codes_are_not_known_are_not_guessed(tmp_path, info, reason):
    with GroundTruth(write_labels(tmp_path / "bag", [np.ones((2, 2), np.uint8)], info)) as truth:
        assert truth.present
        assert reason in truth.problem
        assert truth.find(5) is None


def test_labels_of_another_kind_are_refused_by_name(tmp_path):
    bag = write_labels(tmp_path / "bag", [np.ones((2, 2, 3), np.uint8)])
    with GroundTruth(bag) as truth, pytest.raises(TruthError, match="'rgb8', expected mono8"):
        truth.find(5)


@given(st.one_of(st.text(), st.recursive(st.integers() | st.text() | st.none(), lambda inner:
    st.lists(inner) | st.dictionaries(st.sampled_from(["ground_truth", "name", "inliers",
    "outliers"]), inner)).map(json.dumps)))  # fmt: skip
def test_codes_from_outside_are_read_or_refused(text):
    try:
        _, table = _read_codes(text)
    except TruthError:
        return
    assert table.shape == (256,)
    assert set(table.tolist()) <= {0, 1, 255}


def a_result(anomaly, obstacles=(), depth=None, threshold=0.5):
    labels = np.zeros(anomaly.shape, np.uint8)
    ranges = None if depth is None else RangeMap(depth, np.full_like(depth, 0.1))
    prediction = Prediction(labels, anomaly, labels, threshold)
    return FrameResult(0, "c", prediction, tuple(obstacles), True, None, ranges, None)


def an_obstacle(mask, distance=math.nan, state=None):
    rows, columns = np.nonzero(mask)
    top, left = rows.min(), columns.min()
    box = (int(left), int(top), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
    inside = mask[top : top + box[3], left : left + box[2]]
    plain = Obstacle(
        1, "unknown", distance, 0.1, 1.0, (0.0, 0.0, distance), 1.0, 1.0, 0.9, 0.9, (), box,
        int(mask.sum()), np.zeros((1, 2), np.int32), inside,
    )  # fmt: skip
    if state is None:
        return plain
    return TrackedObstacle(**vars(plain), state=state, age=1, age_s=0.0, seen=1, window=3)


def some_frames(seed=0, number=4, shape=(40, 60)):
    random = np.random.default_rng(seed)
    for _ in range(number):
        labels = random.choice(np.array([0, 1, 255], np.uint8), p=[0.7, 0.1, 0.2], size=shape)
        # Steps, so that scores tie.
        anomaly = np.round(random.random(shape) * 0.6 + 0.4 * (labels == 1), 2).astype(np.float32)
        depth = random.uniform(2, 60, shape).astype(np.float32)
        depth[random.random(shape) < 0.2] = np.nan
        yield anomaly, labels, depth


def test_pixel_figures_are_those_of_scikit_learn():
    counts, scores, truth, depths = TruthCounts("x", 4), [], [], []
    for number, (anomaly, labels, depth) in enumerate(some_frames()):
        counts.add(number, a_result(anomaly, depth=depth), labels)
        judged = labels != 255
        scores.append(anomaly[judged])
        truth.append(labels[judged])
        depths.append(depth[judged])
    score, label, depth = map(np.concatenate, (scores, truth, depths))
    found = counts.result()
    assert found["pixels"]["AP"] == pytest.approx(average_precision_score(label, score), abs=1e-12)
    false, true, _ = roc_curve(label, score, drop_intermediate=False)
    assert found["pixels"]["FPR95"] == pytest.approx(false[np.argmax(true >= 0.95)], abs=1e-12)
    assert found["pixels"]["found_share"] == np.mean(score[label == 1] > 0.5)
    assert found["pixels"]["false_share"] == np.mean(score[label == 0] > 0.5)
    assert found["pixels"]["known_px"] == np.count_nonzero(label == 0)
    for row in found["distance"]["bands"]:
        near, far = row["band"]
        inside = (depth >= near) & (depth < far)
        expected_ap = average_precision_score(label[inside], score[inside])
        assert row["AP"] == pytest.approx(expected_ap, abs=1e-12)
        assert row["outliers"] == np.count_nonzero(label[inside] == 1)


def a_scene():
    """Two objects on the road, and a strip that nobody labelled."""
    labels = np.zeros((60, 80), np.uint8)
    labels[10:20, 10:20] = 1
    labels[40:52, 50:62] = 1
    labels[:, 70:] = 255
    depth = np.full(labels.shape, 12.0, np.float32)
    depth[40:52, 50:62] = 31.0
    depth[10:20, 10:12] = np.nan
    return labels, depth


def part(labels, rows, columns):
    mask = np.zeros(labels.shape, bool)
    mask[rows, columns] = True
    return mask


def test_labelled_objects_are_counted_by_distance_and_by_state():
    labels, depth = a_scene()
    near = an_obstacle(part(labels, slice(11, 20), slice(10, 20)), 12.5, "confirmed")
    far = an_obstacle(part(labels, slice(40, 52), slice(50, 62)), 30.0, "tentative")
    wrong = an_obstacle(part(labels, slice(25, 30), slice(25, 30)), 7.0, "tentative")
    counts = TruthCounts()
    row = counts.add(0, a_result(labels / np.float32(255), (near, far, wrong), depth), labels)
    assert row == {
        "known_px": 60 * 70 - 244.0, "unknown_px": 244.0, "objects": 2.0, "found_listed": 2.0,
        "found_confirmed": 1.0, "false_listed": 1.0, "false_confirmed": 0.0,
    }  # fmt: skip
    found = counts.result()["objects"]
    for kind, recalls in (("listed", {10.0: 1, 30.0: 1}), ("confirmed", {10.0: 1, 30.0: 0})):
        by_band = {one["band"][0]: one for one in found[kind]["bands"]}
        assert {near: by_band[near]["recall"] for near in recalls} == recalls
        assert sum(one["objects"] for one in by_band.values()) == 2


def test_what_nobody_labelled_is_neither_found_nor_false():
    labels, depth = a_scene()
    outside = an_obstacle(part(labels, slice(5, 15), slice(68, 78)))  # 8 of 10 columns ignored
    inside = an_obstacle(part(labels, slice(5, 15), slice(63, 73)))  # 3 of 10
    objects, ignored = find_objects(labels, depth)
    assert leave_out_ignored([outside, inside], objects, ignored) == [inside]
    row = TruthCounts().add(0, a_result(labels / np.float32(255), (outside, inside)), labels)
    assert row["false_listed"] == 1.0
    true = [TrueObject(labels == 255, 5.0)]
    assert leave_out_ignored([outside], true, ignored) == [outside]


def test_an_object_is_as_far_as_its_near_face_and_unknown_without_ranges():
    labels, depth = a_scene()
    depth[10:20, 12:14] = 9.0  # a quarter of what has range: beyond the tenth percentile
    distances = sorted(one.distance for one in find_objects(labels, depth)[0])
    assert distances == [9.0, 31.0]
    assert all(math.isnan(one.distance) for one in find_objects(labels, None)[0])


def test_too_many_objects_are_left_unjudged_not_counted_as_missed():
    labels = np.zeros((80, 80), np.uint8)
    labels[::4, ::4] = 1  # 400 objects of one pixel
    labels[:3, :3] = 1
    objects, ignored = find_objects(labels, None)
    assert len(objects) == MOST_OBJECTS
    assert max(one.mask.sum() for one in objects) == 9
    assert np.count_nonzero(ignored) == 400 - MOST_OBJECTS


def test_labels_of_another_size_are_left_out_and_named():
    counts = TruthCounts("x", 1)
    assert counts.add(0, a_result(np.zeros((4, 4), np.float32)), np.zeros((2, 2), np.uint8)) is None
    found = counts.result()
    assert found["frames"] == 0
    assert list(found["left_out"]) == ["labels of another size than the image"]
    assert found["objects"] is None
    assert math.isnan(found["pixels"]["AP"])


@pytest.mark.parametrize("code", [0, 1, 255])
def test_one_kind_of_pixels_alone_has_no_figures_and_no_error(tmp_path, code):
    counts = TruthCounts()
    labels = np.full((8, 8), code, np.uint8)
    counts.add(0, a_result(np.zeros((8, 8), np.float32)), labels)
    counts.save(tmp_path)
    found = load_truth(tmp_path)
    assert found["pixels"]["AP"] is None
    assert found["frames"] == 1


def test_another_file_is_not_taken_for_figures(tmp_path):
    assert load_truth(tmp_path) is None
    (tmp_path / "ground_truth.json").write_text('{"format_version": 99}')
    with pytest.raises(ValueError, match="figures of format 1"):
        load_truth(tmp_path)


def test_unexamined_frames_are_counted():
    counts = TruthCounts()
    blind = replace(a_result(np.zeros((4, 4), np.float32)), examined=False)
    counts.add(0, blind, np.zeros((4, 4), np.uint8))
    assert counts.result()["unexamined"] == 1
