"""Calls in processes: killed ones are made again, and nothing outlives the iteration."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from light_work import note

from open_set_seg.replaceable import run_in_processes

DEADLINE_S = 60.0


def run(folder, orders, jobs):
    """Results by number, and the work that was reported in all."""
    reported: list[int] = []
    items = [(str(folder), f"item{n}", order) for n, order in enumerate(orders)]
    results = dict(run_in_processes(note, items, jobs, reported.append))
    return results, sum(reported)


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def is_alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False


def test_every_item_gets_its_result(tmp_path):
    results, reported = run(tmp_path, ["work"] * 7, jobs=2)
    assert results == {n: f"item{n}" for n in range(7)}
    assert reported == 7 * 5


def test_a_killed_call_is_made_again_and_its_work_is_counted_once(tmp_path):
    results, reported = run(tmp_path, ["work", "kill once", "work", "kill once"], jobs=2)
    assert results == {n: f"item{n}" for n in range(4)}
    assert reported == 4 * 5


def test_only_a_call_that_is_always_killed_is_given_up(tmp_path):
    results, reported = run(tmp_path, ["work", "kill", "work", "work"], jobs=2)
    assert results == {0: "item0", 1: None, 2: "item2", 3: "item3"}
    assert reported == 3 * 5


def test_what_a_call_raises_ends_the_iteration_and_its_processes(tmp_path):
    before = set(multiprocessing.active_children())
    with pytest.raises(ValueError, match="item1 is wrong"):
        run(tmp_path, ["wait", "raise", "wait", "wait"], jobs=2)
    assert set(multiprocessing.active_children()) <= before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("item")]


def test_processes_clean_up_and_end_with_a_parent_that_was_killed(tmp_path):
    script = (
        "import sys\n"
        "from light_work import note\n"
        "from open_set_seg.replaceable import run_in_processes\n"
        "if __name__ == '__main__':\n"
        "    items = [(sys.argv[1], f'item{n}', 'wait') for n in range(3)]\n"
        "    list(run_in_processes(note, items, 2, print))\n"
    )
    (tmp_path / "parent.py").write_text(script, encoding="utf-8")
    work = tmp_path / "work"
    work.mkdir()
    places = os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parent.parent)))
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), str(work)],
        env={**os.environ, "PYTHONPATH": places},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: len(list(work.iterdir())) == 2, "the calls did not begin")
        children = [int(path.suffix[1:]) for path in work.iterdir()]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_for(lambda: not any(map(is_alive, children)), "processes outlived their parent")
        assert not list(work.iterdir())
    finally:
        parent.kill()
