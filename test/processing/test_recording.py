"""One recording through the pipeline: every frame, and files that other tools read."""

from __future__ import annotations

import csv
import json
import sqlite3
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from drive_bags import HEIGHT, RATE_HZ, WIDTH, config_of, silent, write_bag
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from open_set_seg.bags import BagError, BagWriter, building, header_stamp, read_frames, topics
from open_set_seg.messages import list_points
from open_set_seg.processing import Network, Task, process_recording, read_records, read_run
from open_set_seg.processing.sinks import frame_rate
from open_set_seg.video import Video


def process(bag, folder, model, **changes):
    config = config_of(model, **changes)
    process_recording(Task(bag, folder, config.describe(), "f"), Network.load(config), silent)
    return folder


@pytest.fixture(scope="module")
def expected(bag, model):
    """What a plain loop finds: (frame, observation) of every frame."""
    network = Network.load(config_of(model))
    observer = network.observer()
    return [(frame, observer.observe(frame)) for frame in read_frames(bag, tolerance_s=0.01)]


@pytest.fixture(scope="module")
def folder(bag, model, tmp_path_factory):
    everything = ("obstacles", "segmentation", "anomaly", "overlay")
    target = tmp_path_factory.mktemp("processed") / "drive"
    return process(bag, target, model, outputs=everything, with_inputs=True)


def read_mcap(path):
    found: dict[str, list] = {}
    with next(path.glob("*.mcap")).open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        for _, channel, record, message in reader.iter_decoded_messages():
            found.setdefault(channel.topic, []).append((record.log_time, record.data, message))
    return found


def test_another_library_reads_lists_that_are_those_of_a_plain_loop(folder, expected):
    found = read_mcap(folder / "detections")
    lists = found[topics.OBSTACLE_LIST]
    assert len(lists) == len(expected)
    assert sum(message.width for _, _, message in lists) > len(lists)
    for (_, cdr, message), (frame, observation) in zip(lists, expected, strict=True):
        assert header_stamp(cdr) == frame.stamp_ns
        assert message.header.frame_id == frame.frame_id
        points = list_points(observation.result.obstacles, 12)
        assert bytes(message.data) == points.tobytes()
    for topic, values in (
        (topics.SEGMENTATION, [o.result.prediction.labels for _, o in expected]),
        (topics.ANOMALY, [o.result.prediction.anomaly for _, o in expected]),
    ):
        for (_, _, message), value in zip(found[topic], values, strict=True):
            assert (message.height, message.width) == value.shape
            assert bytes(message.data) == value.tobytes()


def test_inputs_are_copied_to_the_byte_and_to_the_time(folder, bag):
    copied, original = read_mcap(folder / "detections"), read_mcap(bag)
    assert set(original) < set(copied)
    for topic in (topics.IMAGE, topics.DISPARITY, topics.CAMERA_INFO, topics.RIGHT_CAMERA_INFO):
        one = [(time, data) for time, data, _ in copied[topic]]
        assert one == [(time, data) for time, data, _ in original[topic]]


def test_the_tables_say_what_the_records_say(folder, expected):
    records = list(read_records(folder))
    with (folder / "obstacles.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    flat = [(record, one) for record in records for one in record.obstacles]
    assert len(rows) == len(flat) == sum(len(o.result.obstacles) for _, o in expected) > 0
    for row, (record, one) in zip(rows, flat, strict=True):
        assert (int(row["frame"]), int(row["stamp_ns"])) == (record.number, record.stamp_ns)
        assert (int(row["id"]), row["state"]) == (one.id, one.state)
        known = not np.isnan(one.distance)
        assert (row["distance"] != "") == known
        if known:
            assert float(row["distance"]) == pytest.approx(one.distance, rel=1e-5)
    with (folder / "frames.csv").open(newline="", encoding="utf-8") as file:
        frames = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in frames] == list(range(len(expected)))
    assert [int(row["obstacles"]) for row in frames] == [len(r.obstacles) for r in records]


