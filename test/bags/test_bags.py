"""Recordings: whole or not there, readable by other tools, and frames as they were sent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader

from open_set_seg.bags import (
    BagError,
    BagWriter,
    FrameTopics,
    building,
    match_stamps,
    open_frames,
    read_frames,
    read_messages,
)
from open_set_seg.frame import Camera, DepthMap, DisparityMap
from open_set_seg.messages import LIST_POINT, decode_points

CAMERA = Camera(width=6, height=4, fx=50.0, fy=51.0, cx=2.5, cy=1.5)
LEFT = "left_camera_optical_frame"
PERIOD = 100_000_000


def picture(seed, shape=(4, 6, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def disparity(seed):
    values = np.random.default_rng(seed).uniform(1, 20, (4, 6)).astype(np.float32)
    return DisparityMap(values, 50.0, 0.25, min_disparity=0.5, max_disparity=64.0, quantum=0.0625)


def write_drive(path, frames=3, storage="mcap", disparity_stamps=None):
    """A recording in which every disparity comes after the next image, as a slow matcher's does."""
    with BagWriter(path, storage) as bag:
        for n in range(frames):
            now = n * PERIOD
            bag.write("/camera_info", now, building.camera_info(CAMERA, now, LEFT))
            bag.write("/right/camera_info", now, building.camera_info(CAMERA, now, "right", 0.25))
            bag.write("/image", now, building.image(picture(n), now, LEFT))
        for n in range(frames):
            stamp = n * PERIOD if disparity_stamps is None else disparity_stamps[n]
            if stamp is not None:
                message = building.disparity_image(disparity(n), stamp, LEFT)
                bag.write("/disparity", n * PERIOD + 3 * PERIOD // 2, message)
    return path


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_frames_come_back_as_they_were_written(tmp_path, storage):
    frames = list(read_frames(write_drive(tmp_path / "bag", storage=storage)))
    assert [frame.stamp_ns for frame in frames] == [0, PERIOD, 2 * PERIOD]
    for n, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, picture(n))
        assert frame.frame_id == LEFT
        assert frame.camera == CAMERA
        assert frame.right_baseline == 0.25
        np.testing.assert_array_equal(frame.range_input.values, disparity(n).values)
        assert frame.range_input.focal_length == 50.0
        assert frame.range_input.baseline == 0.25
        assert frame.range_input.quantum == 0.0625


def test_other_tools_read_the_recording(tmp_path):
    path = write_drive(tmp_path / "bag", frames=2)
    with (path / "bag.mcap").open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        images = [
            message
            for _, channel, _, message in reader.iter_decoded_messages()
            if channel.topic == "/image"
        ]
    assert bytes(images[1].data) == picture(1).tobytes()
    assert images[1].header.stamp.nanosec == PERIOD
    with AnyReader([path]) as reader:
        assert {topic: info.msgcount for topic, info in reader.topics.items()} == {
            "/camera_info": 2,
            "/disparity": 2,
            "/image": 2,
            "/right/camera_info": 2,
        }


