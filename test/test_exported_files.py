"""What exported files say about themselves: written, read back, and refused where it is wrong."""

from __future__ import annotations

import hashlib
import json

import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from open_set_seg.checkpoint import CheckpointError, CheckpointMetadata, is_exported, read_exported
from open_set_seg.checkpoint.exported import exported_properties
from open_set_seg.checkpoint.onnx_properties import read_onnx_properties
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.scores import LogisticMap, ScoreStatistics

METADATA = CheckpointMetadata(
    "swiftnet_rn18",
    STREETHAZARDS,
    "1.0",
    width=0.3,
    score="sml",
    score_map=LogisticMap(0.1, 0.7),
    threshold=1 / 3,
    threshold_rule='best F1 in <hull> & "road"\nat 95 %, gro\u00df',
    recipe={"steps": [1, 2]},
    metrics={"miou": 0.1},
)
STATISTICS = ScoreStatistics(
    max_logit_mean=torch.linspace(-1, 1, 12),
    max_logit_deviation=torch.full((12,), 1 / 3),
    feature_mean=torch.zeros(12, 4),
    feature_precision=torch.eye(4),
)
SETTINGS = {"precision": "fp32", "width": 64, "height": 32}
PROPERTIES = exported_properties(METADATA, STATISTICS, SETTINGS)


def onnx_file(path, properties, size=64):
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [size])
    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [size], [0.5] * size)
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [size])
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [other], [weights]))
    onnx.helper.set_model_props(model, properties)
    path.write_bytes(model.SerializeToString())
    return path


def ir_file(path, properties):
    from xml.etree import ElementTree

    net = ElementTree.Element("net", version="11")
    info = ElementTree.SubElement(net, "rt_info")
    for key, value in properties.items():
        ElementTree.SubElement(info, key, value=value)
    ElementTree.ElementTree(net).write(path)
    return path


WRITERS = {".onnx": onnx_file, ".xml": ir_file}


@pytest.mark.parametrize("suffix", WRITERS)
def test_everything_that_was_embedded_is_read_back(tmp_path, suffix):
    certificate = {"verdict": "passed", "figures": {"x": [1e-300, 0.1]}}
    properties = {**PROPERTIES, "open_set_seg_certificate": json.dumps(certificate)}
    path = WRITERS[suffix](tmp_path / f"a{suffix}", properties)
    assert is_exported(path)
    found = read_exported(path)
    assert found.metadata == METADATA
    assert found.settings == SETTINGS
    assert found.certificate == certificate
    assert found.statistics is not None
    assert set(found.statistics.tensors()) == {"max_logit_mean", "max_logit_deviation"}
    for name, tensor in found.statistics.tensors().items():
        assert torch.equal(tensor, getattr(STATISTICS, name))


def test_a_file_without_statistics_and_certificate_has_none(tmp_path):
    path = onnx_file(tmp_path / "a.onnx", exported_properties(METADATA, None, {}))
    assert read_exported(path).statistics is None
    assert read_exported(path).certificate is None


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=5), st.integers(1, 4000))
def test_properties_are_those_that_the_library_of_onnx_reads(tmp_path_factory, properties, size):
    path = onnx_file(tmp_path_factory.mktemp("onnx") / "a.onnx", properties, size)
    expected = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert read_onnx_properties(path) == expected == properties


def test_a_file_cut_off_anywhere_is_refused_or_still_whole(tmp_path):
    whole = onnx_file(tmp_path / "a.onnx", {"key": "value" * 50}).read_bytes()
    path = tmp_path / "b.onnx"
    refused = 0
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            found = read_onnx_properties(path)
        except ValueError:
            refused += 1
        else:  # between two fields nothing tells that more was to come
            assert found in ({}, {"key": "value" * 50})
    assert refused > 0.9 * len(whole)


@given(st.binary(max_size=300))
def test_any_bytes_give_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_exported(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def changed(**values):
    return {**PROPERTIES, **values}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, "another program"),
        (changed(open_set_seg="{"), "expected JSON"),
        (changed(open_set_seg="[]"), "JSON object"),
        (changed(open_set_seg='{"format_version": 9}'), "format version"),
        (changed(open_set_seg_export="1"), "JSON object"),
        (changed(open_set_seg_certificate="?"), "expected JSON"),
        (changed(open_set_seg_statistics='{"max_logit_mean": "x"}'), "numbers"),
        (changed(open_set_seg_statistics='{"max_logit_mean": [1.0]}'), "max_logit_deviation"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, suffix, properties, expected):
    path = WRITERS[suffix](tmp_path / f"a{suffix}", properties)
    with pytest.raises(CheckpointError, match=expected) as caught:
        read_exported(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_foreign_files_are_told_apart(tmp_path):
    assert not is_exported(onnx_file(tmp_path / "foreign.onnx", {"author": "somebody"}))
    assert not is_exported(tmp_path / "demo.safetensors")
    (tmp_path / "page.xml").write_text("<html><body/></html>")
    with pytest.raises(CheckpointError, match="root is 'html' instead of 'net'"):
        read_exported(tmp_path / "page.xml")
    (tmp_path / "broken.xml").write_text("<net><rt_info>")
    for name, found in {"broken.xml": "no element", "none.xml": "nothing"}.items():
        with pytest.raises(CheckpointError, match=f"expected an openvino file .* found {found}"):
            read_exported(tmp_path / name)


def test_weights_beside_an_ir_must_be_those_that_belong_to_it(tmp_path):
    digest = hashlib.sha256(b"weights").hexdigest()
    settings = {**SETTINGS, "weights_file_sha256": digest}
    path = ir_file(tmp_path / "a.xml", exported_properties(METADATA, None, settings))
    with pytest.raises(CheckpointError, match=r"expected the weights at .*a\.bin"):
        read_exported(path)
    (tmp_path / "a.bin").write_bytes(b"weights")
    assert read_exported(path).settings["weights_file_sha256"] == digest
    (tmp_path / "a.bin").write_bytes(b"weightz")
    with pytest.raises(CheckpointError, match="changed or damaged"):
        read_exported(path)
