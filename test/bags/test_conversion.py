"""LostAndFound and Cityscapes as recordings: the numbers of the files, read back by others too."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import stereo_trees as trees
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from PIL import Image

from open_set_seg import cli
from open_set_seg.bags import BagError, FrameTopics, read_frames, read_messages
from open_set_seg.bags.conversion import (
    ConversionConfig,
    ConversionError,
    convert,
    open_cityscapes,
    open_lost_and_found,
)
from open_set_seg.bags.conversion import cityscapes as cityscapes_conversion
from open_set_seg.bags.conversion import lost_and_found as lost_and_found_conversion
from open_set_seg.bags.conversion.config import assign_stamps
from open_set_seg.bags.conversion.frames import FrameFiles
from open_set_seg.stereo import RangeConfig, estimate_range
from training.datasets import cityscapes, lost_and_found
from training.datasets.codes import CodeTable

RATE = 10.0
IDS = trees.LOST_AND_FOUND
# Frames 30, 40, 60; a second later 10; a second later 120.
SECONDS = (0.0, 1.0, 3.0, 4.0, 5.0)
STAMPS = tuple(10**18 + round(s * 10**9) for s in SECONDS)


@pytest.fixture(scope="module")
def rendered():
    return trees.render(len(IDS))


@pytest.fixture(scope="module")
def tree(tmp_path_factory, rendered):
    return trees.write_lost_and_found(tmp_path_factory.mktemp("laf"), rendered)


@pytest.fixture
def own_tree(tmp_path, tree):
    return Path(shutil.copytree(tree, tmp_path / "own"))


def make_bag(tree, output, **config):
    source = open_lost_and_found(tree, "test")
    return convert(source, output, ConversionConfig(RATE, **config))


@pytest.fixture(scope="module")
def bag(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("bags") / "all"
    assert make_bag(tree, path).complete
    return path


def stored(tree, frame_id, folder, ending) -> np.ndarray:
    """A file's numbers by a reader that is not ours."""
    return np.asarray(Image.open(trees.place(tree, folder, frame_id, ending)))


def messages(bag, topic):
    return [message for _, _, message in read_messages(bag, [topic])]


def test_distances_are_those_of_the_files(tree, bag):
    frames = list(read_frames(bag))
    assert tuple(frame.stamp_ns for frame in frames) == STAMPS
    for frame_id, frame in zip(IDS, frames, strict=True):
        codes = stored(tree, frame_id, "disparity", "disparity.png").astype(np.float64)
        camera = json.loads(trees.place(tree, "camera", frame_id, "camera.json").read_text())
        reach = camera["intrinsic"]["fx"] * camera["extrinsic"]["baseline"]
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = np.where(codes > 1, reach / ((codes - 1) / 256), np.nan)
        config = RangeConfig(min_range=0.01, max_range=1e6)
        ranges, problems = estimate_range(
            frame.range_input, codes.shape, frame.camera, config, frame.right_baseline
        )
        assert problems == ()
        assert 0.02 < np.isnan(expected).mean() < 0.98  # sky, and not only sky
        np.testing.assert_allclose(ranges.depth, expected, rtol=2 * np.finfo(np.float32).eps)


def test_pictures_truth_and_cameras_are_those_of_the_files(tree, bag, rendered):
    for frame_id, frame, scene in zip(IDS, read_frames(bag), rendered, strict=True):
        left = stored(tree, frame_id, "leftImg8bit", "leftImg8bit.png")
        np.testing.assert_array_equal(frame.image, left)
        assert frame.camera == scene.rig.camera
        assert frame.right_baseline == pytest.approx(scene.rig.baseline, rel=1e-12)
        assert frame.frame_id == "left_camera_optical_frame"
    right, truth = messages(bag, "/right/image"), messages(bag, "/ground_truth/labels")
    for frame_id, image, labels in zip(IDS, right, truth, strict=True):
        expected = stored(tree, frame_id, "rightImg8bit", "rightImg8bit.png")
        np.testing.assert_array_equal(image.data, expected.reshape(-1))
        assert (image.encoding, image.header.frame_id) == ("rgb8", "right_camera_optical_frame")
        expected = stored(tree, frame_id, "gtCoarse", "gtCoarse_labelTrainIds.png")
        np.testing.assert_array_equal(labels.data, expected.reshape(-1))
        assert labels.encoding == "mono8"
    assert [m.data for m in messages(bag, "/dataset/frame_id")] == list(IDS)


