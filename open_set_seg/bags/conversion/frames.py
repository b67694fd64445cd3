"""What every stored stereo data set becomes on its way into a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from open_set_seg.frame import Camera, DisparityMap, ImageRGB, LabelImage
from open_set_seg.stereo.stored import Mount


class ConversionError(ValueError):
    """A data set cannot be converted at all; the message says why."""


@dataclass(frozen=True)
class Fault:
    """Something that was left out.

    Attributes:
        path: the file that is missing or cannot be used.
        kind: ``left image`` (its whole frame is left out), ``right image``, ``disparity``,
            ``camera`` (the disparity goes with it) or ``labels``.
        reason: in words.
    """

    path: Path
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason} ({self.kind} left out)"


@dataclass(frozen=True)
class FrameFiles:
    """Where one frame lies; None for what the data set has no folder of.

    Attributes:
        id: unique in its sequence; number: of the camera's pictures, None where unknown.
    """

    id: str
    left: Path
    number: int | None = None
    right: Path | None = None
    disparity: Path | None = None
    camera: Path | None = None
    labels: Path | None = None


@dataclass(frozen=True)
class RecordedSequence:
    """Frames that were recorded in one go, in that order."""

    name: str
    scene: str
    frames: tuple[FrameFiles, ...]


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture with its file's bytes where these are what was decoded.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        data: PNG or JPEG; None where the pixels are not those of a file.
        kind: of the data: ``png`` or ``jpeg``; "" without.
    """

    pixels: ImageRGB
    data: bytes | None = None
    kind: str = ""


@dataclass(frozen=True)
class StereoCamera:
    """A rectified pair.

    Attributes:
        left, right: cameras of equal focal length; baseline: metres.
        mount: of the left camera in the vehicle; None where unknown.
    """

    left: Camera
    right: Camera
    baseline: float
    mount: Mount | None = None


@dataclass(frozen=True, eq=False)
class StoredFrame:
    """What could be read of one frame; None for what is not there or cannot be used."""

    left: Picture | None
    right: Picture | None = None
    camera: StereoCamera | None = None
    disparity: DisparityMap | None = None
    labels: LabelImage | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class LabelCodes:
    """What the codes of ground-truth labels mean.

    Attributes:
        name: as the publisher names them.
        inliers, outliers, ignored: codes; a data set without outliers has none.
        names: of codes, where there are any.
    """

    name: str
    inliers: tuple[int, ...]
    outliers: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "encoding": "mono8",
            "inliers": list(self.inliers),
            "outliers": list(self.outliers),
            "ignored": list(self.ignored),
            "names": {str(code): name for code, name in self.names.items()},
        }


class StereoSource(Protocol):
    """A stored data set."""

    @property
    def description(self) -> Mapping[str, Any]:
        """Name, split and the like, for ``/dataset/info``; numbers and strings."""

    @property
    def sequences(self) -> Sequence[RecordedSequence]:
        """In the order of recording."""

    @property
    def label_codes(self) -> LabelCodes | None:
        """Of the ground truth; None without."""

    def load(self, frame: FrameFiles) -> StoredFrame:
        """Read a frame; what cannot be used is a fault of the result, never an error."""
