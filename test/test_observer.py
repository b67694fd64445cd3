"""The observer: nothing of the detector's is lost, time may go back, whose threshold holds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from untrained import save_untrained

from open_set_seg.calibration import (
    Calibration,
    CalibrationError,
    Conditions,
    FrameStatistic,
    calibrate_threshold,
    calibration_path,
    save_calibration,
)
from open_set_seg.detector import DetectorConfig, ObstacleDetector
from open_set_seg.frame import Camera, DisparityMap, Frame, Obstacle
from open_set_seg.ground import GroundConfig
from open_set_seg.monitoring import STATISTICS, DriftConfig, DriftReference
from open_set_seg.observer import Observer, ObserverConfig
from open_set_seg.obstacles import ObstacleConfig
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.stereo import RangeConfig
from open_set_seg.tracking import TrackedObstacle, TrackingConfig

H, W = 64, 96
CAMERA = Camera(W, H, 100.0, 100.0, 47.5, 31.5)
CPU = {"device": "cpu", "backend": "pytorch"}
SECOND = 1_000_000_000


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (H, W, 3), dtype=np.uint8)


def frame(number, seed=None, **changes):
    made = Frame(
        image=picture(number if seed is None else seed),
        stamp_ns=10 * SECOND + number * SECOND // 10,
        frame_id="left",
        camera=CAMERA,
        range_input=DisparityMap(np.full((H, W), 2.5, np.float32), 100.0, 0.2),
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_untrained(tmp_path_factory.mktemp("model") / "small.safetensors", picture())


def calibrate(model, reference=True, **changes):
    """A calibration of the model whose threshold is no other's."""
    segmenter = OpenSetSegmenter.from_checkpoint(model, **CPU)
    scores = np.random.default_rng(1).permutation(np.linspace(0.1, 0.7, 59)).tolist()
    settings = (ObstacleConfig(), GroundConfig(), RangeConfig())
    conditions = Conditions.of(segmenter.metadata, segmenter.scoring, *settings)
    values = np.random.default_rng(0).random((40, len(STATISTICS)))
    made = Calibration(
        calibrate_threshold([FrameStatistic(score) for score in scores]),
        conditions,
        "59 pictures",
        drift_reference=DriftReference(values, 0.5) if reference else None,
    )
    return replace(made, **changes)


def measured(obstacle):
    """What an obstacle is apart from its identity."""
    return (
        obstacle.kind, obstacle.distance, obstacle.position, obstacle.box, obstacle.mean_score,
        obstacle.mask.tobytes(),
    )  # fmt: skip


def test_every_obstacle_of_the_detector_is_kept_in_its_order(model):
    alone = ObstacleDetector.from_checkpoint(model, **CPU)
    observer = Observer.from_checkpoint(model, **CPU)
    listed = 0
    for number in range(6):
        expected = alone.process(frame(number)).obstacles
        found = observer.observe(frame(number)).result.obstacles
        assert [measured(one) for one in found] == [measured(one) for one in expected]
        assert all(isinstance(one, TrackedObstacle) for one in found)
        listed += len(found)
    assert listed > 6


def test_without_tracking_obstacles_are_the_detector_s_own(model):
    observer = Observer.from_checkpoint(model, ObserverConfig(tracking=None), **CPU)
    for number in range(2):
        observation = observer.observe(frame(number, seed=3))
        assert {type(one) for one in observation.result.obstacles} == {Obstacle}
        assert [one.id for one in observation.result.obstacles] == list(
            range(len(observation.result.obstacles))
        )
        assert observation.missing == ()


def test_ids_stay_and_states_are_confirmed_while_the_scene_stands(model):
    observer = Observer.from_checkpoint(model, **CPU)
    first, second = (observer.observe(frame(n, seed=3)).result.obstacles for n in range(2))
    assert [one.id for one in first] == [one.id for one in second]
    assert {one.state for one in first} == {"tentative"}
    assert {one.state for one in second} == {"confirmed"}


@pytest.mark.parametrize("how", ["stamp goes back", "asked to"])
def test_a_jump_forgets_obstacles_camera_and_drift_but_gives_no_id_twice(model, how):
    observer = Observer(
        ObstacleDetector.from_checkpoint(model, **CPU),
        ObserverConfig(drift=DriftConfig(interval_s=0.0)),
        calibrate(model),
    )
    before = [observer.observe(frame(n, seed=3)) for n in range(8)]
    assert before[-1].camera_health.frozen.state == "warn", "the same picture for 0.7 s"
    assert before[-1].drift.frames == 8
    if how == "asked to":
        observer.reset()
        after = observer.observe(frame(8, seed=3))
    else:
        after = observer.observe(frame(2, seed=3))
    assert {one.state for one in after.result.obstacles} == {"tentative"}
    old = {one.id for each in before for one in each.result.obstacles}
    assert old.isdisjoint(one.id for one in after.result.obstacles)
    assert after.camera_health.frozen.value == 0.0
    assert after.drift.frames == 1