def test_calibration_and_disparity_say_what_ros_expects(bag, rendered):
    camera, baseline = rendered[0].rig.camera, rendered[0].rig.baseline
    left, right = messages(bag, "/camera_info")[0], messages(bag, "/right/camera_info")[0]
    assert left.p[3] == 0
    assert right.p[3] == pytest.approx(-camera.fx * baseline, rel=1e-12)
    assert (left.width, left.height) == (trees.WIDTH, trees.HEIGHT)
    disparity = messages(bag, "/disparity")[0]
    assert (disparity.f, disparity.t) == (np.float32(camera.fx), np.float32(baseline))
    assert (disparity.min_disparity, disparity.delta_d) == (0.0, 1 / 256)
    values = disparity.image.data.view(np.float32)
    invalid = rendered[0].disparity.reshape(-1) == 0
    assert (values[invalid] < disparity.min_disparity).all()
    assert (values[~invalid] >= 0).all()
    assert values.max() <= disparity.max_disparity


def test_the_recording_says_what_was_assumed(bag):
    infos = [json.loads(message.data) for message in messages(bag, "/dataset/info")]
    assert [info["sequence"] for info in infos] == [
        "04_Maurener_Weg_8_000000", "04_Maurener_Weg_8_000001", "15_Rechbergstr_2_000003"
    ]  # fmt: skip
    assert [info["frames"] for info in infos] == [3, 1, 1]
    assert {info["frame_rate_is"] for info in infos} == {"assumed"}
    assert (infos[0]["frame_rate_hz"], infos[0]["split"]) == (RATE, "test")
    assert infos[0]["ground_truth"]["outliers"] == [2]
    assert infos[1]["start_ns"] == STAMPS[3]


def test_the_camera_stands_where_its_file_says(bag):
    (message,) = messages(bag, "/tf_static")
    links = {t.child_frame_id: t for t in message.transforms}
    assert [t.header.frame_id for t in message.transforms] == [
        "base_link", "left_camera_link", "left_camera_optical_frame"
    ]  # fmt: skip

    def matrix(name):
        q, t = links[name].transform.rotation, links[name].transform.translation
        u, w = np.array([q.x, q.y, q.z]), q.w
        assert u @ u + w * w == pytest.approx(1)
        cross = np.array([[0, -u[2], u[1]], [u[2], 0, -u[0]], [-u[1], u[0], 0]])
        turn = (w * w - u @ u) * np.eye(3) + 2 * np.outer(u, u) + 2 * w * cross
        return np.block([[turn, np.array([[t.x], [t.y], [t.z]])], [0, 0, 0, 1]])

    def axis_turn(axis, angle):
        i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[j, i], turn[i, j] = np.sin(angle), -np.sin(angle)
        return turn

    mount = trees.MOUNT
    turn = (
        axis_turn("z", mount["yaw"])
        @ axis_turn("y", mount["pitch"])
        @ axis_turn("x", mount["roll"])
    )
    to_optical = matrix("left_camera_link") @ matrix("left_camera_optical_frame")
    np.testing.assert_allclose(to_optical[:3, 2], turn @ [1, 0, 0], atol=1e-12)  # forward
    np.testing.assert_allclose(to_optical[:3, 0], turn @ [0, -1, 0], atol=1e-12)  # right
    np.testing.assert_allclose(to_optical[:3, 1], turn @ [0, 0, -1], atol=1e-12)  # down
    np.testing.assert_allclose(to_optical[:3, 3], [mount["x"], mount["y"], mount["z"]])
    assert to_optical[2, 2] < 0  # it looks down at the road
    right = to_optical @ matrix("right_camera_optical_frame")
    assert right[1, 3] < to_optical[1, 3]


def raw_pixels(tree):
    return [stored(tree, i, "leftImg8bit", "leftImg8bit.png").tobytes() for i in IDS]


