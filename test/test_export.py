"""Exported files answer as their checkpoint does, say everything that it says, or are not there."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from open_set_seg import cli
from open_set_seg.backends.telemetry import import_openvino
from open_set_seg.certificates import CertificateError, Limits, SimulatedScenes
from open_set_seg.checkpoint import (
    DEMO_CHECKPOINT,
    CheckpointMetadata,
    read_exported,
    read_metadata,
    save_checkpoint,
)
from open_set_seg.drawing import save_picture
from open_set_seg.export import (
    ExportConfig,
    ExportError,
    ImageSize,
    export_checkpoint,
)
from open_set_seg.export.networks import ExportedNetwork, output_names, trace_network
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.models import build_model
from open_set_seg.scores import LogisticMap, ScoreStatistics
from open_set_seg.scoring import ScoringError
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.simulation import render_still

SIZE = ImageSize(256, 128)
FREE = Limits(None, None, None, None, None, None, None)


def needs(*packages):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


needs_onnx = needs("onnx", "onnxscript", "onnxruntime")
needs_openvino = needs("openvino")
needs_int8 = needs("openvino", "nncf")


@pytest.fixture(scope="module")
def image():
    # Of a seed that no calibration set holds.
    return render_still(77, SIZE.width, SIZE.height).left


@pytest.fixture(scope="module")
def expected(image):
    return reference(DEMO_CHECKPOINT).segment(image)


def reference(checkpoint):
    return OpenSetSegmenter.from_checkpoint(checkpoint, "cpu", "fp32", backend="pytorch")


def export(checkpoint, output, precision="fp32", scenes=1, limits=FREE, size=SIZE, **options):
    form = {".onnx": "onnx", ".xml": "openvino"}[output.suffix]
    config = ExportConfig(form, precision, size, **options)
    sets = [choose(scenes, size.width, size.height) for choose in SETS]
    return export_checkpoint(checkpoint, output, config, sets[0], limits, sets[1])


SETS = (SimulatedScenes.first, SimulatedScenes.last)
SCORES = ("jsd", "energy", "dense_hybrid")


@pytest.fixture(scope="module")
def exported_onnx(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "demo.onnx"
    arguments = ["export", DEMO_CHECKPOINT, "-o", path, "--size", SIZE]
    assert cli.main([*map(str, arguments), "--calibration", "simulation:2"]) == 0
    return path


@needs_onnx
def test_an_onnx_file_gives_the_scores_of_its_checkpoint(exported_onnx, image, expected):
    segmenter = OpenSetSegmenter.from_checkpoint(exported_onnx)
    found = segmenter.segment(image)
    np.testing.assert_allclose(found.anomaly, expected.anomaly, atol=1e-4)
    assert (found.nearest != expected.nearest).mean() < 1e-3
    assert found.threshold == expected.threshold
    assert segmenter.metadata == read_metadata(DEMO_CHECKPOINT)
    assert "ONNX Runtime" in segmenter.device_description


@needs_onnx
def test_an_onnx_file_is_what_others_expect(exported_onnx, image, expected):
    import onnx
    import onnxruntime

    content = exported_onnx.read_bytes()
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version == 8
    assert str(Path(__file__).parent.parent).encode() not in content, "tells where it was made"
    session = onnxruntime.InferenceSession(content)
    (only,) = session.get_inputs()
    assert (only.name, only.shape, only.type) == ("image", [1, 3, 128, 256], "tensor(float)")
    planes = image.transpose(2, 0, 1)[None].astype(np.float32)
    (logits,) = session.run(["logits"], {"image": planes})
    assert logits.shape == (1, 12, 32, 64)
    upsampled = torch.nn.functional.interpolate(
        torch.from_numpy(logits), scale_factor=4, mode="bilinear", align_corners=False
    )
    assert (upsampled.argmax(1)[0].numpy() != expected.nearest).mean() < 1e-3


@needs_onnx
def test_the_certificate_lies_in_the_file_and_beside_it(exported_onnx):
    beside = json.loads(Path(f"{exported_onnx}.certificate.json").read_text())
    digest = hashlib.sha256(exported_onnx.read_bytes()).hexdigest()
    assert beside["candidate"]["files"] == {"demo.onnx": digest}
    digest = hashlib.sha256(DEMO_CHECKPOINT.read_bytes()).hexdigest()
    assert beside["reference"]["files"] == {"demo.safetensors": digest}
    assert beside["verdict"] == "passed"
    assert beside["figures"]["frames"] == 2
    assert beside["limits"]["max_score_difference"] == 1e-3
    inside = read_exported(exported_onnx).certificate
    assert inside == {**beside, "candidate": {**beside["candidate"], "files": {}}}


@needs_onnx
def test_info_describes_an_exported_file(exported_onnx, capsys):
    assert cli.main(["info", str(exported_onnx)]) == 0
    told = capsys.readouterr().out
    threshold = f"{read_metadata(DEMO_CHECKPOINT).threshold:g}"
    for text in ("onnx, fp32, for images of 256x128", "passed", "streethazards_12", threshold):
        assert text in told


@needs_onnx
def test_an_image_of_another_size_is_refused(exported_onnx):
    segmenter = OpenSetSegmenter.from_checkpoint(exported_onnx)
    with pytest.raises(ValueError, match=r"256x128.*and this one has 128x64") as caught:
        segmenter.segment(np.zeros((64, 128, 3), np.uint8))
    assert "\n" not in str(caught.value)


@needs_onnx
def test_what_an_exported_network_does_not_give_is_said_in_one_line(exported_onnx):
    segmenter = OpenSetSegmenter.from_checkpoint(exported_onnx)
    for score in ("mahalanobis", "odin+msp", "react+energy"):
        with pytest.raises(ScoringError, match="onnxruntime gives logits alone"):
            segmenter.check_scores([score])
    with pytest.raises(ValueError, match="runs in the backend onnxruntime alone"):
        OpenSetSegmenter.from_checkpoint(exported_onnx, backend="pytorch")
    with pytest.raises(ValueError, match="has a precision of its own"):
        OpenSetSegmenter.from_checkpoint(exported_onnx, precision="bf16")


@needs_openvino
def test_a_broken_limit_leaves_no_file_and_says_why(tmp_path, capfd):
    arguments = ["export", DEMO_CHECKPOINT, "-o", tmp_path / "demo.xml", "--size", SIZE]
    arguments += ["--precision", "fp16", "--calibration", "simulation:1"]
    arguments += ["--limit", "mean_score_difference=0"]
    assert cli.main([str(argument) for argument in arguments]) == 2
    told = capfd.readouterr()
    figures = told.out.splitlines()
    assert figures[0].startswith("certificate "), "the packages talk"
    assert any(re.match(r"miou change +0\.\d+ -> 0\.\d+: ", line) for line in figures)
    (line,) = told.err.splitlines()
    assert line.startswith("open-set-seg: expected a network that answers as before, found that ")
    assert "mean_score_difference is " in line
    assert line.endswith("inf times its limit of 0")
    assert list(tmp_path.iterdir()) == []


@needs_onnx
def test_a_failed_file_is_kept_aside_and_the_older_one_stays(tmp_path, capfd):
    output = tmp_path / "demo.onnx"
    output.write_bytes(b"older")
    level = logging.getLogger("torch.onnx").level
    limits = replace(FREE, max_score_difference=1e-9)
    with pytest.raises(CertificateError, match="max_score_difference is "):
        export(DEMO_CHECKPOINT, output, "fp16", limits=limits, keep_failed=True)
    told = capfd.readouterr()
    assert told.out == told.err == "", "the packages talk"
    assert logging.getLogger("torch.onnx").level == level
    assert output.read_bytes() == b"older"
    kept = tmp_path / "demo.rejected.onnx"
    beside = tmp_path / "demo.rejected.onnx.certificate.json"
    assert set(tmp_path.iterdir()) == {output, kept, beside}
    exported = read_exported(kept)
    assert exported.settings["precision"] == "fp16"
    assert exported.certificate["verdict"] == json.loads(beside.read_text())["verdict"] == "failed"


@needs_openvino
@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [("fp32", 1e-4), ("fp16", 0.05), pytest.param("int8", 0.25, marks=needs_int8)],
)
def test_an_openvino_file_gives_the_scores_of_its_checkpoint(
    tmp_path, image, expected, precision, tolerance, capfd
):
    output = tmp_path / "demo.xml"
    certificate = export(DEMO_CHECKPOINT, output, precision, scenes=2)
    assert capfd.readouterr().out == "", "the packages talk"
    assert certificate["candidate"]["precision"] == precision
    assert set(certificate["candidate"]["files"]) == {"demo.xml", "demo.bin"}
    assert ("quantised_on" in certificate["candidate"]) == (precision == "int8")
    segmenter = OpenSetSegmenter.from_checkpoint(output)
    found = segmenter.segment(image)
    difference = np.abs(found.anomaly - expected.anomaly)
    assert np.quantile(difference, 0.99) <= tolerance
    assert difference.max() > 0.0
    assert (found.nearest != expected.nearest).mean() < 0.03
    assert segmenter.metadata == read_metadata(DEMO_CHECKPOINT)
    assert read_exported(output).certificate["verdict"] == "passed"
    with pytest.raises(ValueError, match="and this one has 128x64 pixels"):
        segmenter.segment(np.zeros((64, 128, 3), np.uint8))
    operations = {
        node.get_type_name() for node in import_openvino().Core().read_model(output).get_ops()
    }
    assert ("FakeQuantize" in operations) == (precision == "int8")


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory):
    """A network with an outlier head, an unbounded score of both heads, and statistics."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("two_heads") / "two.safetensors"
    network = build_model("swiftnet_rn18", 12, 0.125, outlier_head=True)
    metadata = CheckpointMetadata(
        "swiftnet_rn18",
        STREETHAZARDS,
        "1.0",
        width=0.125,
        outlier_head=True,
        score="sml",
        temperature=1.0,
        score_map=LogisticMap(0.0, 1.0),
        threshold=0.4,
    )
    statistics = ScoreStatistics(torch.linspace(0.0, 1.0, 12), torch.linspace(1.0, 2.0, 12))
    save_checkpoint(path, network, metadata, statistics=statistics)
    return path