def test_parquet_has_every_digit(folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    records = list(read_records(folder))
    table = parquet.read_table(folder / "obstacles.parquet").to_pydict()
    distances = [one.distance for record in records for one in record.obstacles]
    found = [np.nan if value is None else value for value in table["distance"]]
    np.testing.assert_array_equal(found, distances)
    frames = parquet.read_table(folder / "frames.parquet").to_pydict()
    assert frames["stamp_ns"] == [record.stamp_ns for record in records]
    assert frames["examined"] == [record.examined for record in records]


def test_the_video_shows_every_frame_at_the_rate_of_the_recording(folder, expected, model):
    reader = cv2.VideoCapture(str(folder / "overlay.mp4"))
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(RATE_HZ)
    pictures = []
    while (read := reader.read())[0]:
        pictures.append(read[1])
    reader.release()
    assert len(pictures) == len(expected)
    overlays = [message for _, _, message in read_mcap(folder / "detections")[topics.OVERLAY]]
    for picture, message in zip(pictures, overlays, strict=True):
        drawn = np.frombuffer(message.data, np.uint8).reshape(HEIGHT, WIDTH, 3)
        assert np.abs(picture.astype(float) - drawn).mean() < 12


def test_run_json_names_model_threshold_and_settings(folder, expected, model):
    run = read_run(folder)
    assert run["frames"] == len(expected)
    assert run["threshold"] == expected[0][1].result.prediction.threshold
    assert run["threshold_source"] == "model"
    assert "No promise" in run["promise"]
    assert len(run["model_sha256"]) == 64
    assert run["versions"]["open_set_seg"]
    assert run["settings"]["topics"]["image"] == topics.IMAGE


def test_results_do_not_depend_on_what_the_network_saw_before(bag, model, drive, tmp_path):
    other = write_bag(tmp_path / "other", drive[3:])
    config = config_of(model, codec=None)
    network = Network.load(config)
    for source, name in ((other, "a"), (bag, "b"), (bag, "c")):
        task = Task(source, tmp_path / "out" / name, config.describe(), "")
        process_recording(task, network, silent)
    lists = [(tmp_path / "out" / name / "obstacles.csv").read_bytes() for name in "bc"]
    assert lists[0] == lists[1]


def test_sqlite_holds_the_same(bag, model, folder, tmp_path):
    process(bag, tmp_path / "out", model, storage="sqlite3", codec=None, parquet=False)
    (path,) = (tmp_path / "out" / "detections").glob("*.db3")
    with sqlite3.connect(path) as base:
        query = "SELECT name, data FROM messages JOIN topics ON topics.id = topic_id ORDER BY 1"
        held = [bytes(data) for name, data in base.execute(query) if name == topics.OBSTACLE_LIST]
    assert held == [bytes(d) for _, d, _ in read_mcap(folder / "detections")[topics.OBSTACLE_LIST]]
    assert not list((tmp_path / "out").glob("*.parquet"))
    assert not (tmp_path / "out" / "overlay.mp4").exists()


def test_images_that_cannot_be_decoded_leave_gaps_in_the_numbers(drive, model, tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for n, moment in enumerate(drive[:4]):
            encoding = "odd" if n == 1 else "rgb8"
            message = building.image(moment.left, moment.stamp_ns, "left", encoding)
            writer.write(topics.IMAGE, moment.stamp_ns, message)
    run = read_run(process(tmp_path / "bag", tmp_path / "out", model))
    assert (run["frames"], run["undecodable"]) == (3, [1])
    records = list(read_records(tmp_path / "out"))
    assert [record.number for record in records] == [0, 2, 3]
    assert not any(record.has_range for record in records)
    assert {p.code for record in records for p in record.problems} >= {"camera.missing"}


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_what_is_interrupted_leaves_nothing(bag, model, tmp_path, error):
    done = 0

    def interrupt(images):
        nonlocal done
        done += images
        if done == 4:
            raise error

    config = config_of(model)
    task = Task(bag, tmp_path / "out" / "drive", config.describe(), "")
    with pytest.raises(type(error)):
        process_recording(task, Network.load(config), interrupt)
    assert not list((tmp_path / "out").iterdir())


def test_a_recording_without_a_usable_image_is_refused(model, tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write(
            topics.IMAGE, 0, building.image(np.zeros((9, 9), np.float32), 0, "left", "odd")
        )
    with pytest.raises(BagError, match="no image that can be decoded"):
        process(tmp_path / "bag", tmp_path / "out", model)
    assert not (tmp_path / "out").exists()


def test_frames_may_change_their_size(model, drive, tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for n, moment in enumerate(drive[:3]):
            left = moment.left if n != 1 else np.ascontiguousarray(moment.left[:64, :128])
            writer.write(topics.IMAGE, n, building.image(left, n, "left"))
    run = read_run(process(tmp_path / "bag", tmp_path / "out", model, video_scale=0.5))
    assert run["results"]["video"]["pictures"] == 3
    reader = cv2.VideoCapture(str(tmp_path / "out" / "overlay.mp4"))
    assert reader.read()[1].shape == (HEIGHT // 2, WIDTH // 2, 3)


@pytest.mark.parametrize(
    ("stamps", "rate"),
    [((), 10), ((5,), 10), ((0, 0), 10), ((0, 10**8, 2 * 10**8, 9 * 10**9), 10), ((9, 4, 5), 240)],
)
def test_the_rate_of_a_video_is_the_median_step_forward(stamps, rate):
    assert frame_rate(tuple(stamps)) == pytest.approx(rate)


@given(st.integers(1, 10**12))
@settings(max_examples=25, deadline=None)
def test_any_rate_can_be_written(step_ns):
    rate = frame_rate((0, step_ns))
    with tempfile.TemporaryDirectory() as folder:
        with Video(Path(folder) / "video.mp4", (16, 16), rate, ("mp4v",)) as video:
            for level in (0, 200):
                video.write(np.full((16, 16, 3), level, np.uint8))
        reader = cv2.VideoCapture(str(Path(folder) / "video.mp4"))
        assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(rate, abs=0.002)


def test_a_finished_task_is_not_done_twice_and_nothing_else_is_overwritten(bag, model, tmp_path):
    config = config_of(model, codec=None, outputs=())
    network = Network.load(config)
    task = Task(bag, tmp_path / "out", config.describe(), "print")
    first = process_recording(task, network, silent)
    again = process_recording(task, network, lambda _: pytest.fail("worked again"))
    assert again == json.loads(json.dumps(first))
    (tmp_path / "out" / "run.json").unlink()
    with pytest.raises(FileExistsError, match="not overwritten"):
        process_recording(task, network, silent)