def test_the_folder_holds_what_rosbag2_expects(tmp_path):
    path = write_drive(tmp_path / "drive")
    assert {entry.name for entry in path.iterdir()} == {"metadata.yaml", "drive.mcap"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["drive"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_recording_leaves_nothing_behind(tmp_path, error):
    def record():
        with BagWriter(tmp_path / "bag") as bag:
            bag.write("/image", 0, building.image(picture(0), 0, LEFT))
            assert not (tmp_path / "bag").exists()
            raise error

    with pytest.raises(error):
        record()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_recording_is_not_taken_for_a_whole_one(tmp_path):
    bag = BagWriter(tmp_path / "bag").__enter__()
    bag.write("/image", 0, building.image(picture(0), 0, LEFT))  # and then nothing more happens
    with pytest.raises(BagError, match="not a whole recording"):
        list(read_frames(tmp_path / "bag"))
    for left in tmp_path.rglob("*"):
        if left.is_dir():
            with pytest.raises(BagError):
                list(read_frames(left))


def test_an_existing_recording_is_not_overwritten(tmp_path):
    path = write_drive(tmp_path / "bag", frames=1)
    with pytest.raises(BagError, match="exists"):
        BagWriter(path)
    assert len(list(read_frames(path))) == 1


def test_topics_keep_one_known_type(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("/image", 0, building.image(picture(0), 0, LEFT))
        with pytest.raises(BagError, match=r"/image carries sensor_msgs/msg/Image"):
            bag.write("/image", 0, building.camera_info(CAMERA, 0, LEFT))
        with pytest.raises(BagError, match="no definition"):
            bag.write_cdr("/odd", "odd_msgs/msg/Odd", 0, b"\0\1\0\0")


def test_a_recording_without_the_image_topic_says_what_it_holds(tmp_path):
    path = write_drive(tmp_path / "bag", frames=1)
    with pytest.raises(BagError, match=r"no image topic /cam.*/image \(sensor_msgs/msg/Image\)"):
        list(read_frames(path, FrameTopics(image="/cam")))


def test_a_ros_1_recording_is_refused_by_name(tmp_path):
    with pytest.raises(BagError, match="ROS 1"):
        list(read_frames(tmp_path / "old.bag"))


def test_late_and_missing_disparities_cost_no_image(tmp_path):
    stamps = [2_000_000, None, 2 * PERIOD]
    path = write_drive(tmp_path / "bag", disparity_stamps=stamps)
    exact = [frame.range_input is not None for frame in read_frames(path)]
    assert exact == [False, False, True]
    near = list(read_frames(path, tolerance_s=0.005))
    assert [frame.range_input is not None for frame in near] == [True, False, True]
    np.testing.assert_array_equal(near[0].range_input.values, disparity(0).values)


def test_depth_serves_where_there_is_no_disparity(tmp_path):
    depth = np.linspace(1, 9, 24, dtype=np.float32).reshape(4, 6)
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("/image", 0, building.image(picture(0), 0, LEFT))
        bag.write("/depth", 0, building.image(depth, 0, LEFT))
    (frame,) = read_frames(tmp_path / "bag")
    assert isinstance(frame.range_input, DepthMap)
    np.testing.assert_array_equal(frame.range_input.values, depth)
    assert frame.camera is None


def test_messages_that_cannot_be_decoded_are_said_once_and_skipped(tmp_path, caplog):
    with BagWriter(tmp_path / "bag") as bag:
        for n in range(4):
            message = building.image(picture(n), n, LEFT, encoding="rgb8" if n == 3 else "odd")
            bag.write("/image", n, message)
    frames = list(read_frames(tmp_path / "bag"))
    assert [frame.stamp_ns for frame in frames] == [3]
    assert [record.getMessage().count("'odd'") for record in caplog.records] == [1]


def test_opened_frames_know_their_place_and_their_problems(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        for n in range(4):
            message = building.image(picture(n), n, LEFT, encoding="odd" if n == 1 else "rgb8")
            bag.write("/image", 100 + n, message)
            bag.write("/disparity", 200 + n, building.disparity_image(disparity(n), n, LEFT))
    with open_frames(tmp_path / "bag") as (stamps, frames):
        found = list(frames)
    assert stamps == [each.stamp_ns for each in found] == [0, 1, 2, 3]
    assert [each.number for each in found] == [0, 1, 2, 3]
    assert [each.time_ns for each in found] == [100, 101, 102, 103]
    assert [each.frame is None for each in found] == [False, True, False, False]
    assert [len(each.problems) for each in found] == [0, 1, 0, 0]
    assert found[1].problems[0].code == "image.encoding"
    assert found[2].frame.range_input is not None


def test_points_come_back_as_they_were_written(tmp_path):
    points = np.zeros(3, LIST_POINT)
    points["distance"], points["id"] = [4.5, np.nan, 6.25], [0, 1, 70000]
    points["nearest_class"] = [1, 2, 255]
    with BagWriter(tmp_path / "bag") as bag:
        bag.write("/list", 7, building.point_cloud(points, 5, LEFT, is_dense=False))
    ((topic, time_ns, message),) = read_messages(tmp_path / "bag", ["/list"])
    assert (topic, time_ns, message.header.stamp.nanosec) == ("/list", 7, 5)
    decoded = decode_points(message)
    for name in LIST_POINT.names:
        np.testing.assert_array_equal(decoded[name], points[name])


def brute_force_matching(images, ranges, tolerance):
    """Equal stamps in order of appearance, then the nearest of all free pairs, again and again."""
    partners = [None] * len(images)
    free = list(range(len(ranges)))
    for i, stamp in enumerate(images):
        for r in free:
            if ranges[r] == stamp:
                partners[i] = r
                free.remove(r)
                break
    while True:
        pairs = [
            (abs(images[i] - ranges[r]), i, r)
            for i in range(len(images))
            if partners[i] is None
            for r in free
            if abs(images[i] - ranges[r]) <= tolerance
        ]
        if not pairs:
            return partners
        _, i, r = min(pairs)
        partners[i] = r
        free.remove(r)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 30), max_size=8),
    st.lists(st.integers(0, 30), max_size=8),
    st.integers(0, 5),
)
def test_matching_equals_brute_force(images, ranges, tolerance):
    assert match_stamps(images, ranges, tolerance) == brute_force_matching(
        images, ranges, tolerance
    )
