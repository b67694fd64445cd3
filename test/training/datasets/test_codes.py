"""Code tables, and the tables of every data set, against what their publishers say."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from driving_trees import VISTAS_1, VISTAS_2, WILDDASH, entries
from hypothesis import given
from hypothesis import strategies as st

from open_set_seg.label_spaces import (
    BSB,
    BSB_OOD,
    CITYSCAPES,
    STREETHAZARDS,
    STREETHAZARDS_13,
    UNLABELLED,
)
from training.datasets import bsb, streethazards, vistas, wilddash
from training.datasets.ade20k import ADE20K, LABELS
from training.datasets.cityscapes import TABLES
from training.datasets.codes import CodeTable
from training.datasets.frames import CorruptFileError

EVERY_CODE = np.arange(256, dtype=np.uint8)[None]
FILE = Path("labels.png")
# Label ids as the publisher of Cityscapes lists them; those with a name are evaluated.
CITYSCAPES_IDS = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole",
    19: "traffic light", 20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky",
    24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train", 32: "motorcycle",
    33: "bicycle",
}  # fmt: skip
STREETHAZARDS_CODES = [
    "sky", "building", "fence", "other", "pedestrian", "pole", "road line", "road", "sidewalk",
    "vegetation", "car", "wall", "traffic sign", "anomaly",
]  # fmt: skip


def translate(table, code):
    return int(table.translate(np.array([[code]], np.uint8), FILE)[0, 0])


def label(space, name):
    return UNLABELLED if name is None else space.id_of(name)


@given(
    st.dictionaries(st.integers(0, 255), st.integers(0, 255)),
    st.sets(st.integers(0, 255)),
    st.lists(st.integers(0, 255), min_size=1, max_size=40),
)
def test_a_table_translates_code_by_code_and_names_what_it_does_not_know(labels, ignored, codes):
    table = CodeTable(labels, ignored - set(labels))
    expected = [labels.get(code, UNLABELLED if code in ignored else None) for code in codes]
    values = np.array([codes], np.uint8)
    assert table.codes == tuple(sorted({*labels, *ignored}))
    if None not in expected:
        assert table.translate(values, FILE)[0].tolist() == expected
        assert table.translate(values[:, ::-1], FILE)[0].tolist() == expected[::-1]
        return
    strange = sorted({c for c, found in zip(codes, expected, strict=True) if found is None})
    with pytest.raises(CorruptFileError) as caught:
        table.translate(values, FILE)
    assert f"labels.png: unexpected codes {strange}" in str(caught.value)


def test_a_table_refuses_what_makes_no_sense():
    for labels, ignored in (({3: 1}, [3]), ({256: 1}, []), ({1: -1}, []), ({}, [-1])):
        with pytest.raises(ValueError, match=r"3|0\.\.255"):
            CodeTable(labels, ignored)


def test_known_codes_are_listed_as_ranges():
    with pytest.raises(CorruptFileError, match=r"unexpected codes \[9\]; known are 0\.\.2, 5, 255"):
        CodeTable({0: 0, 1: 1, 2: 2, 5: 3}, [255]).translate(np.full((2, 2), 9, np.uint8), FILE)


def test_tables_travel_to_worker_processes():
    labels, _ = TABLES["labelIds"]
    assert pickle.loads(pickle.dumps(labels)) == labels
    assert labels != TABLES["labelTrainIds"][0]


def test_every_code_of_cityscapes():
    labels, outliers = TABLES["labelIds"]
    for code in (*range(34), 255):
        name = CITYSCAPES_IDS.get(code)
        assert translate(labels, code) == label(CITYSCAPES, name), code
        assert translate(outliers, code) == (255 if name is None else 0), code
    assert labels.codes == outliers.codes == (*range(34), 255)
    for code in (*range(19), 255):
        assert translate(TABLES["labelTrainIds"][0], code) == code
        assert translate(TABLES["labelTrainIds"][1], code) == (255 if code == 255 else 0)
    assert TABLES["labelTrainIds"][0].codes == TABLES["labelTrainIds"][1].codes


def test_every_code_of_streethazards():
    for code, name in enumerate(STREETHAZARDS_CODES, start=1):
        outlier = int(name == "anomaly")
        expected = {"anomaly": 12, "other": 255}.get(name)
        ours = label(STREETHAZARDS, name) if expected is None else expected
        assert translate(streethazards.LABELS_12, code) == ours
        assert translate(streethazards.OUTLIERS_12, code) == (255 if name == "other" else outlier)
        ours = 13 if name == "anomaly" else label(STREETHAZARDS_13, name)
        assert translate(streethazards.LABELS_13, code) == ours == code - 1
        assert translate(streethazards.OUTLIERS_13, code) == outlier
    tables = ("LABELS_12", "OUTLIERS_12", "LABELS_13", "OUTLIERS_13")
    assert {getattr(streethazards, table).codes for table in tables} == {tuple(range(1, 15))}


@pytest.mark.parametrize(("table", "count"), [(VISTAS_1, 66), (VISTAS_2, 124)])
def test_every_label_of_vistas(table, count):
    named = entries(table)
    assert len(named) == count
    for name, expected in named:
        found = vistas.label_of(name)
        assert found == (None if expected is None else CITYSCAPES.id_of(expected)), name


@pytest.mark.parametrize(
    "name", ["road", "", "marking", "construction--flat", "object--vehicle--car--red", "object--"]
)
def test_names_that_vistas_does_not_have_are_refused(name):
    with pytest.raises(KeyError):
        vistas.label_of(name)


def test_every_category_of_wilddash():
    named = entries(WILDDASH)
    assert len(named) == 81
    for name, expected in named:
        assert wilddash.POLICY[name] == label(CITYSCAPES, expected), name
    changed = {name for name in wilddash.UNIZG if wilddash.UNIZG[name] != wilddash.POLICY[name]}
    assert changed == {"pickup"}
    assert wilddash.UNIZG["pickup"] == CITYSCAPES.id_of("car")
    assert wilddash.UNIZG["polegroup"] == UNLABELLED
    # Ids 0..33 are Cityscapes' own, so both tables must agree on them.
    for code, (name, expected) in enumerate(named[:34]):
        assert CITYSCAPES_IDS.get(code) == expected, name


def test_every_category_of_bsb():
    assert list(bsb.LABELS) == list(bsb.LABELS_OOD) == list(range(15))
    assert [bsb.LABELS[category] for category in range(15)] == [255, *range(14)]
    kept = [category for category in range(1, 15) if category not in (5, 7)]
    assert BSB.classes[4] == "harbor"
    assert BSB.classes[6] == "boat"
    assert bsb.LABELS_OOD[0] == 255
    assert bsb.LABELS_OOD[5] == bsb.LABELS_OOD[7] == BSB_OOD.unknown_id == 12
    assert [bsb.LABELS_OOD[category] for category in kept] == list(range(12))
    assert BSB_OOD.classes == tuple(BSB.classes[category - 1] for category in kept)


def test_every_code_of_ade20k():
    found = LABELS.translate(EVERY_CODE[:, :151], FILE)[0].tolist()
    assert found == [255, *range(150)]
    assert ADE20K.num_classes == 150
    names = {1: "wall", 7: "road", 13: "person", 21: "car", 117: "minibike", 150: "flag"}
    assert {code: ADE20K.classes[code - 1] for code in names} == names
