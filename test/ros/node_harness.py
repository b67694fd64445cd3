"""A running detector node with a plain detector, and a camera that publishes to it over DDS."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from stereo_msgs.msg import DisparityImage

from open_set_seg.frame import Frame, FrameResult, Obstacle, Prediction, RangeMap
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.ros.detector_node import DetectorNode
from open_set_seg.ros.loading import LoadedDetector
from open_set_seg.ros.messages.pictures import pack_bytes

DEADLINE_S = 15.0
FOCAL, BASELINE = 100.0, 0.5
_numbers = itertools.count()


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll until the condition holds; fail with ``what`` after the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"waited {deadline_s:.0f} s for {what}"
        time.sleep(0.005)


def make_obstacle(distance: float = 12.0) -> Obstacle:
    return Obstacle(
        id=1, kind="unknown", distance=distance, distance_sigma=0.3, valid_share=0.9,
        position=(0.5, 0.2, distance), width=1.0, height=0.5, mean_score=0.8, peak_score=0.9,
        nearest_classes=((9, 1.0),), box=(4, 4, 3, 2), area_px=6,
        outline=np.array([[4, 4], [6, 4], [6, 5], [4, 5]], np.int32), mask=np.ones((2, 3), bool),
    )  # fmt: skip


class FakeDetector:
    """One obstacle in every frame, at the distance that the disparity says; records frames."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.configs: list[object] = []
        self.delay_s = 0.0
        self.examined = True
        self.obstacles = True
        self.failure: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def process(self, frame: Frame) -> FrameResult:
        self.frames.append(frame)
        self.gate.wait(DEADLINE_S)
        if self.delay_s:
            time.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        height, width = frame.image.shape[:2]
        labels = np.full((height, width), 6, np.uint8)
        anomaly = np.full((height, width), 0.25, np.float32)
        labels[4:6, 4:7], anomaly[4:6, 4:7] = 12, 0.75
        range_map, distance = None, float("nan")
        if frame.range_input is not None:
            with np.errstate(divide="ignore"):
                depth = (FOCAL * BASELINE / frame.range_input.values).astype(np.float32)
            range_map, distance = RangeMap(depth, depth * 0.01), float(depth[4, 4])
        obstacles = (make_obstacle(distance),) if self.obstacles and self.examined else ()
        return FrameResult(
            stamp_ns=frame.stamp_ns, frame_id=frame.frame_id,
            prediction=Prediction(labels, anomaly, np.full_like(labels, 6), 0.5),
            obstacles=obstacles, examined=self.examined, ground=np.ones((height, width), bool),
            range_map=range_map, camera=frame.camera, timings={"total": self.delay_s},
        )  # fmt: skip

    def reconfigure(self, config: object) -> None:
        self.configs.append(config)


class Camera:
    """Publishes image, camera_info and disparity; hears whatever it is told to."""

    def __init__(self, node: Node, best_effort: bool = False) -> None:
        self.node = node
        qos = QoSProfile(
            depth=10,
            reliability=ReliabilityPolicy.BEST_EFFORT
            if best_effort
            else ReliabilityPolicy.RELIABLE,
        )
        self.image = node.create_publisher(Image, "image", qos)
        self.info = node.create_publisher(CameraInfo, "camera_info", qos)
        self.disparity = node.create_publisher(DisparityImage, "disparity", qos)

    def listen(self, kind, topic: str, depth: int = 10, latched: bool = False) -> list:
        received: list = []
        qos = QoSProfile(
            depth=depth,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        subscription = self.node.create_subscription(kind, topic, received.append, qos)
        if not latched:
            wait_until(lambda: subscription.get_publisher_count() > 0, f"a publisher of {topic}")
        return received

    def send(
        self, stamp_ns: int, disparity: bool = True, width: int = 32, height: int = 16
    ) -> None:
        """Calibration, disparity, then image of one moment."""
        self.info.publish(make_camera_info(stamp_ns, width, height))
        if disparity:
            self.disparity.publish(make_disparity(stamp_ns, width, height))
        self.image.publish(make_image(stamp_ns, width, height))


def make_stamp(stamp_ns: int) -> Time:
    return Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)


