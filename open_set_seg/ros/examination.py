"""A snapshot of a live system for doctor: who publishes what, how, and what comes of it.

Messages are taken as bytes, of which a few are decoded at the end, so that looking costs little and
disturbs nobody: the subscriptions are best effort, as the detector's.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions

from open_set_seg.bags import header_stamp
from open_set_seg.doctor.snapshot import (
    CAMERA_INFO,
    COMPRESSED,
    DISPARITY,
    IMAGE,
    Endpoint,
    Policy,
    Role,
    Sampler,
    Snapshot,
    Status,
    Stream,
    choose_topics,
)
from open_set_seg.stereo import RangeConfig

DIAGNOSTICS, CLOCK = "/diagnostics", "/clock"
# Finding all nodes takes up to about three seconds, whatever is there.
DISCOVERY_S, ANSWER_S, STEP_S = 4.0, 2.0, 0.05
STEADY_S = 1.0  # without anything new everybody is taken to be found
QUEUE_DEPTH = 20
_NAME = "open_set_seg_doctor"
_POLICIES: Mapping[str, Policy] = {
    "RELIABLE": "reliable", "BEST_EFFORT": "best_effort",
    "VOLATILE": "volatile", "TRANSIENT_LOCAL": "transient_local",
}  # fmt: skip
_RANGE_PARAMETERS = (
    "min_range", "max_range", "focal_override", "baseline_override", "disparity_scale",
    "disparity_sigma", "depth_scale", "depth_sigma_per_m2", "tolerance",
)  # fmt: skip


class ExaminationError(ValueError):
    """What was to be looked at is not there; says what is."""


def examine_live(
    wanted: Mapping[Role, str],
    node_name: str = "",
    seconds: float = 5.0,
    segment_bytes: int | None = None,
) -> Snapshot:
    """Listen to a running system.

    Args:
        wanted: topic of each input; others are taken where these are not there.
        node_name: of a detector: then its inputs are those that it listens to, and its parameters
            say how range is computed and how stamps are paired.
        seconds: how long to listen, after everybody was found.
        segment_bytes: of this machine's shared memory.

    Raises:
        ExaminationError: no such node.
    """
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node(f"{_NAME}_{os.getpid()}", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        try:
            return _Examination(node, lambda: executor.spin_once(timeout_sec=STEP_S)).run(
                wanted, node_name, seconds, segment_bytes
            )
        finally:
            executor.shutdown()
            node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)


class _Examination:
    """One look at a system, through a node of its own."""

    def __init__(self, node: Node, spin: Callable[[], None]) -> None:
        self._node, self._spin = node, spin
        self._taken: dict[str, _Taken] = {}
        self._statuses: dict[str, Status] = {}

    def run(
        self,
        wanted: Mapping[Role, str],
        node_name: str,
        seconds: float,
        segment_bytes: int | None,
    ) -> Snapshot:
        """Find everybody, listen, and say what was seen."""
        topics = self._discover(node_name)
        roles = choose_topics(topics, wanted)
        parameters: dict[str, Any] = {}
        if node_name:
            own = self._inputs_of(node_name)
            wanted = {**wanted, **own}
            roles = own
            parameters = self._parameters_of(node_name)
        self._listen(roles, topics)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._spin()
        others = [t for t in sorted(topics) if t not in roles.values() and t != "/rosout"]
        return Snapshot(
            source="live",
            streams={role: self._stream(topic, topics) for role, topic in roles.items()},
            wanted=dict(wanted),
            topics=topics,
            others=tuple(self._stream(topic, topics) for topic in others),
            seconds=seconds,
            whole_seconds=seconds,
            statuses=self._statuses_of(node_name),
            sim_time=parameters.get("use_sim_time"),
            clock_publishers=self._node.count_publishers(CLOCK),
            node=node_name,
            tolerance_s=float(parameters.get("sync_tolerance_s", 0.01)),
            range_config=_range_config(parameters),
            segment_bytes=segment_bytes,
        )

    def _discover(self, node_name: str) -> dict[str, str]:
        """All topics with a type each, once nothing new appears."""
        start = changed = time.monotonic()
        known: dict[str, str] = {}
        while time.monotonic() - start < DISCOVERY_S:
            self._spin()
            found = {t: kinds[0] for t, kinds in self._node.get_topic_names_and_types()}
            if found != known:
                known, changed = found, time.monotonic()
            missing = node_name and node_name not in self._node_names()
            if known and not missing and time.monotonic() - changed > STEADY_S:
                break
        if node_name and node_name not in self._node_names():
            there = ", ".join(sorted(self._node_names())) or "none at all"
            raise ExaminationError(
                f"there is no node {node_name} in domain "
                f"{os.environ.get('ROS_DOMAIN_ID') or '0'}; there are: {there}"
            )
        return known

    def _node_names(self) -> list[str]:
        pairs = self._node.get_node_names_and_namespaces()
        return [
            f"{namespace.rstrip('/')}/{name}"
            for name, namespace in pairs
            if name != self._node.get_name()
        ]

    def _inputs_of(self, node_name: str) -> dict[Role, str]:
        """What a detector listens to, by what its subscriptions are."""
        namespace, _, name = node_name.rpartition("/")
        listened = self._node.get_subscriber_names_and_types_by_node(name, namespace or "/")
        found: dict[Role, str] = {}
        for topic, kinds in listened:
            if kinds[0] == DISPARITY:
                found["disparity"] = topic
            elif kinds[0] == CAMERA_INFO:
                right = topic.endswith("right/camera_info") or "right" in topic
                found["right_camera_info" if right else "camera_info"] = topic
            elif kinds[0] == COMPRESSED:
                found["image"] = topic
        for topic, kinds in listened:
            if kinds[0] == IMAGE:
                found["depth" if "depth" in topic and "image" in found else "image"] = topic
        return found

    def _parameters_of(self, node_name: str) -> dict[str, Any]:
        """Values of the parameters that matter here; empty where the node does not answer."""
        names = ["use_sim_time", "sync_tolerance_s", *(f"range.{n}" for n in _RANGE_PARAMETERS)]
        client = self._node.create_client(GetParameters, f"{node_name}/get_parameters")
        end = time.monotonic() + ANSWER_S
        try:
            while not client.service_is_ready() and time.monotonic() < end:
                self._spin()
            if not client.service_is_ready():
                return {}
            future = client.call_async(GetParameters.Request(names=names))
            while not future.done() and time.monotonic() < end:
                self._spin()
            answer = future.result() if future.done() else None
        finally:
            self._node.destroy_client(client)
        values = answer.values if answer is not None else []
        pairs = zip(names, map(_value, values), strict=False)
        return {name: value for name, value in pairs if value is not None}

    def _listen(self, roles: Mapping[Role, str], topics: Mapping[str, str]) -> None:
        qos = QoSProfile(depth=QUEUE_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        for topic in {*roles.values()}:
            kind = _message_class(topics.get(topic, ""))
            if kind is None:
                continue
            taken = self._taken[topic] = _Taken(kind)
            self._node.create_subscription(kind, topic, taken.add, qos, raw=True)
        self._node.create_subscription(DiagnosticArray, DIAGNOSTICS, self._note_statuses, 50)

    def _note_statuses(self, message: Any) -> None:
        for status in message.status:
            level = int.from_bytes(status.level, "little")
            self._statuses[status.name] = Status(status.name, level, status.message)

    def _statuses_of(self, node_name: str) -> tuple[Status, ...]:
        statuses = self._statuses.values()
        return tuple(s for s in statuses if not node_name or s.name.startswith(f"{node_name}: "))

    def _stream(self, topic: str, topics: Mapping[str, str]) -> Stream:
        taken = self._taken.get(topic) or _Taken(None)
        samples, faults = taken.decode()
        return Stream(
            topic=topic,
            kind=topics.get(topic, ""),
            publishers=self._endpoints(self._node.get_publishers_info_by_topic(topic)),
            subscribers=self._endpoints(self._node.get_subscriptions_info_by_topic(topic)),
            stamps_ns=tuple(taken.stamps),
            arrivals_ns=tuple(taken.arrivals),
            samples=samples,
            largest_bytes=taken.largest,
            faults=faults,
        )

    def _endpoints(self, infos: Iterable[Any]) -> tuple[Endpoint, ...]:
        mine = self._node.get_name()
        return tuple(
            Endpoint(
                f"{info.node_namespace.rstrip('/')}/{info.node_name}",
                info.topic_type,
                _POLICIES.get(info.qos_profile.reliability.name, "unknown"),
                _POLICIES.get(info.qos_profile.durability.name, "unknown"),
            )
            for info in infos
            if info.node_name != mine
        )


class _Taken:
    """What has come on one topic."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._sampler = Sampler()
        self.stamps: list[int] = []
        self.arrivals: list[int] = []
        self.largest = 0

    def add(self, cdr: bytes) -> None:
        """Take a serialised message."""
        if len(cdr) < 12:
            return
        self.arrivals.append(time.time_ns())
        self.stamps.append(header_stamp(cdr))
        self.largest = max(self.largest, len(cdr))
        self._sampler.add(cdr)

    def decode(self) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        """Some of the messages, and why others could not be decoded."""
        samples, faults = [], set()
        for cdr in self._sampler.messages:
            try:
                samples.append(deserialize_message(cdr, self._kind))
            except Exception as failure:
                faults.add(f"{type(failure).__name__}: {failure}"[:200])
        return tuple(samples), tuple(sorted(faults))


def _message_class(kind: str) -> Any:
    """The class of a type's name; None where its package is not installed."""
    package, _, name = kind.rpartition("/")
    try:
        return getattr(importlib.import_module(package.replace("/", ".")), name)
    except (ImportError, AttributeError, ValueError):
        return None


def _value(value: ParameterValue) -> Any:
    fields = {
        ParameterType.PARAMETER_BOOL: "bool_value",
        ParameterType.PARAMETER_INTEGER: "integer_value",
        ParameterType.PARAMETER_DOUBLE: "double_value",
        ParameterType.PARAMETER_STRING: "string_value",
    }
    name = fields.get(value.type)
    return None if name is None else getattr(value, name)


def _range_config(parameters: Mapping[str, Any]) -> RangeConfig:
    """That of the node; the default where it says what cannot be."""
    given = {n: parameters[f"range.{n}"] for n in _RANGE_PARAMETERS if f"range.{n}" in parameters}
    for name in ("focal_override", "baseline_override"):
        given[name] = given.get(name) or None
    try:
        return RangeConfig(**given)
    except (TypeError, ValueError):
        return RangeConfig()
