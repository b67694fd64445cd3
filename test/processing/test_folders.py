"""Folders of processed recordings: names, what is done already, and one process at a time."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.processing import ProcessingError, plan_tasks, read_run, watch_folder
from open_set_seg.processing.folders import fingerprint_recording

SETTINGS = {"threshold": 0.5, "threads": 1}


def make_source(path: Path, content: str = "x") -> Path:
    path.mkdir(parents=True)
    (path / "metadata.yaml").write_text(content, encoding="utf-8")
    return path


def finish(task) -> None:
    """What a finished task leaves, as far as planning looks at it."""
    task.folder.mkdir(parents=True)
    run = {"source": str(task.source), "fingerprint": task.fingerprint, "settings": task.settings}
    (task.folder / "run.json").write_text(json.dumps(run), encoding="utf-8")


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y"])), unique=True),
    st.data(),
)
@settings(max_examples=40, deadline=None)
def test_recordings_keep_folders_of_their_own_in_whatever_order_they_come(places, data):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        sources = [make_source(root / parent / bag) for parent, bag in places]
        owner: dict[Path, Path] = {}
        for _ in range(3):
            some = data.draw(st.lists(st.sampled_from(sources), unique=True)) if sources else []
            plan = plan_tasks(some, root / "out", SETTINGS)
            assert len(plan.tasks) + len(plan.done) == len(some)
            for task in plan.tasks:
                assert task.folder not in owner
                assert task.folder.name.startswith(task.source.name)
            for task in plan.tasks:
                if data.draw(st.booleans()):
                    finish(task)
                    owner[task.folder] = task.source
            for folder in plan.done:
                assert owner[folder] in some


def test_equal_names_get_numbers_and_one_recording_one_folder(tmp_path):
    sources = [make_source(tmp_path / parent / "drive") for parent in "abc"]
    plan = plan_tasks([*sources, sources[0]], tmp_path / "out", SETTINGS)
    assert [task.folder.name for task in plan.tasks] == ["drive", "drive-2", "drive-3"]
    finish(plan.tasks[1])
    later = plan_tasks([sources[2], sources[1], sources[0]], tmp_path / "out", SETTINGS)
    assert [task.folder.name for task in later.tasks] == ["drive", "drive-3"]
    assert later.done == (tmp_path / "out" / "drive-2",)


def test_a_file_is_named_without_its_ending(tmp_path):
    (tmp_path / "drive.mcap").write_bytes(b"x")
    (task,) = plan_tasks([tmp_path / "drive.mcap"], tmp_path / "out", SETTINGS).tasks
    assert task.folder == tmp_path / "out" / "drive"


def test_other_settings_and_changed_recordings_are_refused_or_done_again(tmp_path):
    source, out = make_source(tmp_path / "drive"), tmp_path / "out"
    (task,) = plan_tasks([source], out, SETTINGS).tasks
    finish(task)
    assert plan_tasks([source], out, {**SETTINGS, "threads": 2}).done
    with pytest.raises(ProcessingError, match=r"drive was made with other settings \(threshold\)"):
        plan_tasks([source], out, {**SETTINGS, "threshold": 0.6})
    before = fingerprint_recording(source)
    os.utime(source / "metadata.yaml", ns=(1, 1))
    assert fingerprint_recording(source) != before
    with pytest.raises(ProcessingError, match="has changed since"):
        plan_tasks([source], out, SETTINGS)
    (again,) = plan_tasks([source], out, {**SETTINGS, "threshold": 0.6}, again=True).tasks
    assert again.folder == task.folder
    assert not task.folder.exists()


def test_what_is_no_processed_recording_is_never_touched(tmp_path):
    source, out = make_source(tmp_path / "drive"), tmp_path / "out"
    (out / "drive").mkdir(parents=True)
    (out / "drive" / "thesis.txt").write_text("years of work", encoding="utf-8")
    for again in (False, True):
        with pytest.raises(ProcessingError, match="is in the way"):
            plan_tasks([source], out, SETTINGS, again)
    assert (out / "drive" / "thesis.txt").exists()


def test_damaged_run_files_are_named(tmp_path):
    (tmp_path / "out" / "drive").mkdir(parents=True)
    for content in ("", "[]", "{", '"x"'):
        (tmp_path / "out" / "drive" / "run.json").write_text(content, encoding="utf-8")
        with pytest.raises(ProcessingError, match="drive"):
            read_run(tmp_path / "out" / "drive")


def test_a_folder_has_one_process_at_a_time_and_loses_what_was_not_finished(tmp_path):
    out = tmp_path / "out"
    with watch_folder(out):
        (out / ".drive.partial-abc").mkdir()
        (out / ".hidden").mkdir()
        with pytest.raises(ProcessingError, match="another process"), watch_folder(out):
            pass
    assert not (out / ".drive.partial-abc").exists()
    assert (out / ".hidden").exists()
    with watch_folder(out):
        pass
