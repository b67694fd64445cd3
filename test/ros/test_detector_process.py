"""The executable ``detector`` as a process: exit codes, signals, what it prints."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from node_harness import Camera, wait_until
from rclpy.context import Context
from rclpy.node import Node

from open_set_seg.checkpoint import DEMO_CHECKPOINT, read_metadata
from open_set_seg.ros.loading import load_detector
from open_set_seg.ros.settings import build_settings

ROOT = Path(__file__).parents[2]
# The process entry with a detector that needs no network. What it prints marks how far it is.
STAND_IN = """
import sys, time
import open_set_seg.ros.node as node
run = node._run
def run_with_a_fake(args, stop):
    print("started", flush=True)
    sys.path.insert(0, {harness!r})
    import open_set_seg.ros.loading as loading
    loading.load_detector = load
    return run(args, stop)
def load(settings):
    print("loading", flush=True)
    from node_harness import FakeDetector
    from open_set_seg.label_spaces import STREETHAZARDS
    from open_set_seg.ros.loading import LoadedDetector
    time.sleep({load_s})
    fake = FakeDetector()
    process = fake.process
    def announce(frame):
        print("processing", flush=True)
        return process(frame)
    fake.process, fake.delay_s = announce, {process_s}
    return LoadedDetector(fake, STREETHAZARDS, lambda: "a fake", "fake", "0", 0.5, "jsd")
node._run = run_with_a_fake
sys.exit(node.main(sys.argv[1:]))
"""


class Process:
    """A detector process whose output is collected in files."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self.out, self.err = folder / "out", folder / "err"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "ROS_LOG_DIR": str(folder)}
        with self.out.open("w") as out, self.err.open("w") as err:
            self.child = subprocess.Popen(
                [sys.executable, *command], stdout=out, stderr=err, env=environment
            )

    def printed(self, text: str) -> bool:
        return text in self.out.read_text() + self.err.read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: self.printed(text) or self.child.poll() is not None, f"{text!r}", 30.0)
        assert self.printed(text), self.err.read_text()

    def finish(self) -> tuple[int, str]:
        return self.child.wait(30.0), self.err.read_text()


@pytest.fixture
def start_process(tmp_path):
    started: list[Process] = []

    def start(*arguments: str, load_s: float = 0.0, process_s: float = 0.0, real: bool = False):
        script = STAND_IN.format(
            harness=str(Path(__file__).parent), load_s=load_s, process_s=process_s
        )
        command = ["-m", "open_set_seg.ros.node"] if real else ["-c", script]
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Process(folder, [*command, *arguments]))
        return started[-1]

    yield start
    for process in started:
        if process.child.poll() is None:
            process.child.kill()
            process.child.wait()


def assert_clean_end(process: Process) -> None:
    code, errors = process.finish()
    assert code == 0, errors
    assert "Traceback" not in errors
    assert "Error" not in errors
    assert "terminate called" not in errors


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
