"""Cityscapes, Vistas, StreetHazards and ADE20K, read from small trees in their layouts."""

import json
import pickle

import numpy as np
import pytest
from anomaly_trees import codes, picture, save
from driving_trees import (
    VISTAS_1,
    VISTAS_2,
    entries,
    save_palette,
    write_ade20k,
    write_cityscapes,
    write_streethazards,
    write_vistas,
)

from open_set_seg.label_spaces import CITYSCAPES, STREETHAZARDS, STREETHAZARDS_13
from training.datasets import open_dataset
from training.datasets.frames import CorruptFileError, DatasetError
from training.datasets.paired import PairedDataset, PairedFiles

CITY_FRAMES = ("val/ulm_000001_000019", "val/aachen_000010_000019", "val/aachen_000002_000019")


def vistas_truth(frame, table):
    named = entries(table)
    lookup = [255 if label is None else CITYSCAPES.id_of(label) for _, label in named]
    return np.array(lookup, np.uint8)[codes(frame, range(len(named)))]


def check_closed(frame, labels):
    """The frame has these labels and no outliers."""
    assert frame.labels.dtype == frame.outliers.dtype == np.uint8
    assert (frame.labels == labels).all()
    assert (frame.outliers == np.where(labels == 255, 255, 0)).all()


@pytest.mark.parametrize("ending", ["labelIds", "labelTrainIds"])
def test_cityscapes_frames_are_sorted_and_grouped_by_city(tmp_path, ending):
    values = range(34) if ending == "labelIds" else (*range(19), 255)
    dataset = open_dataset("cityscapes", write_cityscapes(tmp_path, CITY_FRAMES, values, ending))
    assert dataset.name == "cityscapes"
    assert dataset.label_space == CITYSCAPES
    assert dataset.ids == tuple(sorted(frame.split("/")[1] for frame in CITY_FRAMES))
    evaluated = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)
    for index, name in enumerate(dataset.ids):
        frame = dataset.load(index)
        assert (frame.id, frame.group, frame.disparity) == (name, name.split("_")[0], None)
        assert (frame.image == picture(name)).all()
        ids = codes(name, values)
        trained = np.full(ids.shape, 255)
        for train_id, label_id in enumerate(evaluated):
            trained[ids == label_id] = train_id
        check_closed(frame, trained if ending == "labelIds" else ids)


def test_label_ids_go_before_train_ids(tmp_path):
    frames = ["val/ulm_000000_000019"]
    write_cityscapes(tmp_path, frames, [255], "labelTrainIds")
    write_cityscapes(tmp_path, frames, [7], "labelIds")
    assert (open_dataset("cityscapes", tmp_path).load(0).labels == 0).all()


def test_the_truth_of_cityscapes_test_frames_is_hidden(tmp_path):
    root = write_cityscapes(tmp_path, ["test/berlin_000000_000019"], [0])
    frame = open_dataset("cityscapes", root, "test").load(0)
    assert frame.labels is None
    assert frame.outliers is None
    assert (frame.image == picture("berlin_000000_000019")).all()


def test_missing_folders_and_files_are_named(tmp_path):
    root = write_cityscapes(tmp_path, CITY_FRAMES, range(34))
    with pytest.raises(DatasetError, match=r"leftImg8bit/train: no such folder"):
        open_dataset("cityscapes", root, "train")
    next((root / "gtFine" / "val" / "ulm").iterdir()).unlink()
    with pytest.raises(DatasetError, match=r"1 of 3 label files are missing, first .*ulm_000001"):
        open_dataset("cityscapes", root)
    for image in (root / "leftImg8bit" / "val").glob("*/*"):
        image.unlink()
    with pytest.raises(DatasetError, match=r"leftImg8bit/val: no file matches \*/\*_leftImg8bit"):
        open_dataset("cityscapes", root)


def test_an_unexpected_code_names_file_and_code(tmp_path):
    root = write_cityscapes(tmp_path, ["val/ulm_000000_000019"], (7, 34, 99))
    with pytest.raises(CorruptFileError, match=r"ulm_000000_000019_gtFine_labelIds.*\[34, 99\]"):
        open_dataset("cityscapes", root).load(0)


