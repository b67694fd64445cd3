"""The managed node over real DDS, where another participant asks for transitions."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
import time

import pytest
from detector_processes import assert_clean_end
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState
from node_harness import (
    Camera,
    FakeDetector,
    make_camera_info,
    make_disparity,
    make_image,
    make_stamp,
    wait_until,
)
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, PointCloud2

from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.ros.lifecycle import ManagedDetector
from open_set_seg.ros.loading import LoadedDetector

SECOND = 10**9
STATES = {
    1: "unconfigured", 2: "inactive", 3: "active", 4: "finalized", 10: "configuring",
    11: "cleaning up", 12: "shutting down", 13: "activating", 14: "deactivating", 15: "error",
}  # fmt: skip
CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
SHUTDOWN = {
    "unconfigured": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    "inactive": Transition.TRANSITION_INACTIVE_SHUTDOWN,
    "active": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}
PATHS = {
    "unconfigured": [],
    "inactive": [CONFIGURE],
    "active": [CONFIGURE, ACTIVATE],
    "finalized": [CONFIGURE, SHUTDOWN["inactive"]],
}
PATIENCE_S = 40.0  # a process that starts on a busy machine
_numbers = itertools.count()


class Manager:
    """A participant of its own that manages the detector by its services."""

    def __init__(self, detector: str) -> None:
        self.context = Context()
        self.context.init()
        self.node = Node("manager", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.camera = None
        self._detector, self._clients = detector, {}
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def ask(self, kind, name: str, request):
        """The future answer of one service of the detector."""
        topic = f"{self._detector}/{name}"
        client = self._clients.get(topic) or self.node.create_client(kind, topic)
        self._clients[topic] = client
        wait_until(client.service_is_ready, topic, PATIENCE_S)
        return client.call_async(request)

    def call(self, kind, name: str, request):
        future = self.ask(kind, name, request)
        wait_until(future.done, f"an answer of {name}", PATIENCE_S)
        return future.result()

    def begin(self, transition: int):
        return self.ask(
            ChangeState, "change_state", ChangeState.Request(transition=Transition(id=transition))
        )

    def change(self, *transitions: int) -> list[bool]:
        futures = []
        for transition in transitions:
            futures.append(self.begin(transition))
            wait_until(futures[-1].done, f"transition {transition}", PATIENCE_S)
        return [future.result().success for future in futures]

    def state(self) -> str:
        return STATES[self.call(GetState, "get_state", GetState.Request()).current_state.id]

    def set(self, name: str, value):
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        return self.call(SetParameters, "set_parameters", request).results[0]

    def get(self, name: str):
        request = GetParameters.Request(names=[name])
        return self.call(GetParameters, "get_parameters", request).values[0]

    def close(self) -> None:
        self.executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self.context.try_shutdown()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self.executor.spin()


class Managed:
    """A managed detector that spins as in its process; loading can be held up or made to fail."""

    def __init__(self, **parameters) -> None:
        self.context = Context()
        self.context.init()
        self.models: list[str] = []
        self.fakes: list[FakeDetector] = []
        self.loading, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        self.namespace = f"/managed_{next(_numbers)}"
        self.node = ManagedDetector(
            self._load, context=self.context, namespace=self.namespace,
            parameter_overrides=[Parameter(k, value=v) for k, v in parameters.items()],
        )  # fmt: skip
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._spin, daemon=True)
        self.thread.start()
        self.node.start()

    def close(self) -> None:
        self.gate.set()
        for fake in self.fakes:
            fake.gate.set()
        self.executor.shutdown()
        self.thread.join()
        self.node.close()
        self.node.destroy_node()
        self.context.try_shutdown()
        assert self.error is None

    def _load(self, settings) -> LoadedDetector:
        self.loading.set()
        self.gate.wait(20.0)
        if settings.model == "absent":
            raise ValueError("there is no model file 'absent'")
        self.models.append(settings.model)
        self.fakes.append(FakeDetector())
        return LoadedDetector(
            self.fakes[-1], STREETHAZARDS, lambda: "a fake", "fake", "0", 0.5, "jsd"
        )

    def _spin(self) -> None:
        try:
            self.executor.spin()
        except ExternalShutdownException:
            pass
        except BaseException as error:
            self.error = error


@pytest.fixture
def start():
    """Starts a managed detector and its manager."""
    started = []

    def begin(**parameters) -> tuple[Managed, Manager]:
        managed = Managed(**parameters)
        started.append(managed)
        manager = Manager(f"{managed.namespace}/detector")
        started.append(manager)
        return managed, manager

    yield begin
    for each in reversed(started):
        each.close()
    left = [t.name for t in threading.enumerate() if t.name.startswith(("inference", "transit"))]
    assert not left, "threads that nobody ended"


def attach_camera(managed: Managed, manager: Manager) -> Camera:
    return Camera(Node("camera", context=manager.context, namespace=managed.namespace))


def send_until(camera: Camera, condition, what: str) -> None:
    """Frames, each with a newer stamp, until something has come of them."""
    stamps = itertools.count(int(time.monotonic() * 1e9), SECOND // 20)

    def attempt() -> bool:
        stamp = next(stamps)
        camera.info.publish(make_camera_info(stamp))
        camera.disparity.publish(make_disparity(stamp))
        camera.image.publish(make_image(stamp))
        time.sleep(0.02)
        return condition()

    wait_until(attempt, what)


def test_by_default_the_node_configures_and_activates_itself(start):
    managed, manager = start()
    wait_until(lambda: manager.state() == "active", "the active state")
    camera = attach_camera(managed, manager)
    send_until(camera, lambda: managed.fakes[0].frames, "a frame")
    camera.node.destroy_node()


def test_without_autostart_every_step_waits_for_the_manager(start):
    managed, manager = start(autostart=False)
    camera = attach_camera(managed, manager)
    time.sleep(0.2)
    assert manager.state() == "unconfigured"
    assert not managed.models
    assert manager.change(CONFIGURE) == [True]
    assert manager.state() == "inactive"
    heard: list = []
    camera.node.create_subscription(
        PointCloud2, f"{managed.namespace}/detector/obstacles/list", heard.append, 10
    )
    manager.executor.add_node(camera.node)
    assert camera.image.get_subscription_count() == 0, "an inactive node hears nothing"
    for lap in (1, 2):
        assert manager.change(ACTIVATE) == [True]
        heard.clear()
        send_until(camera, lambda: heard, "an obstacle list")
        assert manager.change(DEACTIVATE) == [True]
        time.sleep(0.1)  # what was sent before may still arrive
        heard.clear()
        camera.send(lap * SECOND)
        time.sleep(0.2)
        assert not heard, "an inactive node says nothing"
    assert manager.change(CLEANUP) == [True]
    assert manager.state() == "unconfigured"
    topics = [name for name, _ in managed.node.get_publisher_names_and_types_by_node(
        "detector", managed.namespace)]  # fmt: skip
    assert not [name for name in topics if "/detector/obstacles" in name]
    camera.node.destroy_node()


def test_services_answer_while_the_network_is_loaded(start):
    managed, manager = start(autostart=False)
    managed.gate.clear()
    answer = manager.begin(CONFIGURE)
    wait_until(managed.loading.is_set, "the loading")
    assert manager.state() == "configuring"
    assert manager.get("jpeg_quality").integer_value == 80
    assert manager.set("threshold", 0.25).successful, "taken over by the first frame"
    assert manager.set("obstacles.min_area_px", 33).successful
    assert "unconfigured" in manager.set("model", "other").reason
    impatient = manager.begin(CONFIGURE)
    time.sleep(0.1)
    assert not answer.done()
    managed.gate.set()
    wait_until(lambda: answer.done() and impatient.done(), "answers")
    assert answer.result().success
    assert not impatient.result().success, "it was configured by then"
    assert manager.change(ACTIVATE) == [True]
    camera = attach_camera(managed, manager)
    configs = managed.fakes[0].configs
    send_until(camera, lambda: configs and configs[-1].threshold == 0.25, "what was set meanwhile")
    assert configs[-1].obstacles.min_area_px == 33
    camera.node.destroy_node()


def test_a_failed_configuration_is_logged_and_can_be_tried_again(start, capfd):
    managed, manager = start(autostart=False, model="absent")
    assert manager.change(CONFIGURE) == [False]
    assert manager.state() == "unconfigured"
    text = ""

    def logged() -> bool:
        nonlocal text
        text += capfd.readouterr().err
        return "there is no model file 'absent'" in text

    wait_until(logged, "the reason in the log")
    assert managed.node.failure is None, "the process goes on"
    assert manager.set("model", "present").successful
    assert manager.change(CONFIGURE, ACTIVATE) == [True, True]
    assert managed.models == ["present"]


def test_classes_that_the_network_does_not_know_fail_however_they_were_set(start):
    managed, manager = start(autostart=False)
    managed.gate.clear()
    answer = manager.begin(CONFIGURE)
    wait_until(managed.loading.is_set, "the loading")
    assert manager.set("obstacles.known_classes", ["tank"]).successful, "nobody knows yet"
    managed.gate.set()
    wait_until(answer.done, "the answer")
    assert not answer.result().success
    assert manager.set("obstacles.known_classes", ["car"]).successful
    assert manager.change(CONFIGURE) == [True]
    assert "tank" in manager.set("obstacles.known_classes", ["tank"]).reason


def test_model_and_inputs_can_be_replaced_by_cleaning_up(start):
    managed, manager = start(model="first")
    wait_until(lambda: manager.state() == "active", "the active state")
    assert "unconfigured" in manager.set("range_source", "none").reason
    assert manager.change(DEACTIVATE) == [True]
    assert "unconfigured" in manager.set("model", "second").reason
    assert manager.change(CLEANUP) == [True]
    assert manager.set("model", "second").successful
    assert manager.set("range_source", "depth").successful
    assert manager.change(CONFIGURE, ACTIVATE) == [True, True]
    assert managed.models == ["first", "second"]
    camera = attach_camera(managed, manager)
    assert camera.node.count_subscribers("depth") == 1
    assert camera.node.count_subscribers("disparity") == 0
    depth = camera.node.create_publisher(Image, "depth", 5)
    stamps = itertools.count(SECOND, SECOND)

    def attempt() -> bool:
        stamp = next(stamps)
        depth.publish(make_disparity(stamp, value=4.0).image)
        camera.image.publish(make_image(stamp))
        time.sleep(0.02)
        return any(frame.range_input is not None for frame in managed.fakes[1].frames)

    wait_until(attempt, "a frame with depth")
    assert not managed.fakes[0].frames
    camera.node.destroy_node()


def test_a_transition_that_is_not_possible_is_refused_and_harms_nobody(start):
    _, manager = start(autostart=False)
    for impossible in (ACTIVATE, DEACTIVATE, CLEANUP, SHUTDOWN["active"], 0, 77):
        assert manager.change(impossible) == [False]
    request = ChangeState.Request(transition=Transition(label="fly"))
    assert not manager.call(ChangeState, "change_state", request).success
    request = ChangeState.Request(transition=Transition(label="configure"))
    assert manager.call(ChangeState, "change_state", request).success
    offered = manager.call(
        GetAvailableTransitions, "get_available_transitions", GetAvailableTransitions.Request()
    )
    labels = {entry.transition.label for entry in offered.available_transitions}
    assert labels == {"cleanup", "activate", "shutdown"}


@pytest.mark.parametrize("state", list(SHUTDOWN))
def test_shutdown_from_every_state_leaves_nothing_running(start, state):
    managed, manager = start(autostart=False)
    assert all(manager.change(*PATHS[state]))
    assert manager.state() == state
    assert manager.change(SHUTDOWN[state]) == [True]
    assert manager.state() == "finalized"
    assert not [t for t in threading.enumerate() if t.name == "inference"]
    assert managed.node.count_subscribers(f"{managed.namespace}/image") == 0
    assert manager.change(CONFIGURE) == [False], "there is no way back"


def test_a_step_that_fails_leaves_the_state_before_it(start, monkeypatch):
    managed, manager = start(autostart=False)
    assert manager.change(CONFIGURE) == [True]

    def fail() -> None:
        raise RuntimeError("no middleware")

    with monkeypatch.context() as patched:
        patched.setattr(managed.node.detector._inputs, "subscribe", fail)
        assert manager.change(ACTIVATE) == [False]
    assert manager.state() == "inactive"
    assert manager.change(ACTIVATE) == [True]


def test_transitions_under_a_stream_of_frames_break_nothing(start):
    managed, manager = start()
    wait_until(lambda: manager.state() == "active", "the active state")
    camera = attach_camera(managed, manager)
    stop = threading.Event()

    def stream() -> None:
        for n in itertools.count():
            if stop.wait(0.002):
                return
            camera.info.publish(make_camera_info(n * 10**6))
            camera.image.publish(make_image(n * 10**6))
            camera.disparity.publish(make_disparity(n * 10**6))

    streaming = threading.Thread(target=stream)
    streaming.start()
    try:
        for _ in range(12):
            assert manager.change(DEACTIVATE, ACTIVATE) == [True, True]
        assert manager.change(DEACTIVATE, CLEANUP, CONFIGURE, ACTIVATE) == [True] * 4
        wait_until(lambda: managed.fakes[-1].frames, "frames")
    finally:
        stop.set()
        streaming.join()
    assert managed.error is None
    camera.node.destroy_node()


@pytest.mark.parametrize("state", [*PATHS, "configuring"])
def test_an_interrupt_ends_the_process_cleanly_in_every_state(start_process, state):
    name = f"detector_{next(_numbers)}_{time.monotonic_ns()}"
    process = start_process(
        "--ros-args", "-p", "autostart:=false", "-r", f"__node:={name}",
        load_s=1.0 if state == "configuring" else 0.0,
    )  # fmt: skip
    manager = Manager(f"/{name}")
    try:
        if state == "configuring":
            manager.begin(CONFIGURE)
            process.wait_for("loading")
        else:
            assert all(manager.change(*PATHS[state]))
        assert manager.state() == state
        process.child.send_signal(signal.SIGINT)
        assert_clean_end(process)
    finally:
        manager.close()


def test_a_process_that_waits_for_a_manager_survives_a_failed_load(start_process, tmp_path):
    name = f"detector_{time.monotonic_ns()}"
    process = start_process(
        "--ros-args", "-p", "autostart:=false", "-p", f"model:={tmp_path / 'absent.safetensors'}",
        "-r", f"__node:={name}", real=True,
    )  # fmt: skip
    manager = Manager(f"/{name}")
    try:
        assert manager.change(CONFIGURE) == [False]
        process.wait_for("absent.safetensors")
        assert manager.state() == "unconfigured"
        process.child.send_signal(signal.SIGTERM)
        assert_clean_end(process)
    finally:
        manager.close()


def test_stamps_are_those_of_the_images_also_after_a_new_activation(start):
    managed, manager = start()
    wait_until(lambda: manager.state() == "active", "the active state")
    assert manager.change(DEACTIVATE, ACTIVATE) == [True, True]
    camera = attach_camera(managed, manager)
    heard: list = []
    camera.node.create_subscription(
        PointCloud2, f"{managed.namespace}/detector/obstacles/list", heard.append, 10
    )
    manager.executor.add_node(camera.node)
    send_until(camera, lambda: heard, "an obstacle list")
    assert heard[0].header.stamp in [make_stamp(f.stamp_ns) for f in managed.fakes[0].frames]
    camera.node.destroy_node()
