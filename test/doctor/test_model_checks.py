"""Checks of a model file and of what lies beside it; and the verb's exit codes and output."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import made_recordings as made
import numpy as np
import pytest

from open_set_seg import cli
from open_set_seg.calibration import (
    Calibration,
    Conditions,
    FrameStatistic,
    calibrate_threshold,
    calibration_path,
    save_calibration,
)
from open_set_seg.checkpoint import DEMO_CHECKPOINT, CheckpointMetadata, read_metadata
from open_set_seg.checkpoint.exported import exported_properties
from open_set_seg.cli import doctor
from open_set_seg.doctor import Finding, ModelFiles, examine_model, findings_to_json
from open_set_seg.doctor.model import _conditions
from open_set_seg.obstacles import ObstacleConfig
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.stereo import RangeConfig

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(tmp_path):
    return Path(shutil.copy(DEMO_CHECKPOINT, tmp_path / "model.safetensors"))


def calibrate(model, conditions=None, path=None):
    metadata = read_metadata(model)
    scores = np.random.default_rng(0).random(59).tolist()
    threshold = calibrate_threshold([FrameStatistic(score, bands=()) for score in scores])
    made_of = conditions or _conditions(metadata)
    calibration = Calibration(threshold, made_of, "59 pictures", "swiftnet", 0, "2026-01-01")
    save_calibration(path or calibration_path(model), calibration)


def seen(files):
    return [(f.check, f.severity) for f in examine_model(files) if f.severity != "ok"]


def test_the_demo_checkpoint_is_fine_and_has_no_promise():
    found = examine_model(ModelFiles(DEMO_CHECKPOINT))
    assert [(f.check, f.severity) for f in found] == [("checkpoint", "ok"), ("calibration", "note")]
    assert "swiftnet_rn18" in found[0].what


def test_conditions_are_those_of_a_detector_with_default_settings():
    segmenter = OpenSetSegmenter.from_checkpoint(DEMO_CHECKPOINT, device="cpu", backend="pytorch")
    assert _conditions(read_metadata(DEMO_CHECKPOINT)) == Conditions.of(
        segmenter.metadata, segmenter.scoring, ObstacleConfig(), segmenter_ground(), RangeConfig()
    )


def segmenter_ground():
    from open_set_seg.detector import DetectorConfig

    return DetectorConfig().ground


def test_a_calibration_of_the_model_is_fine_and_its_promise_is_told(model):
    calibrate(model)
    found = examine_model(ModelFiles(model))
    assert any("59 " in f.what for f in found if f.check == "calibration" and f.severity == "ok")
    assert seen(ModelFiles(model)) == [("calibration", "note")]  # no reference for drift


@pytest.mark.parametrize(
    ("change", "severity", "said"),
    [
        ({"weights_sha256": "ab" * 32}, "error", "not of this model"),
        ({"score": "msp"}, "error", "'msp'"),
        ({"temperature": 1.0}, "error", "temperature"),
        ({"obstacles": {"min_area_px": 40}}, "warning", "other than the default"),
    ],
)
def test_a_calibration_of_something_else_is_told(model, change, severity, said):
    calibrate(model, replace(_conditions(read_metadata(model)), **change))
    (found,) = [f for f in examine_model(ModelFiles(model)) if f.severity in ("warning", "error")]
    assert (found.check, found.severity) == ("calibration", severity)
    assert said in found.what


def test_a_calibration_that_is_off_is_not_looked_for(model, capsys):
    calibrate(model, replace(_conditions(read_metadata(model)), score="msp"))
    assert seen(ModelFiles(model)) == [("calibration", "error")]
    assert seen(ModelFiles(model, "off")) == [("calibration", "note")]
    assert cli.main(["doctor", "--model", str(model), "--calibration", "off", "--json"]) == 0
    assert "the calibration is off" in capsys.readouterr().out


def test_a_calibration_that_was_named_must_be_there(model):
    named = ModelFiles(model, model.with_name("other.yaml"))
    assert seen(named) == [("calibration", "error")]
    calibrate(model, path=named.calibration)
    assert seen(named) == [("calibration", "note")]


def test_a_damaged_model_is_an_error_with_its_cause(model):
    content = bytearray(model.read_bytes())
    content[-5] ^= 1
    model.write_bytes(content)
    (found,) = [f for f in examine_model(ModelFiles(model)) if f.severity == "error"]
    assert (found.check, "changed or damaged" in found.what) == ("checkpoint", True)
    model.unlink()
    (found,) = [f for f in examine_model(ModelFiles(model)) if f.severity == "error"]
    assert "found nothing there" in found.what


def exported(path, certificate):
    metadata = replace(read_metadata(DEMO_CHECKPOINT), weights_sha256="")
    properties = exported_properties(metadata, None, {"precision": "int8"})
    if certificate is not None:
        properties["open_set_seg_certificate"] = json.dumps(certificate)
    net = ElementTree.Element("net", version="11")
    info = ElementTree.SubElement(net, "rt_info")
    for key, value in properties.items():
        ElementTree.SubElement(info, key, value=value)
    ElementTree.ElementTree(net).write(path)
    return path


@pytest.mark.parametrize(
    ("certificate", "severity", "said"),
    [
        ({"verdict": "passed", "calibration": "8 scenes"}, "ok", "8 scenes"),
        ({"verdict": "failed", "broken_limits": ["AP fell by 0.2"]}, "error", "AP fell by 0.2"),
        (None, "warning", "no certificate"),
    ],
)
def test_certificates_of_exported_files_are_read(tmp_path, certificate, severity, said):
    path = exported(tmp_path / "model.xml", certificate)
    (found,) = [f for f in examine_model(ModelFiles(path)) if f.check == "certificate"]
    assert (found.severity, said in found.what) == (severity, True)


def test_metadata_of_exported_files_is_told(tmp_path):
    first = examine_model(ModelFiles(exported(tmp_path / "model.xml", None)))[0]
    assert isinstance(read_metadata(DEMO_CHECKPOINT), CheckpointMetadata)
    assert "exported to openvino (int8)" in first.what


# --- The verb ---


@pytest.fixture
def quick(monkeypatch):
    """The verb without the machine, which is another test's."""
    monkeypatch.setattr("open_set_seg.doctor.examine_environment", list)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    records = made.drive_records(made.scene())
    return made.write_recording(tmp_path_factory.mktemp("bags") / "drive", records)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    records = made.without("/image")(made.drive_records(made.scene()))
    return made.write_recording(tmp_path_factory.mktemp("bags") / "faulty", records)