@pytest.mark.parametrize(
    "name", [pytest.param("a.onnx", marks=needs_onnx), pytest.param("a.xml", marks=needs_openvino)]
)
def test_both_heads_the_map_and_statistics_go_along(tmp_path, two_heads, name):
    size = ImageSize(96, 64)
    # Random weights: scores may be compared, decisions and classes may not.
    export(two_heads, tmp_path / name, size=size)
    rgb = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    before, maps = reference(two_heads).segment_with_scores(rgb, SCORES)
    after, found = OpenSetSegmenter.from_checkpoint(tmp_path / name).segment_with_scores(
        rgb, SCORES
    )
    np.testing.assert_allclose(after.anomaly, before.anomaly, atol=1e-4)
    assert after.threshold == 0.4
    for score in SCORES:
        np.testing.assert_allclose(found[score], maps[score], atol=1e-3)
        assert np.ptp(maps[score]) > 0


def test_a_traced_network_gives_the_heads_in_order():
    torch.manual_seed(0)
    network = build_model("ldn_121", 5, 0.125, outlier_head=True).eval()
    size = ImageSize(160, 64)
    program = trace_network(ExportedNetwork(network), size)
    image = torch.rand(size.shape) * 255
    with torch.inference_mode():
        expected = network(image)
        found = program.module()(image)
    assert output_names(True) == ["logits", "outlier_logits"]
    torch.testing.assert_close(found, (expected.logits, expected.outlier_logits))


