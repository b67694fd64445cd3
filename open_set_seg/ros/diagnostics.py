"""What the node tells about itself: diagnostics messages, and sentences about silent inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from open_set_seg.ros.inputs import Input

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
STALE = DiagnosticStatus.STALE


@dataclass(frozen=True)
class InputReport:
    """One input at one moment.

    Attributes:
        publishers: one text for each publisher: node, type, reliability, durability.
        rate: messages per second.
        silence_s: time since the last message, or since the start if there was none.
        stamp_age_s: ROS time minus the last stamp; None before the first message.
        timeout_s: silence after which the input counts as missing.
        new_errors: whether messages could not be decoded since the last report.
    """

    name: str
    topic: str
    required: bool
    publishers: tuple[str, ...]
    received: int
    rate: float
    silence_s: float
    stamp_age_s: float | None
    timeout_s: float
    errors: Mapping[str, int]
    new_errors: bool

    @property
    def missing(self) -> bool:
        """Whether a required input is silent for too long."""
        return self.required and self.silence_s > self.timeout_s


def report_input(
    node: Node, entry: Input, since: float, now: float, timeout_s: float, errors_before: int
) -> InputReport:
    """Look at one input.

    Args:
        since: monotonic time at which the node began to listen.
        now: monotonic time.
        errors_before: number of errors at the last report.
    """
    last = entry.arrivals.last
    stamp_age = None
    if entry.last_stamp_ns is not None:
        stamp_age = (node.get_clock().now().nanoseconds - entry.last_stamp_ns) * 1e-9
    errors = dict(entry.errors)
    return InputReport(
        name=entry.name,
        topic=entry.topic,
        required=entry.required,
        publishers=describe_publishers(node, entry.topic),
        received=entry.arrivals.count,
        rate=entry.arrivals.rate(now),
        silence_s=now - (since if last is None else last),
        stamp_age_s=stamp_age,
        timeout_s=timeout_s,
        errors=errors,
        new_errors=sum(errors.values()) > errors_before,
    )


def describe_publishers(node: Node, topic: str) -> tuple[str, ...]:
    """Node, type and QoS of everybody who publishes on a resolved topic name."""
    return tuple(
        f"{info.node_namespace.rstrip('/')}/{info.node_name} ({info.topic_type}, "
        f"{info.qos_profile.reliability.name.lower()}, {info.qos_profile.durability.name.lower()})"
        for info in node.get_publishers_info_by_topic(topic)
    )


def describe_silence(report: InputReport, expected_type: str) -> str:
    """One sentence on an input from which nothing comes, with what to look at."""
    start = f"no message on {report.topic} ({expected_type}) for {report.silence_s:.0f} s"
    if report.received:  # name, type and size are right, then
        who = "; ".join(report.publishers)
        state = f"{who} is slow, pauses or has stopped" if who else "its publisher is gone"
        return f"{start}, {report.received} before: {state}"
    if not report.publishers:
        return (
            f"{start}: it has no publisher; remap {report.name!r} to the camera's topic "
            "(ros2 topic list shows what there is)"
        )
    who = "; ".join(report.publishers)
    if not any(expected_type in text for text in report.publishers):
        return f"{start}: it is published with another type, by {who}"
    return (
        f"{start}: it is published by {who}, but nothing arrives; large messages need the DDS "
        "profile config/fastdds.xml on the publisher's side too"
    )


def build_input_status(name: str, report: InputReport) -> Any:
    """DiagnosticStatus of one input: ERROR without images, WARN for anything else amiss."""
    level, text = OK, f"{report.rate:.1f} Hz"
    if report.missing:
        level = ERROR if report.name == "image" else WARN
        text = f"nothing arrives on {report.topic} ({len(report.publishers)} publishers)"
    elif report.new_errors:
        level, text = WARN, f"messages that cannot be used: {', '.join(report.errors)}"
    elif not report.received:
        text = "not received" + ("" if report.required else " (optional)")
    age = "" if report.stamp_age_s is None else f"{report.stamp_age_s:.3f}"
    values = {
        "topic": report.topic,
        "publishers": "; ".join(report.publishers) or "none",
        "received": report.received,
        "rate_hz": f"{report.rate:.2f}",
        "age_s": age,
        **{f"errors.{code}": count for code, count in report.errors.items()},
    }
    return build_status(f"{name}: input {report.name}", level, text, values)


def build_frame_status(name: str, target: str, reason: str | None) -> Any:
    """DiagnosticStatus of ``target_frame``: WARN where the newest frame could not be placed."""
    if reason is None:
        return build_status(f"{name}: frame", OK, f"outputs are in {target}", {})
    text = f"outputs stay in the image's frame, not in {target}: {reason}"
    return build_status(f"{name}: frame", WARN, text, {})


def build_status(name: str, level: bytes, text: str, values: Mapping[str, Any]) -> Any:
    """DiagnosticStatus with every value as text."""
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=text, hardware_id="", values=pairs)


def build_array(stamp: Any, statuses: Sequence[Any]) -> Any:
    """DiagnosticArray."""
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp = stamp
    return message


def format_times(times: Mapping[str, tuple[float, float]]) -> dict[str, str]:
    """``<stage>_ms.p50`` and ``.p95`` from seconds."""
    pairs = [(f"{stage}_ms", times[stage]) for stage in times]
    return {
        f"{key}.{name}": f"{1000 * value:.1f}"
        for key, both in pairs
        for name, value in zip(("p50", "p95"), both, strict=True)
    }
