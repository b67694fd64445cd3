"""The demo: over DDS and in process it finds the same, and what it leaves is whole."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader
from untrained import LABEL_SPACE, save_untrained

import open_set_seg
from open_set_seg.bags import BagWriter, read_messages, topics
from open_set_seg.demo import DemoConfig, DemoError, run_demo
from open_set_seg.demo.in_process import play_in_process
from open_set_seg.demo.recorded import read_recorded
from open_set_seg.ros.live import play_live
from open_set_seg.ros.processes import ProcessError
from open_set_seg.simulation import DriveConfig, render_drive, save_drive

FRAMES = 6
INPUTS = {topics.IMAGE, topics.CAMERA_INFO, topics.RIGHT_CAMERA_INFO, topics.DISPARITY}


@pytest.fixture(scope="module")
def drive():
    config = DriveConfig(seed=1_000_000, frames=FRAMES, rate_hz=2.0, width=160, height=96)
    return render_drive(config, workers=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory, drive):
    return save_untrained(tmp_path_factory.mktemp("model") / "model.safetensors", drive[0].left)


@pytest.fixture(scope="module")
def live_bag(tmp_path_factory, drive, model):
    folder = tmp_path_factory.mktemp("live")
    save_drive(drive, folder / "drive")
    done = []
    report = play_live(
        folder / "drive", folder / "bag", model, "cpu", 5.0, folder / "logs", done.append,
        backend="pytorch", size=(160, 96),
    )  # fmt: skip
    assert not report.interrupted
    assert report.device.startswith("swiftnet_rn18 x0.25, PyTorch on cpu")
    assert int(report.details["processed"]) == done[-1]
    return folder / "bag"


@pytest.fixture(scope="module")
def process_bag(tmp_path_factory, drive, model):
    bag = tmp_path_factory.mktemp("process") / "bag"
    report = play_in_process(drive, bag, model, "cpu", lambda done: None, "pytorch")
    assert not report.interrupted
    return bag


def recorded(bag, drive):
    return {frame.number: frame for frame in read_recorded(bag, drive, LABEL_SPACE)}


def test_both_ways_find_the_same_obstacles_in_the_frames_both_processed(
    live_bag, process_bag, drive
):
    live, process = recorded(live_bag, drive), recorded(process_bag, drive)
    assert sorted(process) == list(range(FRAMES))
    assert len(live) >= FRAMES // 2  # a busy machine may drop some, never most
    assert sum(len(frame.obstacles) for frame in live.values()) > 0
    known = 0
    for number, frame in live.items():
        other = process[number]
        np.testing.assert_array_equal(frame.labels, other.labels)
        np.testing.assert_array_equal(frame.anomaly, other.anomaly)
        assert frame.examined == other.examined
        assert len(frame.obstacles) == len(other.obstacles)
        # Numbers count what was seen: a dropped frame shifts them, and pictures show them.
        if [one.id for one in frame.obstacles] == [one.id for one in other.obstacles]:
            np.testing.assert_array_equal(frame.overlay, other.overlay)
        for one, two in zip(frame.obstacles, other.obstacles, strict=True):
            assert one.box == two.box
            np.testing.assert_array_equal(one.mask, two.mask)
            for field in ("distance", "distance_sigma", "position", "width", "height"):
                np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
            known += np.isfinite(one.distance)
    assert known > 0


def test_the_live_recording_holds_inputs_and_outputs_and_other_tools_read_it(live_bag, drive):
    with AnyReader([live_bag]) as reader:
        counts = {topic: info.msgcount for topic, info in reader.topics.items()}
    assert {counts[topic] for topic in INPUTS} == {FRAMES}
    outputs = {counts[t] for t in (topics.SEGMENTATION, topics.ANOMALY, topics.OVERLAY)}
    assert len(outputs) == 1
    assert counts["/diagnostics"] >= 1
    decoded = Counter()
    with (live_bag / "bag.mcap").open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        for _, channel, _, message in reader.iter_decoded_messages():
            decoded[channel.topic] += 1
            if channel.topic == topics.OVERLAY:
                assert len(message.data) == drive[0].left.size
    assert decoded == counts


def test_outputs_carry_the_stamps_of_their_images(live_bag):
    stamps = {topic: [] for topic in (topics.IMAGE, topics.SEGMENTATION, topics.OBSTACLE_LIST)}
    for topic, time_ns, message in read_messages(live_bag, list(stamps)):
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        assert stamp <= time_ns  # published after it was stamped
        stamps[topic].append(stamp)
    assert set(stamps[topics.SEGMENTATION]) <= set(stamps[topics.IMAGE])
    assert set(stamps[topics.OBSTACLE_LIST]) <= set(stamps[topics.SEGMENTATION])


def test_a_lost_image_shifts_no_frame(process_bag, drive, tmp_path):
    lost = drive[1].stamp_ns
    with BagWriter(tmp_path / "bag") as bag:
        for topic, time_ns, message in read_messages(process_bag, [*INPUTS, *OUTPUTS]):
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            if stamp != lost:
                bag.write(topic, time_ns, message)
    frames = recorded(tmp_path / "bag", drive)
    assert sorted(frames) == [0, 2, 3, 4, 5]
    assert all(frame.stamp_ns == drive[number].stamp_ns for number, frame in frames.items())


OUTPUTS = (topics.SEGMENTATION, topics.ANOMALY, topics.OVERLAY, topics.OBSTACLE_LIST)


def small_demo(tmp_path, model, **changes) -> DemoConfig:
    config = DemoConfig(
        output=tmp_path / "out", frames=3, width=160, height=96, model=model, device="cpu",
        right=False, pictures=2, backend="pytorch",
    )  # fmt: skip
    return replace(config, **changes)


@pytest.fixture(scope="module")
def results(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("demo")
    summary = run_demo(small_demo(folder, model))
    return folder / "out", summary


def test_the_results_are_all_there(results):
    folder, summary = results
    assert json.loads((folder / "summary.json").read_text()) == json.loads(json.dumps(summary))
    assert summary["frames"] == {"sent": 3, "processed": 3, "dropped": 0, "not_examined": 0}
    assert summary["rate_hz"] > 0
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p95"]
    assert summary["versions"]["open_set_seg"] == open_set_seg.__version__
    assert summary["settings"]["seed"] == DemoConfig().seed
    assert set(summary["seconds"]) == {"rendering", "playing", "results"}
    pictures = sorted(folder.glob("frame_*.png"))
    assert len(pictures) == 2
    assert all(cv2.imread(str(path)).shape[0] > 2 * 96 for path in pictures)
    assert (folder / "bag" / "metadata.yaml").is_file()
    assert not list(folder.glob(".drive-*"))


def test_the_video_plays(results):
    folder, _ = results
    video = cv2.VideoCapture(str(folder / "overlay.mp4"))
    shapes = []
    while (read := video.read())[0]:
        shapes.append(read[1].shape)
    assert shapes == [(96, 160, 3)] * 3
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(DemoConfig().rate_hz)


def test_the_table_accounts_for_every_object_and_detection(results):
    folder, summary = results
    with (folder / "obstacles.csv").open() as file:
        rows = list(csv.DictReader(file))
    outcomes = Counter(row["outcome"] for row in rows)
    assert set(outcomes) <= {"found", "part", "false", "missed"}
    near = [r for r in rows if r["true_distance"] and 5 <= float(r["true_distance"]) < 50]
    overall = summary["obstacles"]["overall"]
    assert len(near) == overall["objects"]
    assert sum(row["outcome"] == "found" for row in near) == overall["found"]
    assert outcomes["false"] == round(3 * summary["obstacles"]["false_per_frame"])
    for row in rows:
        assert (row["outcome"] == "missed") == (row["id"] == "")
        assert bool(row["family"]) == (row["outcome"] in ("found", "missed"))


def test_a_folder_with_something_else_is_left_alone(tmp_path, model):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(DemoError, match="holds something else"):
        run_demo(small_demo(tmp_path, model))
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_a_second_run_replaces_the_results_of_the_first(results, model):
    folder, _ = results
    (folder / "frame_9999.png").touch()
    run_demo(small_demo(folder.parent, model))
    assert not (folder / "frame_9999.png").exists()
    assert len(list(folder.glob("frame_*.png"))) == 2


def test_a_detector_that_fails_says_why(tmp_path, drive, model):
    save_drive(drive, tmp_path / "drive")
    with pytest.raises(ProcessError, match=r"node ended with exit code 1.*\n.*no_such_device"):
        play_live(
            tmp_path / "drive", tmp_path / "bag", model, "no_such_device", 10.0,
            tmp_path / "logs", lambda done: None,
        )  # fmt: skip
    assert not (tmp_path / "bag").exists()


def test_sigint_leaves_what_was_recorded_and_no_process(tmp_path, model):
    output = tmp_path / "out"
    command = [sys.executable, "-m", "open_set_seg.cli", "demo", "--model", str(model)]
    command += ["--output", str(output), "--frames", "80", "--size", "64x48", "--rate", "10"]
    command += ["--no-right", "--device", "cpu", "--backend", "pytorch"]
    told = tmp_path / "told.txt"
    with told.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        deadline = time.monotonic() + 60
        while not re.search(r"driving[^\r]* [1-9]\d?/80", told.read_text()):
            assert process.poll() is None, told.read_text()
            assert time.monotonic() < deadline, told.read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, told.read_text()
    assert "Traceback" not in told.read_text()
    summary = json.loads((output / "summary.json").read_text())
    assert summary["interrupted"]
    assert 0 < summary["frames"]["sent"] < 80
    with AnyReader([output / "bag"]) as reader:
        assert reader.topics[topics.IMAGE].msgcount == summary["frames"]["sent"]
    for name in ("detector", "simulator"):
        assert "Traceback" not in (output / "logs" / f"{name}.log").read_text()
