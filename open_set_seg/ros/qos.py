"""Which settings of a topic ``qos_overrides`` may change, the same for every one of them."""

from __future__ import annotations

from rclpy.qos import QoSPolicyKind
from rclpy.qos_overriding_options import QoSOverridingOptions


def allow_overrides() -> QoSOverridingOptions:
    """The policies that launch files and parameter files may override."""
    return QoSOverridingOptions(
        (
            QoSPolicyKind.HISTORY,
            QoSPolicyKind.DEPTH,
            QoSPolicyKind.RELIABILITY,
            QoSPolicyKind.DURABILITY,
        )
    )
