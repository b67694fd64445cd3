"""How a data set's folder is found, and what the registry promises."""

import pytest
from driving_trees import write_cityscapes, write_streethazards

from open_set_seg.metrics.protocols import PROTOCOLS
from training.datasets import DATASETS, open_dataset
from training.datasets.entries import DatasetEntry, find_folder, find_neighbour
from training.datasets.frames import DatasetError

ENTRY = DatasetEntry(
    title="Some Roads",
    open=lambda root, split, run: None,
    splits=("test",),
    default_split="test",
    layout="""
        pictures/<town>/*.png
        truth/*.png
    """,
    source="https://example.org",
    marks=(("pictures", "truth/*.png"), ("flat.json",)),
    folders=("some*roads*",),
)


def make(folder):
    (folder / "truth").mkdir(parents=True)
    (folder / "pictures").mkdir()
    (folder / "truth" / "a.png").touch()
    return folder


@pytest.mark.parametrize("name", ["data", "Some-Roads_v2", "x"])
def test_the_folder_itself_or_one_in_it_is_found(tmp_path, name):
    folder = make(tmp_path / name)
    (tmp_path / "else").mkdir()
    assert find_folder(ENTRY, folder) == folder
    assert find_folder(ENTRY, str(tmp_path)) == folder
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "flat.json").touch()
    assert find_folder(ENTRY, tmp_path / "flat") == tmp_path / "flat"


def test_a_usual_name_goes_before_others(tmp_path):
    make(tmp_path / "a copy")
    folder = make(tmp_path / "SOME_ROADS")
    assert find_folder(ENTRY, tmp_path) == folder


def test_more_than_one_is_an_error_that_names_them(tmp_path):
    make(tmp_path / "some_roads_1")
    make(tmp_path / "some_roads_2")
    with pytest.raises(DatasetError, match=r"more than one.*some_roads_1, some_roads_2"):
        find_folder(ENTRY, tmp_path)


def test_errors_show_what_is_expected_and_how_to_get_it(tmp_path):
    with pytest.raises(DatasetError) as caught:
        find_folder(ENTRY, tmp_path)
    message = str(caught.value)
    assert "Some Roads was not found" in message
    assert "pictures and truth/*.png, or flat.json" in message
    assert "\n  pictures/<town>/*.png\n  truth/*.png\n" in message
    assert "https://example.org" in message
    with pytest.raises(DatasetError, match="is not a folder"):
        find_folder(ENTRY, tmp_path / "nowhere")
    (tmp_path / "some_roads").mkdir()
    with pytest.raises(DatasetError, match=r"some_roads is called like it but does not hold"):
        find_folder(ENTRY, tmp_path)


def test_a_neighbour_lies_inside_or_beside(tmp_path):
    beside = make(tmp_path / "some roads")
    (tmp_path / "user").mkdir()
    assert find_neighbour(ENTRY, tmp_path / "user") == beside
    inside = make(tmp_path / "user" / "mine")
    assert find_neighbour(ENTRY, tmp_path / "user") == inside
    (tmp_path / "far" / "away").mkdir(parents=True)
    with pytest.raises(DatasetError, match="Some Roads was not found"):
        find_neighbour(ENTRY, tmp_path / "far" / "away")


@pytest.mark.parametrize("name", DATASETS)
def test_every_entry_is_complete(name, tmp_path):
    entry = DATASETS[name]
    assert entry.default_split in entry.splits
    assert set(entry.frames) <= set(entry.splits)
    assert set(entry.needs) <= set(DATASETS)
    assert entry.title
    if not entry.marks:
        return
    assert entry.layout.strip()
    assert entry.source
    assert all(pattern == pattern.lower() for pattern in entry.folders)
    with pytest.raises(DatasetError) as caught:
        open_dataset(name, tmp_path)
    assert entry.title in str(caught.value)
    assert entry.source in str(caught.value)
    assert entry.layout.strip().splitlines()[0].strip() in str(caught.value)


def test_every_protocol_has_its_data_sets():
    named = {name for protocol in PROTOCOLS.values() for name in protocol.datasets}
    assert named - set(DATASETS) <= {"simulation"}


def test_open_dataset_says_what_it_knows(tmp_path):
    with pytest.raises(KeyError, match=r"'citiscapes' is not one of cityscapes"):
        open_dataset("citiscapes", tmp_path)
    with pytest.raises(DatasetError, match=r"no split 'testing', only train, val, test"):
        open_dataset("cityscapes", tmp_path, "testing")


def test_open_dataset_takes_the_default_split_and_looks_one_level_down(tmp_path):
    write_cityscapes(tmp_path / "cityscapes", ["val/ulm_000000_000019"], range(34))
    write_streethazards(tmp_path / "StreetHazards")
    assert open_dataset("cityscapes", tmp_path).ids == ("ulm_000000_000019",)
    assert open_dataset("streethazards", tmp_path).ids == ("t5/000001", "t5/000009", "t6/000001")
