"""The pipeline from frame to frame result, with a segmenter made of a table."""

import dataclasses
import math
import threading

import numpy as np
import pytest

from open_set_seg.detector import DetectorConfig, ObstacleDetector
from open_set_seg.frame import Camera, DepthMap, DisparityMap, Frame, Prediction
from open_set_seg.ground import GroundConfig
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.obstacles import ObstacleConfig
from open_set_seg.stereo import RangeConfig

H, W = 64, 96
FOCAL, BASELINE = 100.0, 0.2
CAMERA = Camera(W, H, FOCAL, FOCAL, 47.5, 31.5)
ROAD = STREETHAZARDS.id_of("road")
SKY = STREETHAZARDS.id_of("sky")
BOX = (slice(36, 48), slice(40, 56))


class TableSegmenter:
    """Road below, sky above, and an anomaly of 0.8 in a box; remembers what it was asked."""

    label_space = STREETHAZARDS

    def __init__(self, road=True):
        self.road = road
        self.thresholds = []

    def segment(self, rgb, threshold=None):
        self.thresholds.append(threshold)
        nearest = np.full(rgb.shape[:2], SKY, np.uint8)
        if self.road:
            nearest[32:] = ROAD
        anomaly = np.full(rgb.shape[:2], 0.2, np.float32)
        anomaly[BOX] = 0.8
        chosen = 0.5 if threshold is None else threshold
        labels = np.where(anomaly > chosen, STREETHAZARDS.unknown_id, nearest).astype(np.uint8)
        return Prediction(labels, anomaly, nearest, chosen)


def frame_with(**changes):
    disparity = np.full((H, W), 2.5, np.float32)
    frame = Frame(
        image=np.zeros((H, W, 3), np.uint8),
        stamp_ns=1_700_000_000_123_456_789,
        frame_id="left_camera_optical_frame",
        camera=CAMERA,
        range_input=DisparityMap(disparity, FOCAL, BASELINE),
    )
    return dataclasses.replace(frame, **changes)


def process(config=None, segmenter=None, **changes):
    detector = ObstacleDetector(segmenter or TableSegmenter(), config)
    return detector.process(frame_with(**changes))


def codes(result):
    return [problem.code for problem in result.problems]


def test_a_good_frame_gives_the_obstacle_with_its_distance_and_no_problem():
    result = process()
    (obstacle,) = result.obstacles
    assert obstacle.distance == pytest.approx(8.0)
    assert obstacle.box == (40, 36, 16, 12)
    assert result.examined
    assert result.problems == ()
    assert (result.stamp_ns, result.frame_id) == (
        1_700_000_000_123_456_789,
        "left_camera_optical_frame",
    )
    assert result.camera == CAMERA
    assert result.ground[40, 10]
    assert not result.ground[10, 10]


def test_the_stages_are_timed_and_add_up_to_at_most_the_total():
    timings = process().timings
    assert set(timings) == {"segmentation", "range", "ground", "obstacles", "total"}
    assert all(seconds >= 0 for seconds in timings.values())
    stages = sum(seconds for stage, seconds in timings.items() if stage != "total")
    assert stages <= timings["total"]


def test_the_same_frame_gives_the_same_result_again():
    detector = ObstacleDetector(TableSegmenter())
    first, second = detector.process(frame_with()), detector.process(frame_with())
    for one, other in zip(first.obstacles, second.obstacles, strict=True):
        for name in ("distance", "distance_sigma", "position", "width", "box", "mean_score"):
            assert getattr(one, name) == getattr(other, name)
    np.testing.assert_array_equal(first.range_map.depth, second.range_map.depth)


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"range_input": None}, "range.missing", "warning"),
        ({"camera": None}, "camera.missing", "warning"),
        ({"camera": dataclasses.replace(CAMERA, fx=0.0)}, "camera.uncalibrated", "error"),
        ({"camera": dataclasses.replace(CAMERA, fy=math.nan)}, "camera.uncalibrated", "error"),
        ({"camera": CAMERA.scaled(2 * W, 2 * H)}, "camera.size", "error"),
        ({"range_input": DepthMap(np.ones((H, W + 2), np.float32))}, "depth.size", "error"),
        (
            {"range_input": DisparityMap(np.full((H, W), np.nan, np.float32), FOCAL, BASELINE)},
            "disparity.empty",
            "error",
        ),
        ({"right_baseline": 0.002}, "disparity.baseline_mismatch", "error"),
    ],
)
def test_bad_inputs_leave_the_obstacle_with_unknown_distance_and_say_why(changes, code, severity):
    result = process(**changes)
    (obstacle,) = result.obstacles
    assert math.isnan(obstacle.distance)
    assert result.range_map is None
    assert result.examined
    (problem,) = result.problems
    assert (problem.code, problem.severity) == (code, severity)