def test_a_score_of_features_cannot_be_exported(tmp_path):
    metadata = CheckpointMetadata(
        "swiftnet_rn18", STREETHAZARDS, "1.0", width=0.125,
        score="mahalanobis", score_map=LogisticMap(0.0, 1.0),
    )  # fmt: skip
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, build_model("swiftnet_rn18", 12, 0.125), metadata)
    with pytest.raises(ExportError, match="'mahalanobis', which needs features"):
        export(path, tmp_path / "a.onnx")


def test_mistakes_are_one_line_and_exit_code_2(tmp_path, capsys):
    checkpoint, output = DEMO_CHECKPOINT, tmp_path / "a.onnx"
    save_picture(tmp_path / "one.png", np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x08:\xff")
    (tmp_path / "page.xml").write_text("<html/>")
    export = ["export", checkpoint, "-o", output, "--size", "64x64"]
    mistakes = {
        "expected --format": ["export", checkpoint, "-o", tmp_path / "a", "--size", "64x64"],
        "ends in .xml": [*export, "--format", "openvino"],
        "found 'int8'": [*export, "--precision", "int8"],
        "bf16 is arithmetic": [*export, "--precision", "bf16"],
        "at least 32x32": ["export", checkpoint, "-o", output, "--size", "64x31"],
        "WIDTHxHEIGHT": ["export", checkpoint, "-o", output, "--size", "big"],
        "none at": ["export", checkpoint, "-o", tmp_path / "no" / "a.onnx", "--size", "64x64"],
        "NAME one of": [*export, "--limit", "speed=1"],
        "1 to 1000": [*export, "--calibration", "simulation:0"],
        "or a folder": [*export, "--calibration", tmp_path / "nothing"],
        "expected an open_set_seg checkpoint": [
            "export", tmp_path / "page.xml", "-o", output, "--size", "64x64",
        ],
        "two or more pictures": [
            "export", checkpoint, "-o", tmp_path / "a.xml", "--size", "64x64",
            "--precision", "int8", "--calibration", tmp_path,
        ],
        "found a file that ends too early": ["info", tmp_path / "broken.onnx"],
        "root is 'html'": ["detect", tmp_path / "one.png", "--model", tmp_path / "page.xml"],
        "expected --size WxH": ["certify", checkpoint],
    }  # fmt: skip
    for expected, arguments in mistakes.items():
        assert cli.main([str(argument) for argument in arguments]) == 2, arguments
        told = capsys.readouterr().err.strip()
        assert told.splitlines()[-1].startswith("open-set-seg: "), told
        assert expected in told.splitlines()[-1]
        assert "Traceback" not in told
    assert not output.exists()


@needs_onnx
def test_a_folder_of_pictures_certifies_without_truth(tmp_path, image, exported_onnx, capsys):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("a.png", "b.png"):
        save_picture(pictures / name, image)
    output = tmp_path / "certificate.json"
    arguments = ["certify", DEMO_CHECKPOINT, exported_onnx, "--calibration", pictures]
    assert cli.main([*map(str, arguments), "-o", str(output)]) == 0
    content = json.loads(output.read_text())
    assert content["figures"]["frames"] == 2
    assert content["changes"]["ap_change"] is None
    assert content["not_given"] == ["AP, FPR95 and mIoU: the pictures have no truth"]
    assert "not given" in capsys.readouterr().out


@needs_openvino
def test_a_change_of_arithmetic_is_certified_without_a_file(tmp_path, capsys):
    able = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "BF16" not in able:
        pytest.skip("no bf16 on this processor")
    arguments = ["certify", DEMO_CHECKPOINT, "--size", SIZE, "--precision", "bf16"]
    arguments += ["--backend", "openvino", "--calibration", "simulation:1"]
    arguments += ["--limit", "max_score_difference=0", "-o", tmp_path / "bf16.json"]
    assert cli.main([str(argument) for argument in arguments]) == 2
    assert "max_score_difference is " in capsys.readouterr().err
    content = json.loads((tmp_path / "bf16.json").read_text())
    assert content["candidate"]["precision"] == "bf16"
    assert "OpenVINO" in content["candidate"]["runs_on"]
    assert content["limits"]["decisions_changed"] == 0.01, "the limits of reduced precision"
    assert 0 < content["changes"]["mean_score_difference"] < 0.01
    assert content["changes"]["classes_changed"] < 0.01


@needs_onnx
def test_a_file_of_another_checkpoint_is_not_certified(two_heads, exported_onnx, capsys):
    assert cli.main(["certify", str(two_heads), str(exported_onnx)]) == 2
    assert "expected two files of one network, found that they differ in" in capsys.readouterr().err
