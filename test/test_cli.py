"""The command line: results for files and recordings, and one line for every mistake."""

from __future__ import annotations

import csv
import importlib.util
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from untrained import save_untrained

from open_set_seg import cli
from open_set_seg.bags import read_frames
from open_set_seg.cli.files import read_camera_file
from open_set_seg.demo.in_process import play_in_process
from open_set_seg.detector import ObstacleDetector
from open_set_seg.drawing import save_picture
from open_set_seg.frame import Camera
from open_set_seg.simulation import StereoFrame, render_still
from open_set_seg.stereo.matching import match_pair


@pytest.fixture(scope="module")
def scene() -> StereoFrame:
    return render_still(seed=1_000_003, width=256, height=128, right=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory, scene) -> Path:
    return save_untrained(tmp_path_factory.mktemp("model") / "model.safetensors", scene.left)


@pytest.fixture
def pair(tmp_path, scene):
    folder = tmp_path / "pair"
    folder.mkdir()
    save_picture(folder / "left.png", scene.left)
    save_picture(folder / "right.png", scene.right)
    return folder


def camera_options(scene) -> list[str]:
    camera = scene.rig.camera
    return [
        "--focal", str(camera.fx), "--baseline", str(scene.rig.baseline),
        "--principal-point", str(camera.cx), str(camera.cy),
    ]  # fmt: skip


def detect(tmp_path, model, source, *options) -> list[dict[str, str]]:
    arguments = ["detect", str(source), "--model", str(model), "--device", "cpu"]
    arguments += ["--backend", "pytorch"]
    output = tmp_path / "found"
    assert cli.main([*arguments, "--output", str(output), *map(str, options)]) == 0
    with (output / "obstacles.csv").open() as file:
        return list(csv.DictReader(file))


def test_matching_a_pair_gives_the_distances_of_the_scene(scene):
    rig = scene.rig
    found = match_pair(scene.left, scene.right, rig.camera.fx, rig.baseline)
    assert found.focal_length == rig.camera.fx
    assert found.baseline == rig.baseline
    valid = (found.values > 2) & (scene.disparity > 2)
    assert valid.mean() > 0.2
    error = found.values[valid] / scene.disparity[valid] - 1
    assert np.median(np.abs(error)) < 0.05


def test_a_pair_gives_pictures_and_obstacles_with_distances(tmp_path, scene, model, pair):
    rows = detect(
        tmp_path, model, pair / "left.png", "--right", pair / "right.png", *camera_options(scene)
    )
    assert any(row["distance"] for row in rows)
    for name in ("left_overlay.png", "left_anomaly.png"):
        assert cv2.imread(str(tmp_path / "found" / name)).shape == scene.left.shape


def test_disparity_and_depth_files_give_what_the_detector_gives(tmp_path, scene, model, pair):
    np.save(tmp_path / "disparity.npy", scene.disparity)
    millimetres = np.nan_to_num(scene.depth * 1000).clip(0, 65535).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "depth.png"), millimetres)
    detector = ObstacleDetector.from_checkpoint(model, device="cpu", backend="pytorch")
    expected = detector.process(scene.frame(exact=True)).obstacles
    for kind, file in (("disparity", "disparity.npy"), ("depth", "depth.png")):
        rows = detect(
            tmp_path, model, pair / "left.png", f"--{kind}", tmp_path / file, *camera_options(scene)
        )
        assert len(rows) == len(expected)
        got = sorted(float(row["distance"]) for row in rows if row["distance"])
        want = sorted(o.distance for o in expected if np.isfinite(o.distance))
        assert len(got) == len(want) > 0
        np.testing.assert_allclose(got, want, rtol=0.05)


def test_a_folder_of_images_without_ranges_has_unknown_distances(tmp_path, model, pair):
    rows = detect(tmp_path, model, pair)
    assert {row["frame"] for row in rows} == {"left", "right"}
    assert {row["distance"] for row in rows} == {""}


def test_a_recording_gives_what_the_pipeline_gave(tmp_path, scene, model):
    play_in_process([scene], tmp_path / "bag", model, "cpu", lambda done: None, "pytorch")
    (frame,) = read_frames(tmp_path / "bag")
    expected = (
        ObstacleDetector.from_checkpoint(model, device="cpu", backend="pytorch")
        .process(frame)
        .obstacles
    )
    rows = detect(tmp_path, model, tmp_path / "bag")
    assert [row["mean_score"] for row in rows] == [f"{o.mean_score:.4f}" for o in expected]
    assert [row["distance"] for row in rows] == [
        f"{o.distance:.4f}" if np.isfinite(o.distance) else "" for o in expected
    ]


