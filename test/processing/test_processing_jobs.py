"""Many recordings at a time: the results of one after the other, and a bad one costs no other."""

from __future__ import annotations

import pytest
from drive_bags import config_of, results, silent, write_bag

from open_set_seg.processing import plan_tasks
from open_set_seg.processing.processes import run_here, run_in_jobs


@pytest.fixture(scope="module")
def bags(drive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    return [write_bag(folder / f"bag{n}", drive[n:]) for n in range(3)]


def test_processes_give_what_one_gives_and_go_on_after_a_bad_recording(bags, model, tmp_path):
    config = config_of(model, codec=None, outputs=("obstacles",))
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "metadata.yaml").write_text("no metadata", encoding="utf-8")
    sources = [bags[0], bad, bags[1], bags[2]]
    found = {}
    for name, run in (("here", run_here), ("jobs", lambda *a: run_in_jobs(*a, jobs=2))):
        images: list[int] = []
        plan = plan_tasks(sources, tmp_path / name, config.describe())
        outcomes = {one.source.name: one for one in run(plan.tasks, config, images.append)}
        assert set(outcomes) == {"bag0", "bag1", "bag2", "bad"}
        assert "bad" in str(outcomes["bad"].error)
        assert [one.error for one in outcomes.values()].count(None) == 3
        assert sum(images) == sum(one.frames for one in outcomes.values()) > 0
        found[name] = results(tmp_path / name)
    assert found["jobs"] == found["here"] != {}
    assert len(plan_tasks(sources, tmp_path / "jobs", config.describe()).done) == 3


def test_a_network_that_cannot_be_loaded_ends_everything(bags, model, tmp_path):
    config = config_of(model, score="no_such_score", calibration=None)
    plan = plan_tasks(bags, tmp_path, config.describe())
    with pytest.raises(ValueError, match="no_such_score"):
        list(run_here(plan.tasks, config, silent))
    assert not list(tmp_path.iterdir())