@pytest.mark.parametrize("compression", ["none", "chunk"])
def test_the_mcap_library_reads_the_same(tmp_path, tree, compression):
    make_bag(tree, tmp_path / "bag", compression=compression)
    with (tmp_path / "bag" / "bag.mcap").open("rb") as file:
        found: dict[str, list] = {}
        for _, channel, record, message in make_reader(
            file, decoder_factories=[DecoderFactory()]
        ).iter_decoded_messages():
            found.setdefault(channel.topic, []).append((record.log_time, message))
    images = found["/image"]
    assert tuple(time for time, _ in images) == STAMPS
    assert [bytes(message.data) for _, message in images] == raw_pixels(tree)
    for time, message in (*images, *found["/camera_info"], *found["/disparity"]):
        assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == time
    disparity = found["/disparity"][4][1]
    assert (disparity.image.width, disparity.image.height) == (trees.WIDTH, trees.HEIGHT)
    codes = stored(tree, IDS[4], "disparity", "disparity.png").astype(np.float32).reshape(-1)
    values = np.frombuffer(bytes(disparity.image.data), np.float32)
    np.testing.assert_array_equal(values[codes > 0], (codes[codes > 0] - 1) / 256)
    assert found["/tf_static"][0][1].transforms[0].child_frame_id == "left_camera_link"


def test_the_sqlite_of_python_reads_the_same(tmp_path, tree):
    make_bag(tree, tmp_path / "bag", storage="sqlite3")
    with sqlite3.connect(tmp_path / "bag" / "bag.db3") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = database.execute(
            "SELECT messages.timestamp, messages.data FROM messages JOIN topics "
            "ON messages.topic_id = topics.id WHERE topics.name = '/image' ORDER BY timestamp"
        ).fetchall()
    assert tuple(time for time, _ in rows) == STAMPS
    size = trees.WIDTH * trees.HEIGHT * 3
    assert [data[-size:] for _, data in rows] == raw_pixels(tree)
    assert int.from_bytes(rows[0][1][-size - 4 : -size], "little") == size


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_the_metadata_are_those_of_jazzy(tmp_path, tree, storage):
    summary = make_bag(tree, tmp_path / "bag", storage=storage)
    content = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())
    info = content["rosbag2_bagfile_information"]
    assert (info["version"], info["storage_identifier"]) == (9, storage)
    assert info["starting_time"]["nanoseconds_since_epoch"] == STAMPS[0]
    assert info["duration"]["nanoseconds"] == STAMPS[-1] - STAMPS[0]
    counts = {
        each["topic_metadata"]["name"]: each["message_count"]
        for each in info["topics_with_message_count"]
    }
    assert counts == summary.bags[0].messages
    assert counts["/image"] == counts["/disparity"] == counts["/right/camera_info"] == len(IDS)
    assert info["message_count"] == sum(counts.values())
    offered = {
        each["topic_metadata"]["name"]: each["topic_metadata"]["offered_qos_profiles"]
        for each in info["topics_with_message_count"]
    }
    assert offered["/tf_static"][0]["durability"] == "transient_local"
    assert offered["/image"] == []


@pytest.mark.parametrize(
    ("storage", "compression"),
    [("mcap", "message"), ("mcap", "file"), ("sqlite3", "message"), ("sqlite3", "file")],
)
def test_compressed_recordings_hold_the_same_in_less(tmp_path, tree, bag, storage, compression):
    make_bag(tree, tmp_path / "bag", storage=storage, compression=compression)
    size = sum(path.stat().st_size for path in (tmp_path / "bag").iterdir())
    assert size < 0.8 * sum(path.stat().st_size for path in bag.iterdir())
    for expected, found in zip(read_frames(bag), read_frames(tmp_path / "bag"), strict=True):
        np.testing.assert_array_equal(found.image, expected.image)
        np.testing.assert_array_equal(found.range_input.values, expected.range_input.values)


def test_sqlite_has_no_chunks_to_compress(tmp_path, tree):
    with pytest.raises(BagError, match="no chunks"):
        make_bag(tree, tmp_path / "bag", storage="sqlite3", compression="chunk")