def make_image(stamp_ns: int, width: int = 32, height: int = 16, encoding: str = "rgb8") -> Image:
    message = Image(height=height, width=width, encoding=encoding, step=3 * width)
    message.header.stamp, message.header.frame_id = make_stamp(stamp_ns), "left_optical"
    message.data = pack_bytes(np.full((height, width, 3), 90, np.uint8))
    return message


def make_disparity(
    stamp_ns: int, width: int = 32, height: int = 16, value: float = 5.0
) -> DisparityImage:
    message = DisparityImage(f=FOCAL, t=BASELINE, min_disparity=0.0, max_disparity=64.0)
    message.header.stamp = message.image.header.stamp = make_stamp(stamp_ns)
    message.image.height, message.image.width, message.image.step = height, width, 4 * width
    message.image.encoding = "32FC1"
    message.image.data = pack_bytes(np.full((height, width), value, np.float32))
    return message


def make_camera_info(
    stamp_ns: int = 0, width: int = 32, height: int = 16, tx: float = 0.0
) -> CameraInfo:
    message = CameraInfo(width=width, height=height)
    message.header.stamp = make_stamp(stamp_ns)
    cx, cy = width / 2 - 0.5, height / 2 - 0.5
    message.k = [FOCAL, 0.0, cx, 0.0, FOCAL, cy, 0.0, 0.0, 1.0]
    message.p = [FOCAL, 0.0, cx, tx, 0.0, FOCAL, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


class Running:
    """A context of its own with a detector node that spins in a thread, and a camera node."""

    def __init__(self, parameters=None, vision=None, arguments=(), detector=None) -> None:
        self.context = Context()
        self.context.init(args=["--ros-args", *arguments] if arguments else None)
        namespace = f"/test_{next(_numbers)}"
        self.fake = detector or FakeDetector()
        overrides = [Parameter(name, value=value) for name, value in (parameters or {}).items()]
        self.node = Node(
            "detector", context=self.context, namespace=namespace, parameter_overrides=overrides,
            automatically_declare_parameters_from_overrides=True,
        )  # fmt: skip
        self.camera_node = Node("camera", context=self.context, namespace=namespace)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.camera_node)
        self.thread = threading.Thread(target=self._spin, daemon=True)
        self.detector = DetectorNode(self.node, self._load, vision)
        self.camera = Camera(self.camera_node)

    def start(self) -> Running:
        self.thread.start()
        self.detector.configure()
        self.detector.activate()
        return self

    def connect(self, *publishers) -> None:
        """Wait until both ends know of each other: best effort loses what is sent earlier."""
        readers = {entry.topic: entry.subscription for entry in self.detector._inputs.all}
        camera = self.camera
        for writer in publishers or (camera.image, camera.info, camera.disparity):
            reader = readers[writer.topic_name]
            wait_until(lambda w=writer: w.get_subscription_count() > 0, writer.topic_name)
            wait_until(lambda r=reader: r.get_publisher_count() > 0, writer.topic_name)

    def send(self, stamp_ns: int) -> None:
        """Everything of one moment, the image last and when the rest is known to be there."""
        inputs, camera = self.detector._inputs, self.camera
        for entry, publisher, message in (
            (inputs.camera_info, camera.info, make_camera_info(stamp_ns)),
            (inputs.range, camera.disparity, make_disparity(stamp_ns)),
        ):
            before = entry.arrivals.count
            publisher.publish(message)
            wait_until(lambda e=entry, b=before: e.arrivals.count > b, entry.name)
        camera.image.publish(make_image(stamp_ns))

    def processed(self, number: int) -> None:
        wait_until(
            lambda: self.detector.statistics.snapshot().get("processed", 0) >= number,
            f"{number} processed frames",
        )

    def count(self, name: str) -> int:
        return self.detector.statistics.snapshot().get(name, 0)

    def problem(self, code: str) -> None:
        wait_until(lambda: self.detector.problems.snapshot().get(code, 0) > 0, f"problem {code}")

    def stop(self) -> None:
        self.fake.gate.set()
        self.executor.shutdown()
        if self.thread.is_alive():
            self.thread.join()
        self.detector.deactivate()
        self.detector.cleanup()
        self.node.destroy_node()
        self.camera_node.destroy_node()
        self.context.try_shutdown()

    def _load(self, settings) -> LoadedDetector:
        return LoadedDetector(
            self.fake, STREETHAZARDS, lambda: "a fake", "fake.safetensors", "0" * 12, 0.5, "jsd"
        )

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self.executor.spin()