def test_a_camera_that_is_refused_is_not_handed_on():
    assert process(camera=CAMERA.scaled(2 * W, 2 * H)).camera is None


def test_recovery_takes_one_good_frame():
    detector = ObstacleDetector(TableSegmenter())
    assert codes(detector.process(frame_with(range_input=None))) == ["range.missing"]
    assert detector.process(frame_with()).problems == ()


def test_without_a_road_the_frame_is_not_examined():
    result = process(segmenter=TableSegmenter(road=False))
    assert not result.examined
    assert result.ground is None
    assert result.obstacles == ()
    assert codes(result) == ["ground.none"]


def test_without_ground_focus_the_whole_image_is_searched():
    config = DetectorConfig(ground=GroundConfig(mode="off"))
    result = process(config, segmenter=TableSegmenter(road=False))
    assert result.examined
    assert len(result.obstacles) == 1
    assert result.problems == ()


def test_too_many_regions_are_reported():
    class Speckled(TableSegmenter):
        def segment(self, rgb, threshold=None):
            prediction = super().segment(rgb, threshold)
            prediction.anomaly[34::6, ::6] = 0.9
            return prediction

    obstacles = ObstacleConfig(min_area_px=1, min_area_m2=0.0, opening=False, max_obstacles=3)
    result = process(DetectorConfig(obstacles=obstacles), segmenter=Speckled())
    assert len(result.obstacles) == 3
    assert codes(result) == ["obstacles.too_many"]


def test_the_threshold_reaches_the_segmenter_and_reconfiguring_takes_effect_with_the_next_frame():
    segmenter = TableSegmenter()
    detector = ObstacleDetector(segmenter)
    detector.process(frame_with())
    detector.reconfigure(DetectorConfig(threshold=0.9))
    assert detector.process(frame_with()).obstacles == ()
    detector.reconfigure(DetectorConfig(range=RangeConfig(baseline_override=0.4)))
    (obstacle,) = detector.process(frame_with()).obstacles
    assert obstacle.distance == pytest.approx(16.0)
    assert segmenter.thresholds == [None, 0.9, None]


def test_reconfiguring_in_the_middle_of_a_frame_does_not_touch_that_frame():
    class Paused(TableSegmenter):
        def __init__(self):
            super().__init__()
            self.begun, self.go_on = threading.Event(), threading.Event()

        def segment(self, rgb, threshold=None):
            self.begun.set()
            assert self.go_on.wait(10)
            return super().segment(rgb, threshold)

    segmenter = Paused()
    detector = ObstacleDetector(segmenter)
    results = []
    thread = threading.Thread(target=lambda: results.append(detector.process(frame_with())))
    thread.start()
    assert segmenter.begun.wait(10)
    detector.reconfigure(DetectorConfig(range=RangeConfig(max_range=1.0)))
    segmenter.go_on.set()
    thread.join(10)
    (obstacle,) = results[0].obstacles
    assert obstacle.distance == pytest.approx(8.0)


def test_a_refused_configuration_leaves_the_old_one_in_place():
    detector = ObstacleDetector(TableSegmenter())
    before = detector.config
    with pytest.raises(ValueError, match="zebra"):
        detector.reconfigure(DetectorConfig(obstacles=ObstacleConfig(known_classes=("zebra",))))
    assert detector.config is before


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_a_threshold_outside_the_published_scale_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        DetectorConfig(threshold=threshold)
