"""Killed and resumed, alone and in company: the figures stay the same to the last bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_trees import write_obstacle_track, write_streethazards
from torch.nn import functional

from open_set_seg.metrics import PROTOCOLS
from training.datasets import open_dataset
from training.datasets.frames import LabelledFrame
from training.evaluate import main
from training.evaluation.measures import FramePixels, PooledPixels, ResampledPixels
from training.evaluation.seen import SeenFrame
from training.evaluation.work_folder import Chunks, FrameNote, MapStore, claim, only_user
from training.sources import Answer, EvaluationError, SourceOptions, open_source

ROOT = Path(__file__).resolve().parents[2]
NETWORK = ["made_networks:slow", "--label-space", "streethazards_12", "--scores", "jsd", "energy"]
HURRY = ["--threads", "1", "--workers", "0", "--device", "cpu", "--save-every", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_obstacle_track(folder)
    write_streethazards(folder / "streethazards")
    return folder


def command(data, output, protocol="smiyc_obstacle", seconds=0.0):
    network = [*NETWORK, "--model-options", f"seconds={seconds}"]
    where = ["--protocol", protocol, "--data", str(data), "--output", str(output)]
    return [*network, *where, "--bootstrap", "25", *HURRY]


def everything(output):
    """All that an evaluation leaves behind, but for when, where and how fast it was."""
    (path,) = output.glob("*/*/result.json")
    content = json.loads(path.read_text())
    content.pop("seconds")
    content.pop("environment")
    content["model"].pop("options")
    pictures = {p.name: p.read_bytes() for p in sorted((path.parent / "pictures").iterdir())}
    return content, pictures


def start(arguments, launcher=(), **options):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    environment.pop("OMP_NUM_THREADS", None)
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, "training.evaluate", *arguments],
        cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def wait_for(process, sign):
    """Return as soon as a file that ``sign`` describes is there."""
    limit = time.monotonic() + 60
    while not list(sign[0].glob(sign[1])):
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < limit
        time.sleep(0.005)


def kill_when(process, sign):
    """SIGKILL as soon as a file that ``sign`` describes is there."""
    wait_for(process, sign)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole")
    assert main(command(data, output)) == 0
    return everything(output)


@pytest.mark.parametrize("sign", ["*/*/parts/run-0/0-000001", "*/*/looks/run-0.json"])
def test_killed_and_resumed_equals_uninterrupted(data, tmp_path, uninterrupted, sign):
    slow = command(data, tmp_path, seconds=0.1)
    kill_when(start(slow), (tmp_path, sign))
    assert not list(tmp_path.glob("*/*/result.json"))
    done = list(tmp_path.glob("*/*/parts/run-0/0-*"))
    assert 0 < len(done) <= 6
    assert main(slow) == 0
    assert everything(tmp_path) == uninterrupted


def test_ctrl_c_ends_in_one_line(data, tmp_path):
    slow = [*command(data, tmp_path, seconds=0.5), "--workers", "2"]
    process = start(slow, start_new_session=True)
    wait_for(process, (tmp_path, "*/*/parts/run-0/0-000000"))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to the workers too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; the same command goes on from here" in errors.decode()
    assert "Traceback" not in errors.decode()


@pytest.mark.parametrize("place", ["file", "file/deeper"])
def test_an_output_that_cannot_be_written_is_said(data, tmp_path, capsys, place):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as caught:
        main(command(data, tmp_path / place))
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / place) in line
    assert line.endswith(": Not a directory")


def test_two_processes_equal_one(data, tmp_path, uninterrupted):
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    process = start(command(data, tmp_path), launcher)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    assert everything(tmp_path) == uninterrupted


def test_the_result_has_all_that_its_protocol_measures(uninterrupted):
    content, pictures = uninterrupted
    assert len(pictures) == 6
    for score in ("jsd", "energy"):
        found = content["scores"][score]
        best = found["pixels"]["whole image"]["best_F1_threshold"]
        assert found["components"]["threshold"] == np.nextafter(best, -np.inf)
        assert len(found["components"]["by_tau"]) == 11
        assert set(found["components"]["intervals"]) == {"sIoU_gt", "PPV", "mean_F1"}
        assert len(found["frames"]) == 6
    assert content["notes"] == []
    assert content["dataset"]["split"] == "validation"


def test_a_finished_evaluation_is_not_measured_again(data, tmp_path, uninterrupted, monkeypatch):
    arguments = command(data, tmp_path)
    assert main(arguments) == 0
    (folder,) = tmp_path.glob("*/*")
    (folder / "report.html").unlink()
    monkeypatch.setattr("training.evaluation.runner.run_pass", None)
    assert main(arguments) == 0
    assert everything(tmp_path) == uninterrupted
    assert (folder / "report.html").exists()
    # For paired comparisons.
    assert (folder / "counts" / "images-jsd-whole_image").is_dir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--bootstrap", "7"], "other settings (bootstrap); its bootstrap is 25, here it is 7"),
        (["--scores", "msp"], 'its scores is ["jsd", "energy"], here it is ["msp"]'),
        (["--scale", "2"], "its model.scale is 0.00392156862745098, here it is 2.0"),
    ],
)
def test_other_options_in_the_same_folder_are_refused(
    data, tmp_path_factory, capsys, change, message
):
    output = tmp_path_factory.getbasetemp() / "refused"
    arguments = command(data, output)
    assert main(arguments) == 0
    with pytest.raises(SystemExit) as caught:
        main([*arguments, *change])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_of_something_else_and_one_at_work_are_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(EvaluationError, match="is not empty and holds no evaluation"):
        claim(tmp_path, {})
    with only_user(tmp_path), pytest.raises(EvaluationError, match="is at work"):  # noqa: SIM117
        with only_user(tmp_path):
            pass
    with only_user(tmp_path):
        pass


def test_open_miou_takes_each_towns_threshold_from_the_other(data, tmp_path):
    arguments = command(data / "streethazards", tmp_path, "streethazards")
    assert main(arguments) == 0
    content, _ = everything(tmp_path)
    found = content["scores"]["jsd"]["open_set"]
    assert [fold["images"] for fold in found["folds"]] == [3, 3]
    for fold in found["folds"]:
        threshold, confusion = expected_fold(data / "streethazards", fold["group"])
        assert fold["threshold"] == pytest.approx(threshold, abs=1e-6)
        assert fold["confusion"] == confusion.tolist()
    mean = sum(fold["open_mIoU"] for fold in found["folds"]) / 2
    assert found["open_mIoU"] == pytest.approx(mean)
    interval = found["intervals"]["open_mIoU"]
    assert interval["low"] <= found["open_mIoU"] <= interval["high"]
    confusion = np.sum([fold["confusion"] for fold in found["folds"]], axis=0)
    assert confusion.shape == (13, 13)
    assert content["closed_set"]["mIoU"] > 0
    assert content["scores"]["jsd"]["intervals"]["whole image"]["AP"]["resamples"] == 25


def expected_fold(root, group):
    """By hand: the first TPR above 0.95 from the top at half size, then pixel by pixel."""
    options = SourceOptions(("jsd",), "cpu", label_space="streethazards_12")
    source = open_source("made_networks:slow", options)
    dataset = open_dataset("streethazards", root)
    frames = [dataset.load(index) for index in range(len(dataset.ids))]
    answers = {frame.id: source.answer(frame) for frame in frames}
    values = []
    for frame in frames:
        if frame.group != group:
            scores = torch.from_numpy(answers[frame.id].scores["jsd"])[None, None]
            half = functional.avg_pool2d(scores, 2)[0, 0].numpy()  # bilinear at exactly one half
            values += half[frame.outliers[::2, ::2] == 1].tolist()
    ordered = sorted(values, reverse=True)
    threshold = next(v for n, v in enumerate(ordered, 1) if n / len(ordered) > 0.95)
    confusion = np.zeros((13, 13), int)
    for frame in frames:
        if frame.group == group:
            scores, nearest = answers[frame.id].scores["jsd"], answers[frame.id].nearest
            guess = np.where(scores > threshold, 12, nearest)
            known = frame.labels != 255
            np.add.at(confusion, (frame.labels[known], guess[known]), 1)
    return threshold, confusion


def made_frames(count):
    random = np.random.default_rng(5)
    for index in range(count):
        labels = random.choice(np.array([0, 1, 255], np.uint8), (6, 9), p=[0.7, 0.2, 0.1])
        scores = random.integers(0, 20, (6, 9)).astype(np.float32)  # many ties
        frame = LabelledFrame(f"town/{index}", np.zeros((6, 9, 3), np.uint8), outliers=labels)
        yield FrameNote(index, frame.id), SeenFrame(frame, Answer({"made": scores}), None, None)


def report_of(chunks, measures):
    result = {"scores": {"made": {"pixels": {}, "curves": {}, "histogram": {}, "intervals": {}}}}
    for measure in measures:
        measure.report(chunks.merged(measure), result)
    return json.dumps(result)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=9, max_size=9), st.integers(1, 9), st.randoms())
def test_however_the_frames_are_dealt_and_saved(tmp_path_factory, ranks, save_every, random):
    rule = PROTOCOLS["fishyscapes"].pixels
    measures = [
        PooledPixels("made", "whole image", rule),
        FramePixels("made", "whole image", rule, figures=False),
        ResampledPixels("made", "whole image", rule, 10),
    ]
    folder = tmp_path_factory.mktemp("dealt")
    alone = Chunks(folder / "alone", measures, 0, save_frames=100)
    frames = list(made_frames(9))
    for note, seen in frames:
        alone.add(note, seen)
    alone.save()
    several = [Chunks(folder / "several", measures, rank, save_every) for rank in range(4)]
    dealt = list(zip(ranks, frames, strict=True))
    random.shuffle(dealt)
    for rank, (note, seen) in dealt:
        several[rank].add(note, seen)
    for chunks in several:
        chunks.save()
    again = Chunks(folder / "several", measures, 7)
    assert list(again.done()) == list(range(9))
    assert report_of(again, measures) == report_of(alone, measures)


def test_what_was_being_written_when_the_process_died_does_not_count(tmp_path):
    measures = [PooledPixels("made", "whole image", PROTOCOLS["fishyscapes"].pixels)]
    chunks = Chunks(tmp_path, measures, 0, save_frames=1)
    (note, seen), *_ = made_frames(1)
    chunks.add(note, seen)
    (tmp_path / "unfinished-0-123" / measures[0].key).mkdir(parents=True)
    again = Chunks(tmp_path, measures, 0)
    assert list(again.done()) == [0]
    assert [path.name for path in tmp_path.iterdir()] == ["0-000000"]


def test_kept_maps_come_back_exactly_whatever_the_frame_is_called(tmp_path):
    store = MapStore(tmp_path)
    maps = {"score jsd": np.float32([[0.1, np.inf]]), "nearest": np.uint8([[3, 4]])}
    store.save("../t5/weather 1", maps)
    loaded = store.load("../t5/weather 1")
    assert set(loaded) == set(maps)
    for name, values in maps.items():
        np.testing.assert_array_equal(loaded[name], values)
        assert loaded[name].dtype == values.dtype
    assert len(list(tmp_path.iterdir())) == 1
