"""What a recording of the demo says, frame by frame, beside the truth of the drive."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.bags import read_messages, topics
from open_set_seg.frame import FloatImage, ImageRGB, LabelImage, Obstacle, Prediction
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.messages import decode_image, decode_points, decode_stamp
from open_set_seg.obstacles import ObstacleConfig, find_obstacles
from open_set_seg.simulation import StereoFrame

OUTPUTS = (topics.SEGMENTATION, topics.ANOMALY, topics.OVERLAY, topics.OBSTACLE_LIST)
# The list carries the mean score of a region as float32.
SCORE_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """One processed frame.

    Attributes:
        number: of the frame in the drive, from 0.
        stamp_ns: of the image; ``published_ns``: when the last output of the frame went out.
        truth: the frame of the drive.
        labels: class ids; ``anomaly``: scores; ``overlay``: RGB picture.
        obstacles: those that were listed; empty where the frame was not examined.
        examined: whether there was an obstacle list.
    """

    number: int
    stamp_ns: int
    published_ns: int
    truth: StereoFrame
    labels: LabelImage
    anomaly: FloatImage
    overlay: ImageRGB
    obstacles: tuple[Obstacle, ...]
    examined: bool

    @property
    def latency_s(self) -> float:
        """Seconds from the image's stamp to the publication of the last output."""
        return (self.published_ns - self.stamp_ns) * 1e-9

    def without_pictures(self) -> RecordedFrame:
        """The same frame with its labels, scores and overlay let go: they are large."""
        return replace(
            self,
            labels=np.empty((0, 0), np.uint8),
            anomaly=np.empty((0, 0), np.float32),
            overlay=np.empty((0, 0, 3), np.uint8),
        )


def read_recorded(
    bag: Path, drive: Sequence[StereoFrame], label_space: LabelSpace
) -> Iterator[RecordedFrame]:
    """Yield the frames that were processed, in their order.

    Images are recognised by their content, so a lost one shifts nothing.
    """
    number_of = {
        zlib.crc32(np.ascontiguousarray(frame.left).data): n
        for n, frame in reversed(list(enumerate(drive)))
    }
    numbers: dict[int, int] = {}
    waiting: dict[int, dict[str, tuple[int, Any]]] = {}
    for topic, time_ns, message in read_messages(bag, (topics.IMAGE, *OUTPUTS)):
        stamp = decode_stamp(message)
        if topic == topics.IMAGE:
            numbers[stamp] = number_of[zlib.crc32(message.data)]
            continue
        # The detector finishes one frame before the next: a later stamp ends the earlier ones.
        for earlier in sorted(s for s in waiting if s < stamp):
            yield from _recorded(earlier, waiting.pop(earlier), numbers, drive, label_space)
        waiting.setdefault(stamp, {})[topic] = (time_ns, message)
    for stamp in sorted(waiting):
        yield from _recorded(stamp, waiting[stamp], numbers, drive, label_space)


def _recorded(
    stamp: int,
    outputs: dict[str, tuple[int, Any]],
    numbers: dict[int, int],
    drive: Sequence[StereoFrame],
    label_space: LabelSpace,
) -> Iterator[RecordedFrame]:
    """The frame of one stamp, unless its image or one of its pictures was not recorded."""
    if stamp not in numbers or not set(OUTPUTS[:3]) <= set(outputs):
        return
    labels = _pixels(outputs[topics.SEGMENTATION][1], np.dtype(np.uint8))
    anomaly = _pixels(outputs[topics.ANOMALY][1], np.dtype(np.float32))
    listed = outputs.get(topics.OBSTACLE_LIST)
    obstacles: tuple[Obstacle, ...] = ()
    if listed is not None:
        obstacles = _obstacles(decode_points(listed[1]), labels, anomaly, label_space)
    yield RecordedFrame(
        number=numbers[stamp],
        stamp_ns=stamp,
        published_ns=max(time_ns for time_ns, _ in outputs.values()),
        truth=drive[numbers[stamp]],
        labels=labels,
        anomaly=anomaly,
        overlay=decode_image(outputs[topics.OVERLAY][1]),
        obstacles=obstacles,
        examined=listed is not None,
    )


def _pixels(message: Any, kind: np.dtype[Any]) -> NDArray[Any]:
    return np.frombuffer(message.data, dtype=kind).reshape(message.height, message.width)


def _obstacles(
    points: NDArray[np.void], labels: LabelImage, anomaly: FloatImage, label_space: LabelSpace
) -> tuple[Obstacle, ...]:
    """The listed obstacles with their regions, which the list does not carry.

    A region is found again in the recorded segmentation, and recognised by its mean score.
    """
    unknown = labels == label_space.unknown_id
    prediction = Prediction(labels, np.where(unknown, anomaly, np.float32(0)), labels, 0.0)
    everywhere = np.ones(labels.shape, np.bool_)
    everything = ObstacleConfig(min_blind_area_px=1, max_obstacles=labels.size)
    regions = list(find_obstacles(prediction, None, everywhere, None, label_space, everything))
    found = []
    for point in points:
        region = min(regions, key=lambda r: abs(r.mean_score - float(point["score"])), default=None)
        if region is None or abs(region.mean_score - float(point["score"])) > SCORE_TOLERANCE:
            raise ValueError(f"obstacle {int(point['id'])} of the list is not in the segmentation")
        regions.remove(region)
        found.append(
            replace(
                region,
                id=int(point["id"]),
                distance=float(point["distance"]),
                distance_sigma=float(point["sigma"]),
                valid_share=float(point["valid_share"]),
                position=(float(point["x"]), float(point["y"]), float(point["z"])),
                width=float(point["width"]),
                height=float(point["height"]),
                nearest_classes=((int(point["nearest_class"]), math.nan),),
            )
        )
    return tuple(found)