def test_compressed_images_are_the_files_own_bytes(tmp_path, tree, bag):
    make_bag(tree, tmp_path / "png", images="compressed")
    make_bag(tree, tmp_path / "jpeg", images="jpeg")
    for topic, folder in (("/image", "leftImg8bit"), ("/right/image", "rightImg8bit")):
        found = messages(tmp_path / "png", f"{topic}/compressed")
        assert [(m.format, bytes(m.data)) for m in found] == [
            ("png", trees.place(tree, folder, i, f"{folder}.png").read_bytes()) for i in IDS
        ]
    topics = FrameTopics(image="/image/compressed")
    assert messages(tmp_path / "jpeg", topics.image)[0].format == "jpeg"
    for expected, png, jpeg in zip(
        read_frames(bag),
        read_frames(tmp_path / "png", topics),
        read_frames(tmp_path / "jpeg", topics),
        strict=True,
    ):
        np.testing.assert_array_equal(png.image, expected.image)
        error = jpeg.image.astype(float) - expected.image
        assert 0 < np.abs(error).mean() < 6


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def spoil(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def shrink(path):
    pixels = np.asarray(Image.open(path))
    trees.save(path, np.ascontiguousarray(pixels[:, :-1]))


DAMAGES = [
    ("leftImg8bit", "leftImg8bit.png", Path.unlink, "is missing", "left image"),
    ("leftImg8bit", "leftImg8bit.png", cut, "is cut short", "left image"),
    ("leftImg8bit", "leftImg8bit.png", spoil, "damaged", "left image"),
    ("leftImg8bit", "leftImg8bit.png", lambda p: p.write_bytes(b""), "is empty", "left image"),
    ("rightImg8bit", "rightImg8bit.png", Path.unlink, "is missing", "right image"),
    ("rightImg8bit", "rightImg8bit.png", shrink, "has 127 x 64 pixels", "right image"),
    ("disparity", "disparity.png", Path.unlink, "is missing", "disparity"),
    ("disparity", "disparity.png", spoil, "damaged", "disparity"),
    ("disparity", "disparity.png", shrink, "has 127 x 64 pixels", "disparity"),
    ("camera", "camera.json", Path.unlink, "is missing", "camera"),
    ("camera", "camera.json", lambda p: p.write_text("{"), "is no JSON", "camera"),
    ("gtCoarse", "gtCoarse_labelTrainIds.png", Path.unlink, "is missing", "labels"),
    ("gtCoarse", "gtCoarse_labelTrainIds.png", cut, "is cut short", "labels"),
]
TOPICS = {
    "left image": "/image",
    "right image": "/right/image",
    "disparity": "/disparity",
    "camera": "/camera_info",
    "labels": "/ground_truth/labels",
}


@pytest.mark.parametrize(("folder", "ending", "damage", "reason", "kind"), DAMAGES)
def test_what_is_missing_or_damaged_is_named_and_the_rest_converted(
    tmp_path, own_tree, folder, ending, damage, reason, kind
):
    path = trees.place(own_tree, folder, IDS[1], ending)
    damage(path)
    faults = []
    summary = convert(
        open_lost_and_found(own_tree, "test"), tmp_path / "bag", ConversionConfig(RATE),
        faults.append,
    )  # fmt: skip
    assert (faults[0].path, faults[0].kind) == (path, kind)
    assert reason in str(faults[0])
    # Disparity means nothing without the camera.
    expected = [kind, "disparity"] if kind == "camera" else [kind]
    assert [fault.kind for fault in faults] == expected
    assert summary.left_out == dict.fromkeys(expected, 1)
    converted = len(IDS) - (kind == "left image")
    assert (summary.found, summary.converted) == (len(IDS), converted)
    left_out = {TOPICS[each] for each in expected}
    for topic in TOPICS.values():
        count = len(IDS) - (topic in left_out or kind == "left image")
        assert summary.bags[0].messages[topic] == count, topic
    # Nothing moves: every other frame has the time that it would have had.
    stamps = [frame.stamp_ns for frame in read_frames(tmp_path / "bag")]
    assert stamps == [s for n, s in enumerate(STAMPS) if n != 1 or kind != "left image"]


def test_without_folders_there_is_less_and_nothing_is_wrong(tmp_path, own_tree):
    for folder in ("disparity", "camera", "rightImg8bit", "gtCoarse"):
        shutil.rmtree(own_tree / folder)
    summary = make_bag(own_tree, tmp_path / "bag")
    assert summary.complete
    assert set(summary.bags[0].messages) == {"/image", "/dataset/info", "/dataset/frame_id"}
    assert json.loads(messages(tmp_path / "bag", "/dataset/info")[0].data)["ground_truth"] is None


def test_a_data_set_of_damaged_images_gives_no_recording(tmp_path, own_tree):
    for path in own_tree.glob("leftImg8bit/test/*/*"):
        path.write_bytes(b"no picture")
    with pytest.raises(ConversionError, match="none of 5 frames"):
        make_bag(own_tree, tmp_path / "bags" / "bag")
    assert list((tmp_path / "bags").iterdir()) == []


def test_an_interrupted_conversion_leaves_nothing(tmp_path, tree):
    def interrupt(frames):
        yield from frames[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(
            open_lost_and_found(tree, "test"), tmp_path / "bag", ConversionConfig(RATE),
            watch=interrupt,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_killed_conversion_leaves_nothing_that_looks_whole(tmp_path, tree):
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from open_set_seg.bags.conversion import *\n"
        "def kill(frames):\n"
        "    yield from frames[:2]\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "convert(open_lost_and_found(Path(sys.argv[1]), 'test'), Path(sys.argv[2]),\n"
        "        ConversionConfig(10.0), watch=kill)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tree), str(tmp_path / "bag")])
    assert done.returncode == -9
    assert not (tmp_path / "bag").exists()
    left = list(tmp_path.rglob("*"))
    assert left  # it had begun
    assert not any(path.name == "metadata.yaml" for path in left)
    for folder in (path for path in left if path.is_dir()):
        with pytest.raises(BagError, match="not a whole recording"):
            list(read_frames(folder))
    assert make_bag(tree, tmp_path / "bag").complete  # what is left is in nobody's way


@pytest.mark.parametrize(
    ("bag_of", "names"),
    [
        ("scene", {"04_Maurener_Weg_8": 4, "15_Rechbergstr_2": 1}),
        (
            "sequence",
            {
                "04_Maurener_Weg_8_000000": 3,
                "04_Maurener_Weg_8_000001": 1,
                "15_Rechbergstr_2_000003": 1,
            },
        ),
    ],
)
def test_recordings_by_scene_or_sequence(tmp_path, tree, bag_of, names):
    summary = make_bag(tree, tmp_path / "bags", bag_of=bag_of)
    assert {bag.path.name: bag.messages["/image"] for bag in summary.bags} == names
    for bag in summary.bags:
        first = next(read_frames(bag.path))
        assert first.stamp_ns == STAMPS[0]
    with pytest.raises(BagError, match="exists"):
        make_bag(tree, tmp_path / "bags", bag_of=bag_of)


def test_scenes_are_chosen_by_pattern(tree):
    chosen = open_lost_and_found(tree, "test", "15_*")
    assert [s.name for s in chosen.sequences] == ["15_Rechbergstr_2_000003"]
    with pytest.raises(ConversionError, match=r"no scene '99_\*'.*04_Maurener_Weg_8, 15_Rech"):
        open_lost_and_found(tree, "test", "99_*")
    with pytest.raises(ConversionError, match="leftImg8bit/train"):
        open_lost_and_found(tree, "train")


def test_numbers_order_frames_as_numbers(tmp_path, rendered):
    for number in ("9", "10", "100"):
        trees.write_frame(tmp_path, f"street_1_{number}", rendered[0], "val")
    trees.write_frame(tmp_path, "street_12_5", rendered[0], "val")
    trees.write_frame(tmp_path, "street_2_7", rendered[0], "val")
    sequences = open_cityscapes(tmp_path, "val").sequences
    assert [[f.id for f in s.frames] for s in sequences] == [
        ["street_1_9", "street_1_10", "street_1_100"], ["street_2_7"], ["street_12_5"]
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_cityscapes_carries_its_own_codes(tmp_path, rendered, kind):
    frame_id = "aachen_000000_000019"
    for split in ("val", "test"):
        trees.write_frame(tmp_path, frame_id, rendered[0], split)
        truth = trees.place(tmp_path, "gtFine", frame_id, f"gtFine_{kind}.png", split)
        trees.save(truth, np.where(rendered[0].labels == trees.ROAD, 7, 255).astype(np.uint8))
    source = open_cityscapes(tmp_path, "val")
    assert source.label_codes.name == f"cityscapes {kind}"
    assert convert(source, tmp_path / "bag", ConversionConfig(17.0)).complete
    (labels,) = messages(tmp_path / "bag", "/ground_truth/labels")
    assert set(labels.data) == {7, 255}
    # The published truth of the test images is a dummy.
    assert open_cityscapes(tmp_path, "test").label_codes is None


def test_codes_mean_what_the_evaluation_takes_them_for():
    ours = [
        *lost_and_found_conversion.LABEL_CODES.values(),
        *cityscapes_conversion.LABEL_CODES.values(),
    ]
    theirs = [
        lost_and_found.TRAIN_IDS,
        lost_and_found.LABEL_IDS,
        *(outliers for _, outliers in cityscapes.TABLES.values()),
    ]
    for codes, expected in zip(ours, theirs, strict=True):
        meaning = {**dict.fromkeys(codes.inliers, 0), **dict.fromkeys(codes.outliers, 1)}
        assert CodeTable(meaning, codes.ignored) == expected, codes.name


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True).map(sorted),
    st.floats(0.1, 1000.0),
)
def test_stamps_follow_the_numbers(numbers, rate):
    frames = [FrameFiles(str(n), Path("x"), n) for n in numbers]
    stamps = assign_stamps(frames, 10**18, ConversionConfig(rate))
    assert stamps[0] == 10**18
    assert all(a < b for a, b in pairwise(stamps))
    for number, stamp in zip(numbers, stamps, strict=True):
        assert abs((stamp - 10**18) - (number - numbers[0]) / rate * 1e9) <= 1 + 1e-9 * (
            stamp - 10**18
        )
    even = assign_stamps(frames, 0, ConversionConfig(rate, timing="even"))
    assert even == assign_stamps(
        [FrameFiles("", Path("x"))] * len(frames), 0, ConversionConfig(rate)
    )
    assert even[-1] == round((len(frames) - 1) * 1e9 / rate)


def test_numbers_that_no_stamp_can_hold_are_refused():
    frames = [FrameFiles("a", Path("a"), 0), FrameFiles("b", Path("b"), 10**18)]
    with pytest.raises(ValueError, match="even"):
        assign_stamps(frames, 0, ConversionConfig(10.0))


@pytest.mark.parametrize(
    "wrong",
    [{"frame_rate": 0.0}, {"frame_rate": float("nan")}, {"gap_s": 0.0}, {"jpeg_quality": 0}],
)
def test_configurations_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="outside"):
        ConversionConfig(**{"frame_rate": 10.0, **wrong})


def test_the_verb_says_what_it_made(tmp_path, own_tree, capsys):
    arguments = [
        "bag",
        "from-lost-and-found",
        str(own_tree),
        "--scene",
        "04_*",
        "--frame-rate",
        "5",
    ]
    assert cli.main([*arguments, "-o", str(tmp_path / "bag")]) == 0
    told = capsys.readouterr()
    assert "converted 4 of 4 frames" in told.out
    assert "4 /disparity" in told.out
    damaged = trees.place(own_tree, "disparity", IDS[0], "disparity.png")
    spoil(damaged)
    assert cli.main([*arguments, "-o", str(tmp_path / "two")]) == 1
    told = capsys.readouterr()
    assert f"{damaged}: is no picture, or a damaged one (disparity left out)" in told.err
    assert "left out: 1 x disparity" in told.out
    assert len(list(read_frames(tmp_path / "two"))) == 4
    assert cli.main([*arguments, "-o", str(tmp_path / "two")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert cli.main(["bag", "from-cityscapes", str(own_tree), "-o", str(tmp_path / "x")]) == 2
    assert "leftImg8bit/val" in capsys.readouterr().err
