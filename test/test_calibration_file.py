"""Calibrations on disk: bound to what they were made with, and read by a strict reader."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.calibration import (
    BandThreshold,
    Calibration,
    CalibrationError,
    Conditions,
    FrameStatistic,
    Threshold,
    calibrate_threshold,
    calibration_path,
    load_calibration,
    save_calibration,
    threshold_at_best_f1,
    threshold_at_rate,
)
from open_set_seg.checkpoint import CheckpointMetadata
from open_set_seg.ground import GroundConfig
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.metrics import ScoreCounts
from open_set_seg.metrics.thresholding import strictly_above
from open_set_seg.obstacles import ObstacleConfig
from open_set_seg.scores import LogisticMap
from open_set_seg.scoring import Scoring
from open_set_seg.stereo import RangeConfig

METADATA = CheckpointMetadata(
    "swiftnet_rn18",
    STREETHAZARDS,
    weights_sha256="ab" * 32,
    statistics_sha256="cd" * 32,
    score_maps={"energy": LogisticMap(-3.0, 2.0), "sml": LogisticMap(1.0, 0.5)},
)
JSD = Scoring.parse("jsd:temperature=2")


def conditions(metadata=METADATA, scoring=JSD, obstacles=None, ground=None, ranges=None):
    return Conditions.of(
        metadata,
        scoring,
        obstacles or ObstacleConfig(),
        ground or GroundConfig(),
        ranges or RangeConfig(),
    )


def calibration(**changes):
    rng = np.random.default_rng(0)
    frames = [FrameStatistic(score, bands=(0.5 * score, None)) for score in rng.random(59).tolist()]
    threshold = calibrate_threshold(frames, bands=[(5.0, 10.0), (10.0, 20.0)])
    made = Calibration(threshold, conditions(), "59 pictures", "swiftnet on cpu", 3, "2026-01-01")
    return replace(made, **changes)


def test_what_is_written_is_read(tmp_path):
    path = calibration_path(tmp_path / "demo.safetensors")
    assert path.name == "demo.safetensors.calibration.yaml"
    made = calibration()
    save_calibration(path, made)
    assert load_calibration(path) == made
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0, 1, exclude_max=True, width=32),
    st.sampled_from(["frame", "segment"]),
    st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1, width=32) | st.none()), max_size=3),
    st.floats(0.1, 1e6) | st.none(),
)
def test_every_threshold_survives_its_file(tmp_path_factory, value, unit, bands, number):
    path = tmp_path_factory.mktemp("made") / "a.yaml"
    found = tuple(BandThreshold(float(near), near + 1.5, 7, t) for near, t in bands)
    threshold = Threshold(
        value, "tolerance", 0.05, 0.95, unit, 93, 1, 500, 5, number, number, found
    )
    made = calibration(threshold=threshold, source='a: "b"\n# c', network="ü")
    save_calibration(path, made)
    assert load_calibration(path) == made


def test_the_promise_says_rate_confidence_unit_and_basis():
    rate = calibration().promise
    assert "95 % confidence" in rate
    assert "at most 5 % have a false obstacle" in rate
    assert "59 independent frames" in rate
    video = Threshold(0.5, "tolerance", 0.01, 0.95, "segment", 299, 0, 9000, 30, 3.0, 9.5)
    assert "299 independent segments of 3 s (30 frames)" in calibration(threshold=video).promise
    average = Threshold(0.5, "expected_rate", 0.05, None, "frame", 19, 0, 19)
    assert calibration(threshold=average).promise.startswith("On average over calibrations")
    found = Threshold(0.5, "true_positive_rate", 0.95, None, None, 700, 0, 9)
    assert calibration(threshold=found).promise.startswith("No promise about false alarms")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (conditions(replace(METADATA, weights_sha256="ef" * 32)), "weights_sha256 abababababab"),
        (conditions(scoring=Scoring.parse("entropy")), "score 'jsd', but in use is 'entropy'"),
        (conditions(scoring=Scoring.parse("jsd:temperature=1")), "temperature 2.0"),
        (conditions(obstacles=ObstacleConfig(min_area_m2=0.01)), "obstacles.min_area_m2 0.03"),
        (conditions(obstacles=ObstacleConfig(opening=False)), "obstacles.opening True"),
        (conditions(ground=GroundConfig(mode="off")), "ground.mode 'hull'"),
        (conditions(ranges=RangeConfig(max_range=50.0)), "range.max_range 80.0"),
    ],
)
def test_other_conditions_are_refused_by_name(found, message):
    with pytest.raises(CalibrationError, match=re.escape(message)):
        calibration().require(found)


def test_a_setting_that_a_file_lacks_is_one_that_differs(tmp_path):
    path = tmp_path / "a.yaml"
    save_calibration(path, calibration())
    spoil((path, "conditions", "range", "focal_override"), None)
    with pytest.raises(CalibrationError, match=r"range\.focal_override nothing"):
        load_calibration(path).require(conditions())


def test_what_does_not_change_alarms_is_not_part_of_the_conditions():
    calibration().require(
        conditions(
            replace(METADATA, statistics_sha256="", threshold=0.1),  # jsd reads no statistics
            obstacles=ObstacleConfig(known_classes=("car",), max_obstacles=3, min_valid_px=9),
        )
    )


def test_maps_and_statistics_belong_to_scores_that_use_them():
    energy = conditions(scoring=Scoring.parse("energy"))
    other = replace(METADATA, score_maps={"energy": LogisticMap(-3.0, 2.5)})
    with pytest.raises(CalibrationError, match=r"score_map\.scale 2\.0, but in use is 2\.5"):
        energy.require(conditions(other, Scoring.parse("energy")))
    refitted = replace(METADATA, statistics_sha256="00" * 32)
    with pytest.raises(CalibrationError, match="statistics_sha256"):
        conditions(scoring=Scoring.parse("sml")).require(conditions(refitted, Scoring.parse("sml")))


def spoil(place, value):
    whole = yaml.safe_load(Path(place[0]).read_text())
    part = whole
    for key in place[1:-1]:
        part = part[key]
    if value is None:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    Path(place[0]).write_text(yaml.safe_dump(whole))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("format_version",), 1, "format version 2"),
        (("source",), None, "expected the key source"),
        (("extra",), 1, "unknown key extra"),
        (("threshold", "value"), "0.5", "a finite number at threshold.value"),
        (("threshold", "value"), 0.1, "that is a float32"),
        (("threshold", "value"), 1.0, "in [0, 1)"),
        (("threshold", "value"), float("nan"), "a finite number"),
        (("threshold", "samples"), 58, "do not carry the promise"),
        (("threshold", "alarms"), 1, "do not carry the promise"),
        (("threshold", "target"), 0.01, "do not carry the promise"),
        (("threshold", "rule"), "guess", "one of tolerance"),
        (("threshold", "unit"), "year", "one of frame, segment"),
        (("threshold", "samples"), True, "a whole number"),
        (("threshold", "bands"), [{"near": 9.0}], "expected the key threshold.bands.far"),
        (("conditions", "score"), 7, "a text at conditions.score"),
        (("conditions", "obstacles"), [1], "names with plain values"),
        (("conditions", "obstacles", "min_area_px"), [12], "names with plain values"),
        (("conditions",), "none", "expected keys and values"),
    ],
)
def test_a_spoilt_file_is_refused_in_one_line(tmp_path, place, value, message):
    path = tmp_path / "a.yaml"
    save_calibration(path, calibration())
    spoil((path, *place), value)
    with pytest.raises(CalibrationError) as refusal:
        load_calibration(path)
    assert message in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "a.yaml"
    save_calibration(path, calibration())
    path.write_text(path.read_text().replace("  alarms: 0", "  alarms: 0\n  value: 0.5"))
    with pytest.raises(CalibrationError, match="'value' is there twice"):
        load_calibration(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_noise_in_a_file_is_refused_or_reads_as_what_it_says(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("noise") / "a.yaml"
    save_calibration(path, calibration())
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path.write_bytes(whole)
    refusal, found = "", None
    try:
        found = load_calibration(path)
    except CalibrationError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert bool(refusal) == (found is None)
    assert found is None or (0 <= found.threshold.value < 1 and found.promise)


@pytest.mark.parametrize(
    "text",
    ["", "[" * 5000, "a: &x [*x]", "&a [*a, *a]", "? [1]\n: 2", "x: 1e999999\n", "\0"],
    ids=["empty", "deep", "cycle", "aliases", "odd key", "huge", "zero"],
)
def test_what_is_no_calibration_is_refused(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(CalibrationError):
        load_calibration(path)
    with pytest.raises(CalibrationError, match="expected a calibration at"):
        load_calibration(tmp_path / "none.yaml")


def labelled(seed, ties):
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array([0, 1, 255], np.uint8), 400, p=[0.7, 0.2, 0.1])
    scores = rng.beta(2, 5, 400) + 0.2 * (labels == 1)
    if ties:
        scores = np.round(scores * 8) / 8
    scores = np.clip(scores, 0.01, 1).astype(np.float32)
    counts = ScoreCounts()
    counts.add(scores, labels)
    return counts, scores, labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rate", [0.5, 0.95, 1.0])
def test_from_labels_the_threshold_is_the_highest_that_finds_the_share(seed, rate):
    counts, scores, labels = labelled(seed, ties=seed % 2)
    value = threshold_at_rate(counts, rate).value
    unknown = scores[labels == 1]
    assert np.mean(strictly_above(unknown, value)) >= rate
    higher = np.unique(scores[scores > value])
    assert all(np.mean(strictly_above(unknown, float(t))) < rate for t in higher)


@pytest.mark.parametrize("seed", range(4))
def test_from_labels_no_threshold_has_a_better_f1(seed):
    counts, scores, labels = labelled(seed, ties=seed % 2)

    def f1(threshold):
        above = strictly_above(scores, threshold) & (labels != 255)
        true = np.sum(above & (labels == 1))
        return 2 * true / (np.sum(labels == 1) + np.sum(above))

    best = threshold_at_best_f1(counts)
    assert f1(best.value) == max(f1(float(t)) for t in [0.0, *np.unique(scores)])
    assert (best.rule, best.samples) == ("best_f1", np.sum(labels == 1))


def test_labels_without_anything_unknown_give_no_threshold():
    counts = ScoreCounts()
    counts.add(np.ones(3, np.float32), np.zeros(3, np.uint8))
    with pytest.raises(CalibrationError):
        threshold_at_rate(counts, 0.95)
    with pytest.raises(CalibrationError):
        threshold_at_best_f1(counts)
    counts.add(np.zeros(3, np.float32), np.ones(3, np.uint8))
    with pytest.raises(CalibrationError, match="score 0"):
        threshold_at_rate(counts, 0.95)
