"""``open-set-seg bag process``: exit codes, going on, and one line for every mistake."""

from __future__ import annotations

import csv
import shutil

import pytest
from drive_bags import write_bag

from open_set_seg import cli
from open_set_seg.processing import read_run


@pytest.fixture
def command(model, tmp_path):
    """Runs the verb with some recordings; returns the exit code."""

    def run(*arguments) -> int:
        fixed = ["--model", model, "--device", "cpu", "--backend", "pytorch", "--no-video"]
        words = ["bag", "process", *arguments, "-o", tmp_path / "out", *fixed]
        return cli.main([str(word) for word in words])

    return run


def truncate(bag, target):
    """A copy of a recording whose last half is missing, as after a power cut."""
    shutil.copytree(bag, target)
    (file,) = target.glob("*.mcap")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return target


def test_a_damaged_recording_is_named_and_the_others_are_processed(
    command, bag, drive, tmp_path, capsys
):
    damaged = truncate(bag, tmp_path / "damaged")
    other = write_bag(tmp_path / "other" / bag.name, drive[2:])
    missing = tmp_path / "missing"
    assert command(bag, damaged, missing, other) == 1
    said = capsys.readouterr()
    for name in (damaged, missing):
        (line,) = [line for line in said.err.splitlines() if line.startswith(f"{name}: ")]
        assert "Traceback" not in line
    assert "2 of 4 recordings failed" in said.out
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["drive", "drive-2"]
    assert read_run(out / "drive")["frames"] == len(drive)
    assert read_run(out / "drive-2")["frames"] == len(drive) - 2
    # Mended, it is the only one with work to do.
    before = {p: p.stat().st_mtime_ns for p in out.glob("drive*/run.json")}
    shutil.rmtree(damaged)
    shutil.copytree(bag, damaged)
    assert command(bag, damaged, other) == 0
    assert {p: p.stat().st_mtime_ns for p in out.glob("drive*/run.json")} == before
    assert capsys.readouterr().out.count("done before") == 2
    assert read_run(out / "damaged")["frames"] == len(drive)


def test_other_settings_need_another_folder_or_again(command, bag, tmp_path, capsys):
    assert command(bag, "--threshold", "0.99", "--record") == 0
    first = read_run(tmp_path / "out" / "drive")
    assert (first["threshold"], first["threshold_source"]) == (0.99, "given")
    assert not (tmp_path / "out" / "drive" / "detections").exists()
    assert command(bag, "--record") == 2
    assert "other settings (observer)" in capsys.readouterr().err
    assert command(bag, "--record", "--again", "--no-tracking") == 0
    again = read_run(tmp_path / "out" / "drive")
    assert again["threshold_source"] == "model"
    with (tmp_path / "out" / "drive" / "obstacles.csv").open(newline="") as file:
        assert {row["state"] for row in csv.DictReader(file)} == {"untracked"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--model", "nowhere.safetensors"), "nowhere.safetensors"),
        (("--threshold", "7"), "threshold"),
        (("--record", "smell"), "smell"),
        (("--video-scale", "0"), "video_scale"),
        (("--jobs", "0"), "--jobs"),
        (("--threads", "-1"), "threads"),
        (("--score", "energy"), "energy"),
        (("--calibration", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_a_mistake_costs_one_line_and_leaves_nothing(bag, tmp_path, capsys, options, says):
    arguments = ["bag", "process", bag, "-o", tmp_path / "out", "--device", "cpu", *options]
    assert cli.main([str(word) for word in arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("open-set-seg: ")
    assert says in error
    assert "\n" not in error
    assert not list((tmp_path / "out").glob("[!.]*"))
