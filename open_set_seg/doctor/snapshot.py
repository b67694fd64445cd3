"""What was seen of a recording or a live system: the one thing that the checks of both judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from open_set_seg.stereo import RangeConfig

Role = Literal["image", "camera_info", "disparity", "depth", "right_camera_info"]
Policy = Literal["reliable", "best_effort", "volatile", "transient_local", "unknown"]

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO, DISPARITY = "sensor_msgs/msg/CameraInfo", "stereo_msgs/msg/DisparityImage"
# What each input may be; the first is what the node takes by default.
KINDS: Mapping[Role, tuple[str, ...]] = MappingProxyType(
    {
        "image": (IMAGE, COMPRESSED),
        "camera_info": (CAMERA_INFO,),
        "disparity": (DISPARITY,),
        "depth": (IMAGE,),
        "right_camera_info": (CAMERA_INFO,),
    }
)
# As the node calls them: what a remapping has on its left side.
NAMES: Mapping[Role, str] = MappingProxyType(
    {role: role.replace("right_", "right/") for role in KINDS}
)
SAMPLES = 6  # messages of a topic that are decoded


@dataclass(frozen=True)
class Endpoint:
    """A publisher or a subscription.

    Attributes:
        node: its full name; ``recorded`` where a recording does not say.
        kind: type of its messages.
    """

    node: str
    kind: str
    reliability: Policy = "unknown"
    durability: Policy = "unknown"


@dataclass(frozen=True, eq=False)
class Stream:
    """What was seen of one topic.

    Attributes:
        publishers, subscribers: known ones, doctor's own left out.
        stamps_ns: of the headers, in the order in which the messages came.
        arrivals_ns: when each was received or recorded, by the clock of who did.
        samples: some of the messages, from the first to the last.
        largest_bytes: of a serialised message.
        total: messages in the whole recording; None for a live system.
        faults: why messages could not be read, one text a kind.
    """

    topic: str
    kind: str
    publishers: tuple[Endpoint, ...] = ()
    subscribers: tuple[Endpoint, ...] = ()
    stamps_ns: tuple[int, ...] = ()
    arrivals_ns: tuple[int, ...] = ()
    samples: tuple[Any, ...] = ()
    largest_bytes: int = 0
    total: int | None = None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """One status of a node's diagnostics; ``level`` 0 ok, 1 warning, 2 error, 3 stale."""

    name: str
    level: int
    message: str


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A recording, or a live system over some seconds.

    Attributes:
        source: which of the two.
        streams: the detector's inputs that were found.
        wanted: topic that was asked for, for each input.
        topics: every topic that there is, with its type.
        others: endpoints of further topics, whose policies are compared too.
        seconds: how long was looked.
        whole_seconds: of the recording; as ``seconds`` for a live system.
        broken: why reading ended early; empty where it did not.
        statuses: the newest diagnostics, one a name.
        sim_time: whether the node takes its time from /clock; None: not known.
        clock_publishers: of /clock.
        node: the detector's name where one was asked for and found.
        tolerance_s: largest difference of stamps that the node pairs.
        range_config: how the node computes range.
        segment_bytes: of this machine's shared memory for messages; None: not Fast DDS.
    """

    source: Literal["recording", "live"]
    streams: Mapping[Role, Stream] = field(default_factory=dict)
    wanted: Mapping[Role, str] = field(default_factory=dict)
    topics: Mapping[str, str] = field(default_factory=dict)
    others: tuple[Stream, ...] = ()
    seconds: float = 0.0
    whole_seconds: float = 0.0
    broken: str = ""
    statuses: tuple[Status, ...] = ()
    sim_time: bool | None = None
    clock_publishers: int = 0
    node: str = ""
    tolerance_s: float = 0.01
    range_config: RangeConfig = field(default_factory=RangeConfig)
    segment_bytes: int | None = None

    @property
    def range_role(self) -> Role | None:
        """The input that distances come from, where there is one."""
        roles: tuple[Role, ...] = ("disparity", "depth")
        return next((role for role in roles if role in self.streams), None)

    @property
    def images(self) -> Stream | None:
        """The image stream."""
        return self.streams.get("image")


class Sampler:
    """Keeps messages spread evenly over a stream of unknown length, the first and last among them.

    Every ``stride``-th message is kept; where there are too many, every other one goes and the
    stride doubles.
    """

    def __init__(self, wanted: int = SAMPLES) -> None:
        self._wanted, self._stride, self._seen = wanted, 1, 0
        self._kept: list[Any] = []
        self._last: Any = None

    def add(self, message: Any) -> None:
        """Take a message."""
        if self._seen % self._stride == 0:
            self._kept.append(message)
        if len(self._kept) > self._wanted:
            self._kept = self._kept[::2]
            self._stride *= 2
        self._last = message
        self._seen += 1

    @property
    def messages(self) -> list[Any]:
        """The kept ones and the last, in their order."""
        missing = self._seen and self._kept[-1] is not self._last
        return [*self._kept, self._last] if missing else list(self._kept)


def choose_topics(topics: Mapping[str, str], wanted: Mapping[Role, str]) -> dict[Role, str]:
    """The topic of each input: the wanted one where it is there, else the only likely one.

    Likely is a topic of the right type whose name does not say that it is something else.
    """
    chosen: dict[Role, str] = {role: name for role, name in wanted.items() if name in topics}
    if "image" not in chosen:
        _choose(chosen, "image", topics, lambda name: not _says(name, _NO_CAMERA))
    if "disparity" not in chosen and "depth" not in chosen:
        _choose(chosen, "disparity", topics, lambda name: True)
    if "image" in chosen and "camera_info" not in chosen:
        beside = chosen["image"].removesuffix("/compressed").rpartition("/")[0] + "/camera_info"
        if topics.get(beside) == CAMERA_INFO:
            chosen["camera_info"] = beside
        else:
            _choose(chosen, "camera_info", topics, lambda name: "right" not in name)
    if "right_camera_info" not in chosen:
        _choose(chosen, "right_camera_info", topics, lambda name: "right" in name)
    return chosen


# Words in names of images that are no left or single camera's picture.
_NO_CAMERA = (
    "right", "depth", "disparity", "mask", "segmentation", "anomaly", "overlay", "heatmap",
    "confidence", "label", "ground_truth", "detector", "thermal", "infra2",
)  # fmt: skip


def _says(name: str, words: tuple[str, ...]) -> bool:
    return any(word in name for word in words)


def _choose(chosen: dict[Role, str], role: Role, topics: Mapping[str, str], fits: Any) -> None:
    found = [name for name, kind in topics.items() if kind in KINDS[role] and fits(name)]
    rectified = [name for name in found if "rect" in name]
    for candidates in (found, rectified):
        if len(candidates) == 1 and candidates[0] not in chosen.values():
            chosen[role] = candidates[0]
            return
