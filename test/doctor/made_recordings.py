"""Small recordings of a simulated drive, healthy or with one fault put in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability
from rosbags.interfaces import QosTime as Time
from rosbags.rosbag2 import StoragePlugin, Writer

from open_set_seg.bags import TYPESTORE, building
from open_set_seg.frame import DisparityMap
from open_set_seg.simulation import StereoFrame, render_still

FRAMES, PERIOD, START = 20, 10**8, 1_700_000_000 * 10**9
LEFT, RIGHT = "left_camera_optical_frame", "right_camera_optical_frame"
RELIABLE, BEST_EFFORT = QosReliability.RELIABLE, QosReliability.BEST_EFFORT
VOLATILE, LATCHED = QosDurability.VOLATILE, QosDurability.TRANSIENT_LOCAL


@dataclass
class Record:
    """A message to write; faults change lists of these."""

    topic: str
    time_ns: int
    message: Any


def scene() -> StereoFrame:
    return render_still(seed=1_000_003, width=256, height=128, right=True)


def drive_records(moment: StereoFrame) -> list[Record]:
    """Twenty frames of one scene in which something small moves."""
    records = []
    camera, baseline = moment.rig.camera, moment.rig.baseline
    for n in range(FRAMES):
        stamp = START + n * PERIOD
        picture = moment.left.copy()
        picture[:8, 4 * n : 4 * n + 8] = 255
        messages = {
            "/camera_info": building.camera_info(camera, stamp, LEFT),
            "/right/camera_info": building.camera_info(camera, stamp, RIGHT, baseline),
            "/image": building.image(picture, stamp, LEFT),
            "/disparity": building.disparity_image(moment.sensor_disparity, stamp, LEFT),
        }
        records += [Record(topic, stamp, message) for topic, message in messages.items()]
    return records


def write_recording(
    path: Path, records: list[Record], policies: dict[str, tuple] | None = None
) -> Path:
    """Write records in the order of their times, with what a topic was offered with."""
    connections: dict[str, Any] = {}
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for record in sorted(records, key=lambda r: r.time_ns):
            kind = record.message.__msgtype__
            if record.topic not in connections:
                offered = [make_qos(*(policies or {}).get(record.topic, (RELIABLE, VOLATILE)))]
                connections[record.topic] = writer.add_connection(
                    record.topic, kind, typestore=TYPESTORE, offered_qos_profiles=offered
                )
            data = TYPESTORE.serialize_cdr(record.message, kind)
            writer.write(connections[record.topic], record.time_ns, data)
    return path


def make_qos(reliability: QosReliability, durability: QosDurability) -> Qos:
    forever = Time(0, 0)
    return Qos(
        QosHistory.KEEP_LAST, 1, reliability, durability, forever, forever,
        QosLiveliness.AUTOMATIC, forever, False,
    )  # fmt: skip


def on(topic: str, change: Callable[[Any], None]) -> Callable[[list[Record]], list[Record]]:
    """A fault in every message of a topic."""

    def spoil(records: list[Record]) -> list[Record]:
        for record in records:
            if record.topic == topic:
                change(record.message)
        return records

    return spoil


def without(*topics: str) -> Callable[[list[Record]], list[Record]]:
    return lambda records: [record for record in records if record.topic not in topics]


def with_disparity(change: Callable[[DisparityMap], DisparityMap]) -> Callable:
    """Another disparity in every frame."""

    def spoil(records: list[Record]) -> list[Record]:
        for record in records:
            if record.topic == "/disparity":
                old, stamp = record.message, record.time_ns
                values = np.frombuffer(old.image.data, np.float32)
                seen = DisparityMap(
                    values.reshape(old.image.height, old.image.width), old.f, old.t,
                    old.min_disparity, old.max_disparity, old.delta_d,
                )  # fmt: skip
                record.message = building.disparity_image(change(seen), stamp, LEFT)
        return records

    return spoil


def with_depth(unit: float, dtype: str = "<f4", encoding: str = "32FC1") -> Callable:
    """Depth in place of the disparity, in units of so many metres."""

    def spoil(records: list[Record]) -> list[Record]:
        for record in records:
            if record.topic == "/disparity":
                old = record.message
                values = np.frombuffer(old.image.data, np.float32)
                with np.errstate(divide="ignore"):
                    depth = np.where(values > 0, old.f * old.t / values, 0.0)
                shaped = (depth / unit).reshape(old.image.height, old.image.width)
                message = building.image(shaped.astype(np.float32), record.time_ns, LEFT)
                pixels = shaped.astype(dtype)
                message.encoding, message.step = encoding, pixels.itemsize * pixels.shape[1]
                message.data = pixels.reshape(-1).view(np.uint8)
                record.topic, record.message = "/depth", message
        return records

    return spoil


def scaled(factor: float) -> Callable[[DisparityMap], DisparityMap]:
    """Values times a factor, the matcher's limits too; invalid ones stay as they are."""

    def change(seen: DisparityMap) -> DisparityMap:
        values = np.where(seen.values > 0, seen.values * factor, seen.values)
        return replace(
            seen,
            values=values.astype(np.float32),
            min_disparity=0.0,
            max_disparity=0.0,
        )

    return change


def shift_stamps(topic: str, offset_of: Callable[[int], int]) -> Callable:
    """Header stamps of a topic moved by nanoseconds, by the number of the message."""

    def spoil(records: list[Record]) -> list[Record]:
        mine = [record for record in records if record.topic == topic]
        for number, record in enumerate(mine):
            stamp = record.time_ns + offset_of(number)
            record.message.header = building.header(stamp, record.message.header.frame_id)
        return records

    return spoil


def all_stamps(stamp_of: Callable[[int], int]) -> Callable:
    """Stamps of every message by its time of recording, or another one."""

    def spoil(records: list[Record]) -> list[Record]:
        for record in records:
            frame = record.message.header.frame_id
            record.message.header = building.header(stamp_of(record.time_ns), frame)
        return records

    return spoil
