"""What a benchmark hears of a running detector, and what its process takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, PointCloud2

from open_set_seg.bags import header_stamp, topics
from open_set_seg.ros.live import DIAGNOSTICS, read_diagnostics

STARTING_S = 120.0
PICTURES = (topics.OVERLAY, topics.ANOMALY, topics.SEGMENTATION)
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


class DetectorListener:
    """Collects what the detector publishes.

    Args:
        node: that subscribes.
        pictures: whether to listen to all pictures too.

    Attributes:
        ages_ms: of each obstacle list, from its image's stamp to its publication (DDS's own time).
        ages_since_image_ms: likewise from the publication of the image with the same stamp, which
            recordings that are played again need; NaN where that image was not heard.
        published_s: publication times of the lists.
        images: how many arrived here, as a measure of what was sent.
    """

    def __init__(self, node: Any, pictures: bool) -> None:
        self.ages_ms: list[float] = []
        self.ages_since_image_ms: list[float] = []
        self.published_s: list[float] = []
        self.images = 0
        self._image_published: dict[int, int] = {}
        self._diagnostics: bytes | None = None
        qos = QoSProfile(depth=20)
        node.create_subscription(PointCloud2, topics.OBSTACLE_LIST, self._on_list, qos, raw=True)
        node.create_subscription(DiagnosticArray, DIAGNOSTICS, self._on_state, qos, raw=True)
        node.create_subscription(
            Image, topics.IMAGE, self._on_image, qos_profile_sensor_data, raw=True
        )
        for topic in PICTURES if pictures else ():
            node.create_subscription(Image, topic, lambda _: None, qos, raw=True)

    @property
    def diagnostics(self) -> dict[str, str]:
        """The detector's newest diagnostics."""
        if self._diagnostics is None:
            return {}
        return read_diagnostics(deserialize_message(self._diagnostics, DiagnosticArray))

    def _on_list(self, cdr: bytes, info: dict[str, int]) -> None:
        published_ns, stamp_ns = info["source_timestamp"], header_stamp(cdr)
        image_ns = self._image_published.get(stamp_ns)
        since_image = float("nan") if image_ns is None else (published_ns - image_ns) * 1e-6
        self.ages_ms.append((published_ns - stamp_ns) * 1e-6)
        self.ages_since_image_ms.append(since_image)
        self.published_s.append(published_ns * 1e-9)

    def _on_state(self, cdr: bytes) -> None:
        self._diagnostics = cdr

    def _on_image(self, cdr: bytes, info: dict[str, int]) -> None:
        # Recordings have few stamps; a live camera's must not pile up.
        if len(self._image_published) > 10_000:
            self._image_published.clear()
        self._image_published[header_stamp(cdr)] = info["source_timestamp"]
        self.images += 1


def spin_until(step: Callable[[], None], done: Callable[[], bool]) -> None:
    """Spin until something is true; the program ends where that takes too long."""
    deadline = time.monotonic() + STARTING_S
    while not done():
        step()
        if time.monotonic() > deadline:
            raise SystemExit(f"the detector published no results within {STARTING_S:g} s")


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * PAGE_KIB / 1024
