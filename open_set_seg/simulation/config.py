"""What kind of scene or drive to make, checked before any work is done."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

FamilyGroup = Literal["development", "sealed"]
FAMILY_GROUPS: tuple[FamilyGroup, ...] = ("development", "sealed")


@dataclass(frozen=True)
class SceneConfig:
    """Args:
        length: metres of road ahead of the start that are furnished.
        unknown_objects: whether anything unknown stands on the road.
        families: group of the unknown families: ``development``, or ``sealed`` for a final
            evaluation only.
        camouflaged_share: share of unknown objects in colours of the known world.
        spacing: None for 1 to 3 unknown objects at log-uniform distances of 5 to 50 m (a still);
            (low, high) metres from one unknown object to the next (a drive).

    Raises:
        ValueError: a number out of range or an unknown group.
    """

    length: float = 150.0
    unknown_objects: bool = True
    families: FamilyGroup = "development"
    camouflaged_share: float = 0.35
    spacing: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.length) and 20.0 <= self.length <= 10_000.0):
            raise ValueError(f"length must be 20 to 10000 m, not {self.length}")
        if self.families not in FAMILY_GROUPS:
            raise ValueError(f"families must be one of {FAMILY_GROUPS}, not {self.families!r}")
        if not 0.0 <= self.camouflaged_share <= 1.0:
            raise ValueError(f"camouflaged_share must be 0 to 1, not {self.camouflaged_share}")
        if self.spacing is not None and not 3.0 <= self.spacing[0] <= self.spacing[1]:
            raise ValueError(f"spacing must be (low, high) with 3 <= low <= high: {self.spacing}")


@dataclass(frozen=True)
class DriveConfig:
    """Args:
        seed: of the scene.
        frames: number of frames; rate_hz: frames a second.
        width, height: of the images, pixels.
        speed: of the car, m/s; the world is made long enough for the way it drives.
        right: whether the right images are rendered as well.
        supersampling: samples along each side of a pixel that lies on an edge, 1 to 4.
        start_ns: stamp of the first frame.
        unknown_objects, families, camouflaged_share, spacing: see ``SceneConfig``.

    Raises:
        ValueError: a number out of range.
    """

    seed: int = 0
    frames: int = 100
    rate_hz: float = 10.0
    width: int = 512
    height: int = 256
    speed: float = 8.0
    right: bool = False
    supersampling: int = 2
    start_ns: int = 0
    unknown_objects: bool = True
    families: FamilyGroup = "development"
    camouflaged_share: float = 0.35
    spacing: tuple[float, float] = (12.0, 20.0)

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames must be at least 1, not {self.frames}")
        if not (math.isfinite(self.rate_hz) and 0.1 <= self.rate_hz <= 1000.0):
            raise ValueError(f"rate_hz must be 0.1 to 1000, not {self.rate_hz}")
        if not (math.isfinite(self.speed) and 0.0 <= self.speed <= 50.0):
            raise ValueError(f"speed must be 0 to 50 m/s, not {self.speed}")
        check_view(self.width, self.height, self.supersampling)
        self.scene()

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return (self.frames - 1) / self.rate_hz

    def scene(self) -> SceneConfig:
        """The scene that is long enough for this drive."""
        return SceneConfig(
            length=150.0 + self.speed * self.duration,
            unknown_objects=self.unknown_objects,
            families=self.families,
            camouflaged_share=self.camouflaged_share,
            spacing=self.spacing,
        )


def check_view(width: int, height: int, supersampling: int) -> None:
    """Raise ``ValueError`` unless an image of this size can be rendered."""
    if not (16 <= width <= 8192 and 16 <= height <= 8192):
        raise ValueError(f"width and height must be 16 to 8192 pixels, not {width} x {height}")
    if not 1 <= supersampling <= 4:
        raise ValueError(f"supersampling must be 1 to 4, not {supersampling}")
