"""What scores were like in calibration: which frames are taken, and how they are kept."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml
from untrained import save_untrained

from open_set_seg import cli
from open_set_seg.calibration import (
    Calibration,
    CalibrationError,
    Conditions,
    FrameStatistic,
    calibrate_threshold,
    calibration_path,
    load_calibration,
    save_calibration,
)
from open_set_seg.calibration.fields import MOST_BYTES
from open_set_seg.drawing import save_picture
from open_set_seg.frame import Prediction
from open_set_seg.monitoring import STATISTICS, DriftReference, ReferenceFrames, summarise
from open_set_seg.monitoring.reference import MOST_FRAMES
from open_set_seg.segmenter import OpenSetSegmenter

SECOND = 1_000_000_000


def prediction(seed):
    rng = np.random.default_rng(seed)
    anomaly = rng.random((16, 24), dtype=np.float32)
    nearest = rng.integers(0, 5, (16, 24), dtype=np.uint8)
    return Prediction(nearest, anomaly, nearest, 1.0)


def collect(stamps_s, interval_s=1.0, recordings=None, threshold=0.5):
    frames = ReferenceFrames(threshold, interval_s)
    for number, stamp in enumerate(stamps_s):
        recording = 0 if recordings is None else recordings[number]
        frames.add(prediction(number), round(stamp * SECOND), recording)
    return frames


def test_frames_of_a_video_are_taken_as_far_apart_as_drift_is_judged():
    frames = collect(np.arange(300) / 10)
    found = frames.reference()
    expected = [summarise(prediction(number), 0.5).values() for number in range(0, 300, 10)]
    assert np.array_equal(found.values, expected)
    assert found.threshold == 0.5


def test_another_recording_and_a_stamp_that_goes_back_begin_anew():
    assert len(collect([0.0, 0.1, 0.2, 0.3], recordings=[0, 0, 1, 1])) == 2
    assert len(collect([5.0, 5.1, 2.0, 2.1])) == 2
    assert len(collect([1, 1, 1, 1], interval_s=0.0)) == 4


@pytest.mark.parametrize(("count", "kept"), [(19, None), (20, 20), (5000, 5000), (5001, 2501)])
def test_few_frames_give_nothing_and_many_are_thinned_evenly(count, kept):
    frames = ReferenceFrames(0.5, 0.0)
    one = prediction(0)
    for number in range(count):
        frames.add(one, number)
    found = frames.reference()
    assert (None if found is None else len(found.values)) == kept


def test_a_score_without_a_threshold_takes_the_first_frame_s_highest_percent():
    found = collect(range(30), threshold=None).reference()
    sample = prediction(0).anomaly[::4, ::4]
    assert found.threshold == np.quantile(sample, 0.99)
    assert np.array_equal(found.values[7], summarise(prediction(7), found.threshold).values())


CONDITIONS = Conditions("ab", "", "jsd", 2.0, None, {}, {}, {})


def calibration(values=None):
    rng = np.random.default_rng(0)
    threshold = calibrate_threshold([FrameStatistic(score) for score in rng.random(59).tolist()])
    reference = None if values is None else DriftReference(values, 0.25)
    return Calibration(threshold, CONDITIONS, "59 pictures", drift_reference=reference)


def test_a_file_keeps_every_number_of_the_reference(tmp_path):
    values = np.random.default_rng(1).random((25, len(STATISTICS)))
    values[3] = np.nan
    path = tmp_path / "a.yaml"
    save_calibration(path, calibration(values))
    found = load_calibration(path).drift_reference
    assert np.array_equal(found.values, values, equal_nan=True)
    assert found.threshold == 0.25
    save_calibration(path, calibration())
    assert load_calibration(path).drift_reference is None


def test_the_largest_reference_is_not_too_large_to_be_read(tmp_path):
    values = np.random.default_rng(1).random((MOST_FRAMES, len(STATISTICS))) * 1e-3
    path = tmp_path / "a.yaml"
    save_calibration(path, calibration(values))
    assert path.stat().st_size < MOST_BYTES
    assert np.array_equal(load_calibration(path).drift_reference.values, values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "expected an object"),
        ("{", "drift_reference"),
        ("[" * 9999, "drift_reference"),
        ('{"format_version": 7}', "version 1, found 7"),
        (7, "a text at drift_reference"),
    ],
)
def test_a_spoilt_reference_is_refused_in_one_line(tmp_path, text, words):
    path = tmp_path / "a.yaml"
    save_calibration(path, calibration())
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(content | {"drift_reference": text}))
    with pytest.raises(CalibrationError, match=re.escape(words)) as refusal:
        load_calibration(path)
    assert "\n" not in str(refusal.value)


def test_calibrate_writes_what_the_detector_s_scores_were_like(tmp_path, capsys):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (32, 64, 3), dtype=np.uint8) for _ in range(20)]
    model = save_untrained(tmp_path / "tiny.safetensors", images[0])
    (tmp_path / "pictures").mkdir()
    for number, image in enumerate(images):
        save_picture(tmp_path / "pictures" / f"{number:02d}.png", image)
    command = ("calibrate", str(model), str(tmp_path / "pictures"), "--target", "0.25")
    options = ("--confidence", "0.8", "--device", "cpu", "--backend", "pytorch")
    assert cli.main([*command, *options]) == 0
    assert "is judged by 20 of the frames" in capsys.readouterr().out
    found = load_calibration(calibration_path(model))
    segmenter = OpenSetSegmenter.from_checkpoint(model, "cpu", backend="pytorch")
    assert found.drift_reference.threshold == segmenter.threshold
    expected = [summarise(segmenter.segment(image)).values() for image in images]
    assert np.array_equal(found.drift_reference.values, expected)