@pytest.mark.parametrize("style", ["calibrator", "message"])
def test_camera_files_of_both_styles_are_read(tmp_path, style):
    k, p = "[500, 0, 320, 0, 501, 240, 0, 0, 1]", "[510, 0, 321, 0, 0, 511, 241, 0, 0, 0, 1, 0]"
    text = {
        "calibrator": f"image_width: 640\nimage_height: 480\ncamera_matrix: {{data: {k}}}\n"
        f"projection_matrix: {{data: {p}}}\n",
        "message": f"width: 640\nheight: 480\nk: {k}\np: {p}\n",
    }[style]
    (tmp_path / "camera.yaml").write_text(text)
    camera = read_camera_file(tmp_path / "camera.yaml")
    assert camera == Camera(640, 480, 510.0, 511.0, 321.0, 241.0)


def test_info_says_what_a_checkpoint_is(model, capsys):
    assert cli.main(["info", str(model)]) == 0
    told = capsys.readouterr().out
    for text in ("swiftnet_rn18", "width 0.25", "streethazards_12", "jsd", "mean_iou", "0.125"):
        assert text in told


def test_info_says_what_would_run_the_network_and_why(model, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.main(["info", str(model)]) == 0
    name = "pytorch" if importlib.util.find_spec("openvino") is None else "openvino"
    assert re.search(rf"^backend +{name} on cpu \(.+\)$", capsys.readouterr().out, re.M)
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert cli.main(["info", str(model)]) == 0
    assert re.search(
        r"^backend +pytorch on cpu .*not installed: pip install", capsys.readouterr().out, re.M
    )


def test_info_says_what_computes_the_head(model, capsys):
    assert cli.main(["info", str(model)]) == 0
    assert re.search(
        r"^head +(C kernel|Triton|tiled PyTorch).* on (cpu|cuda)$", capsys.readouterr().out, re.M
    )


def test_mistakes_are_one_line_and_exit_code_2(tmp_path, scene, model, pair, capsys):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "camera.yaml").write_text("just words")
    left, right = pair / "left.png", pair / "right.png"
    small = tmp_path / "small.png"
    save_picture(small, scene.left[::2, ::2])
    mistakes = {
        "does not exist": ["detect", tmp_path / "nothing.png"],
        "not a picture": ["detect", tmp_path / "text.png"],
        "holds no pictures": ["detect", model.parent],
        "need --focal": ["detect", left, "--right", right],
        "need --baseline": ["detect", left, "--right", right, "--focal", 200],
        "not the left's": ["detect", left, "--right", small, *camera_options(scene)],
        "neither .npy nor": ["detect", left, "--depth", right, "--focal", 200],
        "no camera calibration": ["detect", left, "--camera", tmp_path / "camera.yaml"],
        "threshold must be": ["detect", left, "--threshold", 2],
        "unknown device": ["detect", left, "--device", "abacus"],
        "unknown backend": ["detect", left, "--backend", "abacus"],
        "checkpoint": ["info", left],
        "found nothing": ["info", tmp_path / "none.safetensors"],
        "holds something else": ["demo", "--no-ros", "--output", pair],
        "frames must be": ["demo", "--no-ros", "--frames", 0, "--output", tmp_path / "demo"],
    }
    for expected, arguments in mistakes.items():
        given = [str(a) for a in arguments]
        if given[0] != "info":
            given += ["--model", str(model)]
        if given[0] == "detect":
            given += ["--output", str(tmp_path / "out")]
        assert cli.main(given) == 2, arguments
        told = capsys.readouterr().err.strip()
        line = told.splitlines()[-1]
        assert line.startswith("open-set-seg: "), told
        assert expected in line
        assert "Traceback" not in told


def test_without_ros_the_demo_says_what_to_do(monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "rclpy" else find_spec(name)
    )
    assert cli.main(["demo"]) == 2
    told = capsys.readouterr().err
    assert "--no-ros" in told
    assert "open_set_seg[ros]" in told


