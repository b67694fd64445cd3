"""The executable ``detector`` as a process: exit codes, signals, what it prints."""

from __future__ import annotations

import os
import pickle
import signal
import time
from pathlib import Path

import pytest
from detector_processes import ROOT, Process, assert_clean_end
from node_harness import Camera, wait_until
from rclpy.context import Context
from rclpy.node import Node

from open_set_seg.checkpoint import DEMO_CHECKPOINT, read_metadata
from open_set_seg.ros.loading import load_detector
from open_set_seg.ros.settings import build_settings


@pytest.mark.parametrize(
    ("number", "times"),
    [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1)],
    ids=["SIGINT", "SIGINT twice", "SIGTERM"],
)
def test_signals_end_the_running_node_cleanly(start_process, number, times):
    process = start_process("--ros-args", "-p", "input_timeout_s:=0.2")
    process.wait_for("image.silent")
    for _ in range(times):
        process.child.send_signal(number)
    assert_clean_end(process)


def test_a_second_interrupt_during_the_clean_up_changes_nothing(start_process):
    process = start_process("--ros-args", "-p", "input_timeout_s:=0.2")
    process.wait_for("image.silent")
    end = time.monotonic() + 30
    while process.child.poll() is None and time.monotonic() < end:
        process.child.send_signal(signal.SIGINT)
        time.sleep(0.003)
    assert_clean_end(process)


@pytest.mark.parametrize("mark", ["started", "loading"])
def test_an_interrupt_during_the_start_ends_cleanly(start_process, mark):
    process = start_process(load_s=0.5)
    process.wait_for(mark)
    process.child.send_signal(signal.SIGINT)
    process.child.send_signal(signal.SIGINT)
    assert_clean_end(process)


def test_an_interrupt_during_inference_ends_cleanly(start_process, camera_node):
    process = start_process("--ros-args", "-p", "range_source:=none", process_s=0.5)
    stamp = 0

    def processing() -> bool:
        nonlocal stamp
        stamp += 1
        camera_node.send(stamp, disparity=False)
        time.sleep(0.02)
        return process.printed("processing")

    wait_until(processing, "inference", 30.0)
    process.child.send_signal(signal.SIGINT)
    process.child.send_signal(signal.SIGINT)
    assert_clean_end(process)


@pytest.fixture
def camera_node():
    context = Context()
    context.init()
    node = Node("camera", context=context)
    yield Camera(node)
    node.destroy_node()
    context.try_shutdown()


def fails_with_one_line(process: Process, *words: str) -> None:
    code, errors = process.finish()
    lines = [line for line in errors.splitlines() if line.startswith("detector:")]
    assert code == 1, errors
    assert len(lines) == 1, errors
    assert "Traceback" not in errors
    for word in words:
        assert word in lines[0]


def test_parameters_that_cannot_be_end_with_one_line(start_process, tmp_path):
    wrong = start_process("--ros-args", "-p", "threshold:=7.5")
    typed = start_process("--ros-args", "-p", "device:=3")
    fails_with_one_line(wrong, "threshold", "7.5", "[-1, 1]")
    fails_with_one_line(typed, "device", "string")
    absent = start_process("--ros-args", "--params-file", str(tmp_path / "absent.yaml"))
    fails_with_one_line(absent, "absent.yaml")


def test_the_shipped_parameter_file_starts_the_node(start_process):
    process = start_process(
        "--ros-args", "--params-file", str(ROOT / "config/detector.yaml"), "-r", "__ns:=/deep/down"
    )
    process.wait_for("[deep.down.detector]: fake")
    assert "there is no parameter" not in process.err.read_text()
    process.child.send_signal(signal.SIGINT)
    assert_clean_end(process)


def write_checkpoint(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.safetensors"
    contents = {
        "empty": b"",
        "truncated": (10_000).to_bytes(8, "little") + b'{"a":',
        "foreign": b"\x89PNG\r\n\x1a\n" + bytes(1000),
        "malicious": pickle.dumps(Attack(folder / "harmed")),
    }
    if kind in contents:
        path.write_bytes(contents[kind])
    return path


class Attack:
    """Unpickling this creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (os.system, (f"touch {self.target}",))


KINDS = ["missing", "empty", "truncated", "foreign", "malicious"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_checkpoint_is_refused_by_name(tmp_path, kind):
    path = write_checkpoint(tmp_path, kind)
    with pytest.raises(ValueError, match=path.name):
        load_detector(build_settings({"model": str(path)}))
    assert not (tmp_path / "harmed").exists(), "code from the file was run"


def test_another_score_is_published_and_one_that_cannot_be_had_is_refused():
    pytorch = {"device": "cpu", "backend": "pytorch"}
    loaded = load_detector(build_settings({**pytorch, "score": "msp", "threshold": 0.25}))
    assert (loaded.score, loaded.threshold) == ("msp", 0.25)
    assert loaded.detector.config.threshold == 0.25
    assert "PyTorch on cpu" in loaded.describe_device()
    own = load_detector(build_settings({**pytorch, "threshold": 0.25}))
    assert own.score.startswith("jsd")
    assert own.threshold == read_metadata(DEMO_CHECKPOINT).threshold, "to which -1 goes back"
    with pytest.raises(ValueError, match=r"no map.*`open-set-seg fit --scores energy`"):
        load_detector(build_settings({**pytorch, "score": "energy", "threshold": 0.5}))


def test_a_score_that_means_nothing_ends_the_process_with_one_line(start_process):
    arguments = ("--ros-args", "-p", "score:=magic", "-p")
    unknown = start_process(*arguments, "threshold:=0.5", real=True)
    without = start_process("--ros-args", "-p", "score:=msp")
    fails_with_one_line(unknown, "unknown score 'magic'")
    fails_with_one_line(without, "score = 'msp' needs a threshold")


@pytest.mark.parametrize("kind", ["missing", "malicious"])
def test_a_bad_checkpoint_ends_the_process_with_one_line(start_process, tmp_path, kind):
    path = write_checkpoint(tmp_path, kind)
    process = start_process("--ros-args", "-p", f"model:={path}", real=True)
    fails_with_one_line(process, path.name)
    assert not (tmp_path / "harmed").exists(), "code from the file was run"