def test_labels_of_another_size_and_damaged_images_are_named(tmp_path):
    root = write_cityscapes(tmp_path, CITY_FRAMES[:2], range(34))
    label = next(root.glob("gtFine/val/ulm/*"))
    save(label, codes("x", [7], height=12))
    dataset = open_dataset("cityscapes", root)
    with pytest.raises(CorruptFileError, match=r"ulm.*is 40 x 12, its image is 40 x 24 pixels"):
        dataset.load(1)
    image = next(root.glob("leftImg8bit/val/aachen/*"))
    image.write_bytes(image.read_bytes()[:-200])
    with pytest.raises(CorruptFileError) as caught:
        dataset.load(0)
    assert caught.value.path == image


def test_hidden_files_beside_images_are_left_out(tmp_path):
    root = write_cityscapes(tmp_path, CITY_FRAMES, range(34))
    for image in list(root.glob("*/val/*/*.png")):
        (image.parent / f"._{image.name}").write_bytes(b"Mac OS X")
    assert len(open_dataset("cityscapes", root).ids) == 3


@pytest.mark.parametrize(
    ("table", "config", "labels", "name"),
    [
        (VISTAS_1, "config.json", "labels", "vistas"),
        (VISTAS_1, "config.json", "v1.2/labels", "vistas"),
        (VISTAS_1, "config_v1.2.json", "v1.2/labels", "vistas"),
        (VISTAS_2, "config_v2.0.json", "v2.0/labels", "vistas"),
        (VISTAS_2, "config_v2.0.json", "v2.0/labels", "vistas_2"),
        (VISTAS_2, "config.json", "v2.0/labels", "vistas_2"),
    ],
)
def test_vistas_is_read_by_the_names_of_its_labels(tmp_path, table, config, labels, name):
    root = write_vistas(tmp_path, table, config, labels)
    for split in ("train", "val"):
        dataset = open_dataset(name, root, split)
        assert dataset.name == name
        assert dataset.ids == ("a", "b")
        for index, frame_id in enumerate(dataset.ids):
            check_closed(dataset.load(index), vistas_truth(frame_id, table))
    hidden = open_dataset(name, root, "test").load(0)
    assert (hidden.id, hidden.labels, hidden.outliers) == ("c", None, None)


def test_of_both_versions_of_vistas_the_first_is_read(tmp_path):
    write_vistas(tmp_path, VISTAS_2, "config_v2.0.json", "v2.0/labels")
    write_vistas(tmp_path, VISTAS_1, "config_v1.2.json", "v1.2/labels")
    assert (open_dataset("vistas", tmp_path).load(0).labels == vistas_truth("a", VISTAS_1)).all()
    assert (open_dataset("vistas_2", tmp_path).load(0).labels == vistas_truth("a", VISTAS_2)).all()


def test_the_order_in_the_configuration_of_vistas_decides(tmp_path):
    swapped = "nature--sky construction--flat--road void--unlabeled"
    root = write_vistas(tmp_path, swapped, "config.json", "labels")
    labels = open_dataset("vistas", root).load(0).labels
    assert (labels == np.array([10, 0, 255])[codes("a", range(3))]).all()
    beyond = save_palette(root / "validation" / "labels" / "a.png", codes("a", range(4)))
    with pytest.raises(CorruptFileError, match=r"\[3\]; known are 0\.\.2") as caught:
        open_dataset("vistas", root).load(0)
    assert caught.value.path == beyond


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"labels": [{"name": "nature--lava"}]}', "'nature--lava' is a label of neither"),
        ('{"labels": [{"readable": "Sky"}]}', "list of named labels expected"),
        ('{"labels": ', "list of named labels expected"),
        ("[1]", "list of named labels expected"),
    ],
)
def test_a_strange_configuration_of_vistas_is_refused(tmp_path, content, message):
    root = write_vistas(tmp_path, VISTAS_1, "config.json", "labels")
    (root / "config.json").write_text(content)
    with pytest.raises(DatasetError, match=rf"config\.json.*{message}"):
        open_dataset("vistas", root)


def test_vistas_without_labels_says_where_it_looked(tmp_path):
    root = write_vistas(tmp_path, VISTAS_1, "config.json", "somewhere")
    with pytest.raises(DatasetError, match=r"looked for .*config\.json with .*validation/labels"):
        open_dataset("vistas", root)


