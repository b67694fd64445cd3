"""What the node says beside its obstacles: ids, what an empty list is worth, camera, drift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_harness import FakeDetector, Running, make_stamp, wait_until
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from untrained import save_untrained
from vision_stand_ins import VISION
from visualization_msgs.msg import MarkerArray

from open_set_seg.calibration import (
    Calibration,
    CalibrationError,
    Conditions,
    FrameStatistic,
    calibrate_threshold,
    calibration_path,
    save_calibration,
)
from open_set_seg.frame import Frame
from open_set_seg.ground import GroundConfig
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.messages import decode_points
from open_set_seg.monitoring import (
    STATISTICS,
    DriftConfig,
    DriftReference,
    HealthReading,
)
from open_set_seg.observer import Observer, ObserverConfig
from open_set_seg.obstacles import ObstacleConfig
from open_set_seg.ros.loading import build_observer, load_detector
from open_set_seg.ros.outputs import Outputs, Publication
from open_set_seg.ros.settings import build_settings
from open_set_seg.ros.watching import (
    build_frame_statuses,
    build_threshold_status,
    describe_watching,
)
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.stereo import RangeConfig

SECOND = 10**9
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
STALE = DiagnosticStatus.STALE
FRAME = Frame(np.zeros((16, 32, 3), np.uint8), stamp_ns=5)


def values_of(status):
    return {pair.key: pair.value for pair in status.values}


def newest(messages, kind):
    """The newest status of a kind."""
    for message in reversed(messages):
        for status in message.status:
            if status.name.endswith(f": {kind}"):
                return status
    return None


def stamps(messages):
    return [(m.header.stamp.sec, m.header.stamp.nanosec) for m in messages]


class StandIn:
    """A node whose publishers write into one list, in the order of sending."""

    def __init__(self, refuse=None):
        self.sent, self._refuse = [], refuse

    def create_publisher(self, kind, topic, qos, **_):
        node = self

        class Publisher:
            def publish(self, message):
                if topic == node._refuse:
                    raise RuntimeError("no publisher")
                node.sent.append((topic, message))

            def get_subscription_count(self):
                return 0 if topic == "~/visibility" else 1

        return Publisher()

    def get_fully_qualified_name(self):
        return "/detector"


def publish(node, observation, **settings):
    outputs = Outputs(node, VISION)
    outputs.open()
    header = Header(stamp=make_stamp(5), frame_id="left")
    made = build_settings(settings)
    outputs.publish(Publication(header, FRAME, observation, None, STREETHAZARDS, made))


LISTS = ("~/obstacles", "~/obstacles/list", "~/obstacles/markers", "~/obstacles/points")


@pytest.mark.parametrize("obstacles", [True, False])
@pytest.mark.parametrize("examined", [True, False])
def test_what_a_list_is_worth_goes_out_before_it_even_if_nobody_listens(examined, obstacles):
    fake = FakeDetector()
    fake.examined, fake.obstacles = examined, obstacles
    node = StandIn()
    publish(node, Observer(fake).observe(FRAME))
    topics = [topic for topic, _ in node.sent]
    assert topics[0] == "~/visibility"
    assert topics.count("~/visibility") == 1
    assert ("~/obstacles/list" in topics) == examined
    message = node.sent[0][1]
    assert message.header.stamp == make_stamp(5)
    assert message.header.frame_id == "left"
    kinds = [status.name for status in message.status]
    assert kinds == [f"/detector: {kind}" for kind in ("visibility", "camera", "drift")]
    assert values_of(message.status[0])["examined"] == str(examined).lower()


def test_a_list_whose_evidence_cannot_be_sent_is_not_sent():
    fake = FakeDetector()
    fake.obstacles = False
    node = StandIn(refuse="~/visibility")
    with pytest.raises(RuntimeError):
        publish(node, Observer(fake).observe(FRAME))
    assert not [topic for topic, _ in node.sent if topic in LISTS]


def test_over_dds_every_list_has_its_evidence(run_node):
    running = run_node()
    evidence = running.camera.listen(DiagnosticArray, "detector/visibility", depth=50)
    listed = running.camera.listen(PointCloud2, "detector/obstacles/list", depth=50)
    running.connect()
    for number in range(8):
        running.fake.obstacles, running.fake.examined = number % 2 == 0, number % 3 != 2
        running.send((number + 1) * SECOND)
        running.processed(number + 1)
    wait_until(lambda: len(evidence) == 8 and len(listed) == 6, "all frames")
    assert set(stamps(listed)) < set(stamps(evidence))
    by_stamp = {message.header.stamp.sec: message for message in evidence}
    for message in listed:
        seen = values_of(by_stamp[message.header.stamp.sec].status[0])
        assert seen["examined"] == "true"
        assert seen["obstacles"] == str(message.width)


def points_of(messages):
    return [(int(p["id"]), int(p["state"])) for m in messages for p in decode_points(m)]


def test_obstacles_keep_their_id_and_are_confirmed_until_time_goes_back(run_node):
    running = run_node()
    listed = running.camera.listen(PointCloud2, "detector/obstacles/list", depth=50)
    running.connect()
    for number, stamp in enumerate([10, 11, 12, 3, 4]):
        running.send(stamp * SECOND)
        wait_until(lambda n=number: len(listed) > n, "the list")
    (a, b, c, d, e) = points_of(listed)
    assert [state for _, state in (a, b, c, d, e)] == [1, 2, 2, 1, 2]
    assert a[0] == b[0] == c[0] != d[0] == e[0]


def test_a_looped_clock_forgets_and_goes_on(run_node):
    running = run_node({"use_sim_time": True})
    listed = running.camera.listen(PointCloud2, "detector/obstacles/list", depth=50)
    clock = running.camera.node.create_publisher(Clock, "/clock", 5)
    wait_until(lambda: clock.get_subscription_count() > 0, "a clock's reader")
    running.connect()
    now = running.node.get_clock().now
    for _ in range(3):
        for stamp in (10, 11):
            clock.publish(Clock(clock=make_stamp(stamp * SECOND)))
            wait_until(lambda s=stamp: now().nanoseconds == s * SECOND, "the clock")
            before = len(listed)
            running.send(stamp * SECOND)
            wait_until(lambda b=before: len(listed) > b, "a list after the jump")
    assert [state for _, state in points_of(listed)] == [1, 2] * 3
    assert len({number for number, _ in points_of(listed)}) == 3


def test_what_was_seen_before_a_pause_is_forgotten(run_node):
    running = run_node()
    listed = running.camera.listen(PointCloud2, "detector/obstacles/list", depth=50)
    running.connect()
    running.send(10 * SECOND)
    wait_until(lambda: listed, "the list")
    running.detector.deactivate()
    running.detector.activate()
    running.connect()
    running.send(11 * SECOND)
    wait_until(lambda: len(listed) > 1, "the list")
    (a, b) = points_of(listed)
    assert (a[1], b[1]) == (1, 1)
    assert a[0] != b[0]


def set_parameters(running, **values):
    named = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
    return running.node.set_parameters_atomically(named)


def test_tracking_and_marking_are_tuned_while_it_runs(run_node):
    running = run_node({"marked_states": "confirmed"})
    listed = running.camera.listen(PointCloud2, "detector/obstacles/list", depth=50)
    marked = running.camera.listen(PointCloud2, "detector/obstacles/points", depth=50)
    running.connect()

    def send(stamp):
        before = len(listed)
        running.send(stamp * SECOND)
        wait_until(lambda: len(listed) == len(marked) == before + 1, "a frame")
        return points_of(listed[-1:])[0][1], marked[-1].width

    assert send(1) == (1, 0), "a tentative obstacle is listed and not marked"
    assert send(2) == (2, 6)
    assert set_parameters(running, tracking__enabled=False).successful
    assert send(3) == (0, 6), "without states everything is marked"
    assert set_parameters(running, tracking__enabled=True, marked_states="all").successful
    assert send(4) == (1, 6)
    refused = set_parameters(running, tracking__confirm_hits=9)
    assert not refused.successful
    assert "confirm_hits must be 1 to confirm_window" in refused.reason
    together = set_parameters(running, tracking__confirm_hits=4, tracking__confirm_window=5)
    assert together.successful
    assert [send(stamp)[0] for stamp in (5, 6, 7)] == [1, 1, 2]


def test_a_frozen_camera_is_said_and_logged(run_node):
    running = run_node()
    evidence = running.camera.listen(DiagnosticArray, "detector/visibility", depth=50)
    reports = running.camera.listen(DiagnosticArray, "/diagnostics", depth=50)
    running.connect()
    for number in range(4):
        running.send(SECOND + number * SECOND)
        running.processed(number + 1)
    wait_until(lambda: len(evidence) == 4, "all frames")
    camera = [newest([message], "camera") for message in evidence]
    assert [status.level for status in camera] == [OK, WARN, ERROR, ERROR]
    assert "frozen" in camera[-1].message
    assert values_of(camera[-1])["frozen_s"] == "3"
    running.problem("camera.frozen")
    wait_until(lambda: getattr(newest(reports, "camera"), "level", OK) == ERROR, "diagnostics")


def test_what_was_said_of_the_last_frame_is_not_said_of_silence(run_node):
    running = run_node({"input_timeout_s": 0.5})
    reports = running.camera.listen(DiagnosticArray, "/diagnostics", depth=50)
    kinds = ("visibility", "camera", "drift")
    wait_until(lambda: newest(reports, "camera"), "a report")
    assert {newest(reports, kind).message for kind in kinds} == {"no frame yet"}
    running.connect()
    running.send(SECOND)
    running.processed(1)
    wait_until(lambda: "no frame for" in newest(reports, "camera").message, "silence")
    assert {newest(reports, kind).level for kind in kinds} == {STALE}
    assert newest(reports, "threshold").level == OK


def statuses(observation):
    kinds = ("visibility", "camera", "drift")
    return dict(zip(kinds, build_frame_statuses("/detector", observation), strict=True))


def test_a_frame_that_was_not_searched_is_no_evidence():
    fake = FakeDetector()
    fake.examined = False
    status = statuses(Observer(fake).observe(FRAME))["visibility"]
    assert status.level == WARN
    assert "not searched" in status.message


def test_the_worth_of_a_list_is_given_in_numbers():
    observation = Observer(FakeDetector()).observe(FRAME)
    blind = statuses(observation)["visibility"]
    assert blind.level == WARN
    assert "proves nothing" in blind.message
    assert values_of(blind)["clear_until_m"] == "nan"
    bands = [
        replace(band, seen_share=0.9, range_share=0.75) for band in observation.visibility.bands
    ]
    seen = replace(
        observation.visibility,
        bands=tuple(bands),
        blind_bands=tuple(bands[2:]),
        detectable_distance_m={0.1: 0.0, 0.2: 8.25, 0.3: 14.5},
        plane=object(),
        plane_source="ranges",
    )
    status = statuses(replace(observation, visibility=seen))["visibility"]
    values = values_of(status)
    assert status.level == OK
    assert (values["clear_until_m"], values["blind_from_m"]) == ("15", "15")
    found = [values[f"detectable_m.{size}"] for size in (0.1, 0.2, 0.3)]
    assert found == ["0", "8.25", "14.5"]
    assert values["band_5_10_m.seen_share"] == "0.9"
    assert values["band_5_10_m.range_share"] == "0.75"
    assert "20 cm up to 8 m, 30 cm up to 14 m" in status.message
    assert "10 cm" not in status.message


def test_drift_is_a_warning_in_words_and_takes_the_promise_with_it():
    rng = np.random.default_rng(0)
    usual = rng.normal(0.1, 0.01, (60, len(STATISTICS)))
    observer = Observer(FakeDetector(), ObserverConfig(drift=DriftConfig(interval_s=0.0)))
    from open_set_seg.monitoring import DriftMonitor

    observer._drift = DriftMonitor(DriftReference(usual, 0.5), observer.config.drift)
    reports = [observer.observe(replace(FRAME, stamp_ns=n)) for n in range(60)]
    calm, drifted = reports[0], reports[-1]
    assert calm.drift.state == "ok"
    assert statuses(calm)["drift"].level == OK
    assert drifted.drift.state == "alarm"
    assert statuses(drifted)["drift"].level == WARN
    assert "outside the domain it was calibrated in" in statuses(drifted)["drift"].message
    assert [p.code for p in describe_watching(drifted) if p.code == "drift.outside"]
    made = calibration(CONDITIONS)
    point = Observer(FakeDetector()).operating_point
    point = type(point).choose(None, made)
    for report, level in ((calm, OK), (drifted, WARN)):
        status = build_threshold_status("/detector", point, 0.5, report.drift)
        assert (status.level, made.promise in status.message) == (level, True)
    assert "does not reach" in status.message


def test_camera_faults_name_their_number():
    observation = Observer(FakeDetector()).observe(FRAME)
    health = replace(observation.camera_health, blurred=HealthReading("alarm", 0.125))
    (problem,) = [
        one
        for one in describe_watching(replace(observation, camera_health=health))
        if one.code == "camera.blurred"
    ]
    assert problem.severity == "error"
    assert "0.125" in problem.message


CONDITIONS = Conditions("ab", "", "jsd", 2.0, None, {}, {}, {})


def calibration(conditions):
    scores = np.random.default_rng(1).permutation(np.linspace(0.1, 0.7, 59)).tolist()
    threshold = calibrate_threshold([FrameStatistic(score) for score in scores])
    values = np.random.default_rng(0).random((40, len(STATISTICS)))
    reference = DriftReference(values, 0.5)
    return Calibration(threshold, conditions, "59 pictures", drift_reference=reference)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    image = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    path = save_untrained(tmp_path_factory.mktemp("model") / "small.safetensors", image)
    segmenter = OpenSetSegmenter.from_checkpoint(path, "cpu", backend="pytorch")
    conditions = Conditions.of(
        segmenter.metadata, segmenter.scoring, ObstacleConfig(), GroundConfig(), RangeConfig()
    )
    save_calibration(calibration_path(path), calibration(conditions))
    return path


def load(model, **changes):
    named = {name.replace("__", "."): value for name, value in changes.items()}
    base = {"model": str(model), "device": "cpu", "backend": "pytorch", "expected_size": "32x16"}
    settings = build_settings({**base, **named})
    loaded = load_detector(settings)
    return loaded, build_observer(loaded, settings)


def test_the_calibration_beside_the_model_gives_threshold_and_drift(model):
    loaded, observer = load(model)
    assert observer.operating_point.source == "calibration"
    assert loaded.detector.config.threshold == loaded.calibration.threshold.value
    assert observer.observe(FRAME).drift is not None
    _, given = load(model, threshold=0.25)
    assert (given.operating_point.source, given.operating_point.threshold) == ("given", 0.25)
    assert given.observe(FRAME).drift is not None
    loaded, without = load(model, calibration="off")
    assert without.operating_point.source == "model"
    assert without.observe(FRAME).result.prediction.threshold == loaded.threshold
    _, named = load(model, calibration=str(calibration_path(model)))
    assert named.operating_point.source == "calibration"


def test_a_calibration_that_is_missing_or_does_not_belong_stops_the_start(model, tmp_path):
    with pytest.raises(CalibrationError, match=r"nowhere\.yaml"):
        load(model, calibration=str(tmp_path / "nowhere.yaml"))
    with pytest.raises(CalibrationError, match=r"min_area_px 12, but in use is 30"):
        load(model, obstacles__min_area_px=30)
    load(model, obstacles__min_area_px=30, threshold=0.5)


def test_another_score_may_take_its_threshold_from_a_calibration_that_is_named(model, tmp_path):
    segmenter = OpenSetSegmenter.from_checkpoint(model, "cpu", backend="pytorch", score="msp")
    conditions = Conditions.of(
        segmenter.metadata, segmenter.scoring, ObstacleConfig(), GroundConfig(), RangeConfig()
    )
    path = tmp_path / "msp.yaml"
    save_calibration(path, calibration(conditions))
    loaded, observer = load(model, score="msp", calibration=str(path))
    assert observer.observe(FRAME).result.prediction.threshold == loaded.threshold
    assert loaded.threshold == loaded.calibration.threshold.value


class Calibrated(Running):
    """A node with a real network and its calibration."""

    model = None

    def _load(self, settings):
        changed = replace(settings, model=str(self.model), device="cpu", backend="pytorch")
        return load_detector(replace(changed, expected_size=(32, 16)))


def test_tuning_that_breaks_the_promise_is_refused_and_a_threshold_of_ones_own_is_not(model):
    running = Calibrated()
    running.model = model
    try:
        running.start()
        reports = running.camera.listen(DiagnosticArray, "/diagnostics", depth=50)
        wait_until(lambda: newest(reports, "threshold"), "a report")
        status = newest(reports, "threshold")
        assert values_of(status)["source"] == "calibration"
        assert "With 95 % confidence, at most 5 % have a false obstacle" in status.message
        refused = set_parameters(running, obstacles__min_area_px=30)
        assert not refused.successful
        assert "its promise does not hold here" in refused.reason
        assert set_parameters(running, obstacles__min_area_px=30, threshold=0.5).successful
        running.connect()
        running.send(SECOND)
        running.processed(1)
        wait_until(
            lambda: values_of(newest(reports, "threshold"))["source"] == "given", "the new one"
        )
        assert not set_parameters(running, threshold=-1.0).successful
    finally:
        running.stop()


def test_tentative_obstacles_look_different_and_carry_their_number(run_node):
    running = run_node()
    shown = running.camera.listen(MarkerArray, "detector/obstacles/markers", depth=50)
    running.connect()
    for stamp in (1, 2):
        running.send(stamp * SECOND)
        wait_until(lambda n=stamp: len(shown) >= n, "markers")
    (_, box, text), (_, later, _) = (message.markers for message in shown)
    assert box.id == later.id
    assert box.color != later.color
    assert text.text.startswith(f"#{box.id} ")