def test_a_missing_package_is_named_with_its_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    for module in ("open_set_seg.checkpoint", "open_set_seg.models"):
        for name in [n for n in sys.modules if n.startswith(module)]:
            monkeypatch.delitem(sys.modules, name)
    assert cli.main(["info"]) == 2
    assert "pip install 'open_set_seg[torch]'" in capsys.readouterr().err


def test_a_missing_ros_is_no_reason_to_propose_what_only_the_demo_can_do(monkeypatch, capsys):
    def fail(*_):
        raise ModuleNotFoundError("No module named 'rclpy'", name="rclpy")

    monkeypatch.setattr("open_set_seg.checkpoint.load_checkpoint", fail)
    assert cli.main(["info"]) == 2
    told = capsys.readouterr().err
    assert "pip install 'open_set_seg[ros]'" in told
    assert "--no-ros" not in told


def test_an_interrupt_is_exit_code_130_without_traceback(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("open_set_seg.checkpoint.load_checkpoint", interrupt)
    assert cli.main(["info"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_help_imports_neither_torch_nor_ros():
    script = (
        "import sys\nfrom open_set_seg.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as done:\n    assert done.code == 0\n"
        "assert not {'torch', 'rclpy', 'cv2'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for verb in ("demo", "detect", "info"):
        assert verb in done.stdout


def read_table(path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_frame_says_what_its_list_is_worth(tmp_path, scene, model, pair):
    np.save(tmp_path / "disparity.npy", scene.disparity)
    ranges = ("--disparity", tmp_path / "disparity.npy", *camera_options(scene))
    options = (*ranges, "--threshold", 1)
    assert detect(tmp_path, model, pair / "left.png", *options) == []
    (row,) = read_table(tmp_path / "found" / "frames.csv")
    assert (row["frame"], row["examined"], row["obstacles"]) == ("left", "1", "0")
    assert 0 < float(row["corridor_share"]) <= 1
    sizes = [float(row[f"detectable_{size}cm"]) for size in (10, 20, 30)]
    assert sizes == sorted(sizes)


def test_obstacles_of_a_recording_are_followed_and_those_of_pictures_are_not(
    tmp_path, scene, model, pair
):
    drive = [replace(scene, stamp_ns=number * 100_000_000) for number in range(3)]
    play_in_process(drive, tmp_path / "bag", model, "cpu", lambda done: None, "pytorch")
    rows = detect(tmp_path, model, tmp_path / "bag")
    ids = [{row["id"] for row in rows if row["frame"] == f"{n:06d}"} for n in range(3)]
    assert ids[0] == ids[1] == ids[2] != set()
    states = [{row["state"] for row in rows if row["frame"] == f"{n:06d}"} for n in range(3)]
    assert states == [{"tentative"}, {"confirmed"}, {"confirmed"}]
    again = detect(tmp_path, model, tmp_path / "bag", "--no-tracking")
    assert [row["mean_score"] for row in again] == [row["mean_score"] for row in rows]
    assert {row["state"] for row in again} == {""}
    assert {row["state"] for row in detect(tmp_path, model, pair)} == {""}


def test_the_calibration_beside_the_model_is_used_unless_it_is_turned_off(
    tmp_path, scene, pair, capsys
):
    image = pair / "left.png"
    own = save_untrained(tmp_path / "own.safetensors", scene.left)
    images = tmp_path / "usual"
    images.mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        picture = rng.integers(0, 256, scene.left.shape, dtype=np.uint8)
        cv2.imwrite(str(images / f"{number:02d}.png"), picture)
    quick = ["--device", "cpu", "--backend", "pytorch"]
    loose = ["--target", "0.25", "--confidence", "0.8"]
    assert cli.main(["calibrate", str(own), str(images), *loose, *quick]) == 0
    promise = capsys.readouterr().out.strip().splitlines()[-2]
    assert promise.startswith("With 80 % confidence")
    detect(tmp_path, own, image)
    assert promise in capsys.readouterr().out
    detect(tmp_path, own, image, "--calibration", "off")
    assert "No promise about false alarms" in capsys.readouterr().out
    arguments = ["detect", str(image), "--model", str(own), "--no-ground", *quick]
    assert cli.main([*arguments, "--output", str(tmp_path / "refused")]) == 2
    assert "ground.mode 'hull', but in use is 'off'" in capsys.readouterr().err
