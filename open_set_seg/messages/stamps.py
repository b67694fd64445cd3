"""The stamp of a message in nanoseconds."""

from __future__ import annotations

from typing import Any

NANOSECONDS = 1_000_000_000


def decode_stamp(msg: Any) -> int:
    """Stamp of a message's header in nanoseconds."""
    stamp = msg.header.stamp
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)
