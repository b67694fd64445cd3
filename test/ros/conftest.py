"""Fixtures of the ROS tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from detector_processes import STAND_IN, Process
from node_harness import Running


@pytest.fixture
def run_node():
    """Starts nodes with given parameters; stops them at the end."""
    started: list[Running] = []

    def start(parameters=None, **options) -> Running:
        started.append(Running(parameters, **options))
        return started[-1].start()

    yield start
    for running in started:
        running.stop()


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
