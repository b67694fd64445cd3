"""Tasks in several processes, or in this one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from training.task_pool import run_tasks

MARK = "OPEN_SET_SEG_TASK_POOL_TEST"


def touch(folder, name):
    (folder / name).write_text(f"{os.getpid()} {os.environ.get(MARK, '')}")


def touch_unless_first(folder, number):
    if number == 0:
        raise ValueError("the first one")
    time.sleep(0.05)
    touch(folder, str(number))


def mark():
    os.environ[MARK] = "begun"


def run(workers, folder, count=3, **options):
    tasks = [(folder, str(number)) for number in range(count)]
    run_tasks(touch, tasks, workers, "touching", progress=False, **options)
    return [(folder / name).read_text().split(" ") for _, name in tasks]


def test_each_task_is_done_in_processes_that_began(tmp_path):
    found = run(1, tmp_path, begin=mark)
    assert {process for process, _ in found} != {str(os.getpid())}
    assert [begun for _, begun in found] == ["begun"] * 3


def test_without_workers_this_process_does_them(tmp_path):
    assert {process for process, _ in run(0, tmp_path)} == {str(os.getpid())}


@pytest.mark.parametrize("workers", [0, 1])
def test_the_first_that_fails_stops_the_others(tmp_path, workers):
    tasks = [(tmp_path, number) for number in range(40)]
    with pytest.raises(ValueError, match="the first one"):
        run_tasks(touch_unless_first, tasks, workers, "touching", progress=False)
    assert len(list(Path(tmp_path).iterdir())) < 39


def test_no_task_starts_no_process(tmp_path, monkeypatch):
    monkeypatch.setattr("training.task_pool.ProcessPoolExecutor", None)
    assert run(2, tmp_path, count=0) == []
