"""Dask: a local cluster of two workers, one of which is killed."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from drive_bags import config_of, results, silent, write_bag, write_long_bag

from open_set_seg.processing import cluster, plan_tasks
from open_set_seg.processing.cluster import ClusterError, local_cluster, run_on_cluster
from open_set_seg.processing.processes import run_here

distributed = pytest.importorskip("distributed")

DEADLINE_S = 90.0


def test_a_killed_workers_recording_is_done_again_with_the_same_results(drive, model, tmp_path):
    config = config_of(model, codec=None, outputs=("obstacles",))
    bags = [write_long_bag(tmp_path / f"long{n}", drive[n:], 4) for n in range(2)]
    bags.append(write_bag(tmp_path / "short", drive))
    here, out = tmp_path / "here", tmp_path / "out"
    outcomes = list(run_here(plan_tasks(bags, here, config.describe()).tasks, config, silent))
    assert [outcome.error for outcome in outcomes] == [None] * 3
    plan = plan_tasks(bags, out, config.describe())
    found, images = [], []
    with local_cluster(2) as address, distributed.Client(address) as client:
        pids = client.run(os.getpid)
        assert len(pids) == 2

        def work():
            found.extend(run_on_cluster(plan.tasks, config, images.append, address))

        thread = threading.Thread(target=work)
        thread.start()
        end = time.monotonic() + DEADLINE_S
        while not any(out.glob(".long*.partial-*/records.jsonl")):
            assert time.monotonic() < end, "no worker began"
            time.sleep(0.005)
        busy = [worker for worker, tasks in client.processing().items() if tasks]
        os.kill(pids[busy[0]], signal.SIGKILL)
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
        assert pids[busy[0]] not in client.run(os.getpid).values()
    assert sorted(outcome.folder.name for outcome in found) == ["long0", "long1", "short"]
    assert [outcome.error for outcome in found] == [None] * 3
    assert results(out) == results(here) != {}
    assert images


def test_no_scheduler_is_said_in_one_line(model, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECTING_S", 0.5)
    config = config_of(model)
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(run_on_cluster([], config, silent, "tcp://127.0.0.1:9"))