@pytest.mark.parametrize(
    ("name", "space"), [("streethazards", STREETHAZARDS), ("streethazards_13", STREETHAZARDS_13)]
)
def test_streethazards_in_both_conventions(tmp_path, name, space):
    root = write_streethazards(tmp_path)
    ids = {
        "train": ("t1-3/000001", "t1-3/000002"),
        "val": ("t4/000001",),
        "test": ("t5/000001", "t5/000009", "t6/000001"),
    }
    for split, expected in ids.items():
        dataset = open_dataset(name, root, split)
        assert dataset.label_space == space
        assert dataset.ids == expected
        for index, frame_id in enumerate(expected):
            frame = dataset.load(index)
            raw = codes(frame_id, range(1, 15 if split == "test" else 14))
            assert frame.group == frame_id.split("/")[0]
            assert (frame.image == picture(frame_id)).all()
            assert ((frame.labels == space.unknown_id) == (raw == 14)).all()
            assert ((frame.outliers == 1) == (raw == 14)).all()
            left_out = raw == 4 if space == STREETHAZARDS else np.zeros_like(raw, bool)
            assert ((frame.outliers == 255) == left_out).all()
            assert ((frame.labels == 255) == left_out).all()
            # The background is the sky.
            assert ((frame.labels == space.id_of("sky")) == (raw == 1)).all()
            assert ((frame.labels == space.id_of("traffic sign")) == (raw == 13)).all()


def test_streethazards_names_missing_parts_and_strange_codes(tmp_path):
    root = write_streethazards(tmp_path, range(16))
    with pytest.raises(CorruptFileError, match=r"unexpected codes \[0, 15\]; known are 1\.\.14"):
        open_dataset("streethazards", root).load(0)
    for path in root.glob("test/annotations/test/t6/*"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"1 of 3 annotations are missing, first .*t6"):
        open_dataset("streethazards", root)


def test_ade20k_is_read_in_150_classes(tmp_path):
    root = write_ade20k(tmp_path)
    for split, name in (("train", "ADE_train_00000001"), ("val", "ADE_val_00000001")):
        dataset = open_dataset("ade20k", root, split)
        assert dataset.ids == (name,)
        raw = codes(name, range(151)).astype(int)
        check_closed(dataset.load(0), np.where(raw == 0, 255, raw - 1))
    write_ade20k(root, range(152))
    with pytest.raises(CorruptFileError, match=r"unexpected codes \[151\]"):
        open_dataset("ade20k", root).load(0)


def test_frames_are_sorted_by_id_whatever_order_they_come_in(tmp_path):
    path = save(tmp_path / "x.png", picture("x"))
    files = [PairedFiles(name, path) for name in ("b", "a", "c/1", "B")]
    dataset = PairedDataset("some", None, files, None, None)
    assert dataset.ids == ("B", "a", "b", "c/1")
    assert [dataset.load(index).id for index in range(4)] == ["B", "a", "b", "c/1"]
    with pytest.raises(DatasetError, match="no frames were found"):
        PairedDataset("some", None, [], None, None)


def test_two_images_of_one_name_are_an_error(tmp_path):
    root = write_vistas(tmp_path, VISTAS_1, "config.json", "labels")
    save(root / "validation" / "images" / "a.png", picture("a"))
    with pytest.raises(DatasetError, match="two frames have the id a"):
        open_dataset("vistas", root)


def test_data_sets_travel_to_worker_processes(tmp_path):
    write_cityscapes(tmp_path / "cityscapes", CITY_FRAMES, range(34))
    write_vistas(tmp_path / "vistas", VISTAS_1, "config.json", "labels")
    write_streethazards(tmp_path / "streethazards")
    write_ade20k(tmp_path / "ADEChallengeData2016")
    for name in ("cityscapes", "vistas", "streethazards", "streethazards_13", "ade20k"):
        dataset = open_dataset(name, tmp_path)
        sent = pickle.loads(pickle.dumps(dataset))
        last = len(dataset.ids) - 1
        one, other = dataset.load(last), sent.load(last)
        assert (one.image == other.image).all()
        assert (one.labels == other.labels).all()
        assert (one.outliers == other.outliers).all()


def test_configurations_may_hold_more_than_names(tmp_path):
    root = write_vistas(tmp_path, VISTAS_1, "config.json", "labels")
    content = json.loads((root / "config.json").read_text())
    for label in content["labels"]:
        label |= {"color": [0, 0, 0], "instances": False, "evaluate": True}
    (root / "config.json").write_text(json.dumps({"version": 1.1, "mapping": "x", **content}))
    check_closed(open_dataset("vistas", root).load(0), vistas_truth("a", VISTAS_1))