def test_exit_codes_tell_errors_from_warnings(quick, recording, faulty, tmp_path, capsys):
    assert cli.main(["doctor", str(recording)]) == 0
    assert cli.main(["doctor", str(faulty)]) == 1
    policies = {"/image": (made.BEST_EFFORT, made.VOLATILE)}
    records = made.without("/camera_info")(made.drive_records(made.scene()))
    warned = str(made.write_recording(tmp_path / "warned", records, policies))
    assert cli.main(["doctor", warned]) == 0
    assert cli.main(["doctor", warned, "--strict"]) == 1
    assert cli.main(["doctor", str(tmp_path / "nowhere")]) == 2
    assert "found nothing there" in capsys.readouterr().err
    assert cli.main(["doctor", str(recording), "--live"]) == 2


def test_what_is_printed_has_no_colours_in_a_pipe_and_the_gravest_first(quick, faulty, capsys):
    cli.main(["doctor", str(faulty)])
    lines = capsys.readouterr().out.splitlines()
    assert "\033" not in "".join(lines)
    assert lines[0].startswith("error   topics")
    assert "1 error" in lines[-1]
    order = [line.split()[0] for line in lines if line[:5].strip() in doctor.COLOURS]
    assert order == sorted(order, key=["error", "warning", "note", "ok"].index)


def test_json_holds_what_was_found(quick, faulty, capsys):
    assert cli.main(["doctor", str(faulty), "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["worst"] == "error"
    assert content["counts"]["error"] == 1
    assert content["findings"][0]["check"] == "topics"
    assert findings_to_json([])["worst"] == "ok"
    one = findings_to_json([Finding("a", "note", "b"), Finding("c", "warning", "d", "e")])
    assert [f["check"] for f in one["findings"]] == ["c", "a"]


def test_a_folder_that_is_no_recording_is_an_error_and_no_traceback(quick, tmp_path, capsys):
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information: 7")
    assert cli.main(["doctor", str(tmp_path), "--json"]) == 1
    (found,) = [
        f for f in json.loads(capsys.readouterr().out)["findings"] if f["severity"] == "error"
    ]
    assert found["check"] == "recording"


BLOCKED = """
import sys
blocked = {names!r}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in blocked:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Refuse())
from open_set_seg.cli import main
sys.exit(main(['doctor', {recording!r}, '--json']))
"""


def test_with_nothing_installed_it_says_so(recording):
    names = ["torch", "cv2", "rclpy", "rosbags", "safetensors", "openvino", "onnxruntime", "triton"]
    script = BLOCKED.format(names=names, recording=str(recording))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    findings = json.loads(done.stdout)["findings"]
    errors = {f["check"] for f in findings if f["severity"] == "error"}
    assert errors == {"torch", "opencv"}
    assert all(f["advice"] for f in findings if f["severity"] == "error")
    notes = {f["check"]: f["what"] for f in findings if f["severity"] == "note"}
    assert "not checked, because" in notes["recording"]
    assert "not checked, because torch" in notes["checkpoint"]
