"""The command that says what data is there."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from anomaly_trees import codes, save
from driving_trees import write_cityscapes, write_streethazards, write_wilddash

from training.datasets.__main__ import main
from training.datasets.check import check_datasets, find_corrupt
from training.datasets.registry import DATASETS, open_dataset

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def root(tmp_path):
    frames = ["val/ulm_000000_000019", "val/ulm_000001_000019", "val/aachen_000000_000019"]
    write_cityscapes(tmp_path / "cityscapes", frames, range(34))
    write_streethazards(tmp_path / "streethazards")
    return tmp_path


def damage(root):
    """One file of each kind of damage, and who must be named."""
    image = root / "cityscapes/leftImg8bit/val/ulm/ulm_000001_000019_leftImg8bit.png"
    image.write_bytes(image.read_bytes()[:300])
    label = root / "cityscapes/gtFine/val/aachen/aachen_000000_000019_gtFine_labelIds.png"
    save(label, codes("x", [40]))
    return str(image), str(label)


def test_frames_are_counted_and_missing_splits_named(root):
    checks = check_datasets(root)
    assert list(checks) == [name for name, entry in DATASETS.items() if entry.marks]
    found = {name for name, check in checks.items() if check.folder}
    assert found == {"cityscapes", "streethazards", "streethazards_13"}
    cityscapes = checks["cityscapes"]
    assert cityscapes.folder == str(root / "cityscapes")
    assert cityscapes.splits["val"].frames == 3
    assert cityscapes.splits["val"].expected == 500
    assert cityscapes.splits["val"].corrupt is None
    assert cityscapes.splits["train"].frames is None
    assert "leftImg8bit/train: no such folder" in cityscapes.splits["train"].problem
    assert "To get it" in checks["wilddash2"].problem
    assert {s: c.frames for s, c in checks["streethazards"].splits.items()} == {
        "train": 2,
        "val": 1,
        "test": 3,
    }


def test_reading_names_every_file_that_cannot_be_used(root):
    assert find_corrupt(open_dataset("cityscapes", root)) == ()
    named = damage(root)
    for workers in (1, 4):
        messages = find_corrupt(open_dataset("cityscapes", root), workers)
        assert len(messages) == 2
        assert all(sum(path in message for message in messages) == 1 for path in named)
    assert (
        check_datasets(root, ["streethazards"], read=True)["streethazards"].splits["test"].corrupt
        == ()
    )


def test_the_table_shows_all_of_it(root, capsys):
    named = damage(root)
    assert main(["check", str(root), "--read"]) == 1
    assert main(["check", str(root)]) == 0
    text = capsys.readouterr().out
    assert f"cityscapes (Cityscapes): {root / 'cityscapes'}" in text
    assert "val          3 of 500 frames, 2 corrupt" in text
    assert "train        missing: " in text
    assert all(f"corrupt in val: {path}: " in text for path in named)
    assert "3 of 1,500 frames, all readable" in text
    assert "not found: vistas, " in text


def test_json_holds_the_same(root, capsys):
    assert main(["check", str(root), "--json", "--dataset", "cityscapes"]) == 0
    content = json.loads(capsys.readouterr().out)
    expected = {name: asdict(c) for name, c in check_datasets(root, ["cityscapes"]).items()}
    assert content == expected
    assert set(content) == {"cityscapes"}


def test_one_data_set_shows_how_to_get_it(tmp_path, capsys):
    assert main(["check", str(tmp_path), "--dataset", "wilddash2"]) == 0
    text = capsys.readouterr().out
    assert "panoptic.json\n" in text
    assert "https://wilddash.cc" in text


def test_a_folder_that_is_not_there_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["check", str(tmp_path / "nowhere")])
    assert caught.value.code == 2
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_the_command_runs(tmp_path):
    write_wilddash(tmp_path / "wilddash")
    command = [sys.executable, "-m", "training.datasets", "check", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    assert "train        2 of 4,256 frames" in done.stdout
