"""``open-set-seg calibrate`` from frames to a file whose promise the detector keeps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from untrained import save_untrained

from open_set_seg import cli
from open_set_seg.bags import BagWriter, building, topics
from open_set_seg.calibration import (
    Conditions,
    calibration_path,
    find_segments,
    load_calibration,
    statistic_of_result,
)
from open_set_seg.cli.calibration_frames import render_scenes
from open_set_seg.detector import DetectorConfig, ObstacleDetector
from open_set_seg.drawing import save_picture
from open_set_seg.obstacles import ObstacleConfig
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.simulation import render_still

SIZE = ("--size", "64x32")
COUNT = 16
# As many frames as a test renders can promise that.
LOOSE = ("--target", "0.25", "--confidence", "0.8")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    return save_untrained(path, render_still(0, 64, 32).left)


@pytest.fixture(scope="module")
def scenes():
    return [one.frame for one in render_scenes(COUNT, 64, 32, False)]


def calibrate(*arguments):
    options = ("--device", "cpu", "--backend", "pytorch")
    return cli.main(["calibrate", *map(str, arguments), *options])


def detector_at(model, threshold, **obstacles):
    segmenter = OpenSetSegmenter.from_checkpoint(model, "cpu", backend="pytorch")
    config = DetectorConfig(threshold=threshold, obstacles=ObstacleConfig(**obstacles))
    return ObstacleDetector(segmenter, config), segmenter


def refused(capsys, *arguments):
    assert calibrate(*arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("open-set-seg: ")
    return lines[-1]


def test_the_detector_alarms_as_often_as_the_file_says(model, scenes, capsys):
    bands = ("--bands", "0", "12", "80")
    assert calibrate(model, "--simulation", COUNT, *SIZE, *bands, *LOOSE) == 0
    printed = capsys.readouterr().out
    found = load_calibration(calibration_path(model))
    assert found.promise in printed
    assert "16 rendered scenes of 64x32 without unknown objects" in found.source
    threshold = found.threshold
    assert (threshold.rule, threshold.unit, threshold.samples) == ("tolerance", "frame", COUNT)
    detector, segmenter = detector_at(model, threshold.value)
    found.require(
        Conditions.of(
            segmenter.metadata,
            segmenter.scoring,
            detector.config.obstacles,
            detector.config.ground,
            detector.config.range,
        )
    )
    alarms = sum(bool(detector.process(frame).obstacles) for frame in scenes)
    assert alarms == threshold.alarms > 0
    # One score lower, a frame more.
    lower = float(np.nextafter(np.float32(threshold.value), np.float32(0)))
    detector, _ = detector_at(model, lower)
    assert sum(bool(detector.process(frame).obstacles) for frame in scenes) > alarms
    for band in threshold.bands:
        if band.threshold is None:
            continue
        detector, _ = detector_at(model, band.threshold)
        distances = [[o.distance for o in detector.process(f).obstacles] for f in scenes]
        inside = sum(any(band.near <= d < band.far for d in found) for found in distances)
        assert inside <= 0.25 * COUNT


def test_pictures_give_what_their_frames_give(model, scenes, tmp_path):
    (tmp_path / "disparity").mkdir()
    for number, frame in enumerate(scenes):
        save_picture(tmp_path / f"{number:02d}.png", frame.image)
        disparity = np.maximum(frame.range_input.values, 0)
        np.save(tmp_path / "disparity" / f"{number:02d}.npy", disparity)
    output = tmp_path / "found.yaml"
    camera = scenes[0].camera
    geometry = (
        *("--focal", camera.fx, "--baseline", scenes[0].right_baseline),
        *("--principal-point", camera.cx, camera.cy, "--disparity", tmp_path / "disparity"),
    )
    arguments = (
        model,
        tmp_path,
        "-o",
        output,
        "--expected-rate",
        "--target",
        "0.1",
        "--min-area-m2",
        "0.1",
    )
    assert calibrate(*arguments, *geometry) == 0
    found = load_calibration(output).threshold
    detector, _ = detector_at(model, 1.0, min_area_m2=0.1)
    results = [detector.process(frame) for frame in scenes]
    space, config = detector.label_space, detector.config.obstacles
    scores = [statistic_of_result(result, space, config).score for result in results]
    assert found.value == max(scores)
    assert (found.rule, found.confidence, found.samples) == ("expected_rate", None, COUNT)


def write_bag(path, frames, repeats=1):
    with BagWriter(path) as bag:
        number = 0
        for frame in frames:
            for _ in range(repeats):
                stamp = number * 100_000_000
                bag.write(
                    topics.CAMERA_INFO,
                    stamp,
                    building.camera_info(frame.camera, stamp, "camera"),
                )
                bag.write(topics.IMAGE, stamp, building.image(frame.image, stamp, "camera"))
                disparity = building.disparity_image(frame.range_input, stamp, "camera")
                bag.write(topics.DISPARITY, stamp, disparity)
                number += 1
    return path


def test_a_recording_is_calibrated_per_segment(model, scenes, tmp_path, capsys):
    # Every picture stands still for four frames: a memory that cannot be overlooked.
    bag = write_bag(tmp_path / "drive", scenes, repeats=4)
    output = tmp_path / "found.yaml"
    assert calibrate(model, bag, "-o", output, "--target", "0.5", "--confidence", "0.8") == 0
    found = load_calibration(output).threshold
    detector, _ = detector_at(model, 1.0)
    results = [detector.process(frame) for frame in scenes for _ in range(4)]
    space, config = detector.label_space, detector.config.obstacles
    statistics = [statistic_of_result(result, space, config) for result in results]
    segments = find_segments(statistics)
    assert found.unit == "segment"
    assert found.segment_frames == segments.length >= 8
    assert found.samples == len(segments.blocks) == 4 * COUNT // found.segment_frames
    assert found.segment_seconds == pytest.approx(0.1 * found.segment_frames)
    assert "segments of" in capsys.readouterr().out
    line = refused(capsys, model, bag, "-o", output)
    assert "takes 59 independent segments" in line


def test_from_labels(model, tmp_path, scenes):
    pictures, labels = tmp_path / "pictures", tmp_path / "labels"
    pictures.mkdir()
    labels.mkdir()
    unknown = np.zeros((32, 64), np.uint8)
    unknown[20:28, 10:30] = 1
    for number, frame in enumerate(scenes[:3]):
        save_picture(pictures / f"{number}.png", frame.image)
        cv2.imwrite(str(labels / f"{number}.png"), unknown)
    output = tmp_path / "found.yaml"
    assert calibrate(model, pictures, "--labels", labels, "--tpr", "0.8", "-o", output) == 0
    found = load_calibration(output)
    detector, _ = detector_at(model, 1.0)
    above = total = 0
    for frame in scenes[:3]:
        result = detector.process(frame)
        counted = result.ground & (unknown == 1)
        above += int(np.sum(result.prediction.anomaly[counted] > found.threshold.value))
        total += int(np.sum(counted))
    assert found.threshold.samples == total > 0
    assert 0.8 <= above / total < 0.82
    assert calibrate(model, "--simulation", 2, *SIZE, "--best-f1", "-o", output) == 0
    assert load_calibration(output).threshold.rule == "best_f1"


def test_what_cannot_be_done_is_said_in_one_line(model, tmp_path, capsys):
    for number in range(3):
        save_picture(tmp_path / f"{number}.png", np.zeros((32, 64, 3), np.uint8))
    output = ("-o", tmp_path / "found.yaml")
    assert "takes 59 independent frames or segments, found 3" in refused(
        capsys, model, tmp_path, *output
    )
    assert "one of the three" in refused(capsys, model, *output)
    assert "does not exist" in refused(capsys, model, tmp_path / "none", *output)
    assert "needs --labels" in refused(capsys, model, tmp_path, "--tpr", 0.9, *output)
    assert "rising borders" in refused(capsys, model, tmp_path, "--bands", 9, 5, *output)
    assert "between 0 and 1" in refused(capsys, model, tmp_path, "--target", 0, *output)
    assert not (tmp_path / "found.yaml").exists()