def test_the_same_stamp_twice_is_no_jump(model):
    observer = Observer.from_checkpoint(model, **CPU)
    first = observer.observe(frame(0, seed=3)).result.obstacles
    again = observer.observe(frame(0, seed=3)).result.obstacles
    assert [one.id for one in first] == [one.id for one in again]


def test_timings_name_what_watching_took(model):
    timings = Observer.from_checkpoint(model, **CPU).observe(frame(0)).result.timings
    parts = ("segmentation", "range", "ground", "obstacles", "tracking", "visibility", "monitoring")
    assert set(timings) == {*parts, "total"}
    assert timings["total"] >= sum(timings[part] for part in parts)


def test_a_threshold_given_comes_before_the_calibration_s_before_the_model_s(model, tmp_path):
    own = OpenSetSegmenter.from_checkpoint(model, **CPU).threshold
    made = calibrate(model)
    path = tmp_path / "site.yaml"
    save_calibration(path, made)
    cases = [
        (None, None, own, "model"),
        (None, path, made.threshold.value, "calibration"),
        (0.625, path, 0.625, "given"),
        (0.625, None, 0.625, "given"),
    ]
    for given, calibration, expected, source in cases:
        config = ObserverConfig(DetectorConfig(threshold=given))
        observer = Observer.from_checkpoint(model, config, calibration=calibration, **CPU)
        assert observer.observe(frame(0)).result.prediction.threshold == expected
        point = observer.operating_point
        assert point.source == source
        assert (point.promise == made.promise) == (source == "calibration")


def test_the_calibration_beside_the_model_is_found_and_only_when_it_is_wanted(model):
    beside = calibration_path(model)
    assert Observer.from_checkpoint(model, **CPU).calibration is None
    save_calibration(beside, calibrate(model))
    try:
        found = Observer.from_checkpoint(model, **CPU)
        assert found.operating_point.source == "calibration"
        assert found.observe(frame(0)).drift is not None
        without = Observer.from_checkpoint(model, calibration=None, **CPU)
        assert without.operating_point.source == "model"
        assert without.observe(frame(0)).drift is None
        beside.write_text("threshold: 0.5\n")
        with pytest.raises(CalibrationError, match=r"small\.safetensors\.calibration\.yaml"):
            Observer.from_checkpoint(model, **CPU)
    finally:
        beside.unlink()


def test_a_calibration_that_is_named_must_exist(model, tmp_path):
    with pytest.raises(CalibrationError, match=r"nowhere\.yaml"):
        Observer.from_checkpoint(model, calibration=tmp_path / "nowhere.yaml", **CPU)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights_sha256": "0" * 64}, "weights_sha256"),
        ({"score": "energy"}, "score 'energy', but in use is 'jsd'"),
    ],
)
def test_a_calibration_of_another_network_or_score_is_refused(model, change, words):
    made = calibrate(model)
    other = replace(made, conditions=replace(made.conditions, **change))
    for given in (None, 0.5):
        with pytest.raises(CalibrationError, match=words) as refusal:
            Observer(
                ObstacleDetector.from_checkpoint(model, **CPU),
                ObserverConfig(DetectorConfig(threshold=given)),
                other,
            )
        assert "turn the calibration off" in str(refusal.value)


def test_other_rules_for_obstacles_break_the_promise_unless_the_threshold_is_given(model):
    made = calibrate(model)
    observer = Observer(ObstacleDetector.from_checkpoint(model, **CPU), None, made)
    rules = DetectorConfig(obstacles=ObstacleConfig(min_area_px=1))
    with pytest.raises(CalibrationError, match=r"obstacles.min_area_px 12, but in use is 1"):
        observer.reconfigure(ObserverConfig(rules))
    assert observer.config == ObserverConfig(), "the old one is kept"
    assert observer.observe(frame(0)).result.prediction.threshold == made.threshold.value
    observer.reconfigure(ObserverConfig(replace(rules, threshold=0.5)))
    assert observer.observe(frame(0)).result.prediction.threshold == 0.5


def test_ids_go_on_through_another_configuration_and_tracking_off_and_on(model):
    observer = Observer.from_checkpoint(model, **CPU)
    first = {one.id for one in observer.observe(frame(0, seed=3)).result.obstacles}
    observer.reconfigure(ObserverConfig(tracking=TrackingConfig(confirm_hits=3)))
    second = observer.observe(frame(1, seed=3)).result.obstacles
    assert {one.id for one in second} == first
    assert {one.state for one in second} == {"tentative"}
    observer.reconfigure(ObserverConfig(tracking=None))
    observer.observe(frame(2, seed=3))
    observer.reconfigure(ObserverConfig())
    assert first.isdisjoint(one.id for one in observer.observe(frame(3, seed=3)).result.obstacles)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 300), (8, 8)])
def test_pictures_of_every_size_are_observed(model, size):
    observer = Observer.from_checkpoint(model, **CPU)
    for number in range(3):
        image = np.full((*size, 3), 90 + number, np.uint8)
        observation = observer.observe(frame(number, image=image, camera=None, range_input=None))
        assert math.isnan(observation.visibility.clear_until_m)
        assert observation.camera_health.blurred.state == "ok"
    assert observer.observe(frame(4)).result.examined
