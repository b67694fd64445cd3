"""Whether an obstacle's scene was recorded already: the same picture, the same place in it.

A recording that is played in a loop, or a robot that stands in front of an obstacle which comes and
goes, gives new ids for ever; what it would record is always the same.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import ImageRGB

SCENES_REMEMBERED = 512
# Noise and compression move a mean over a hundred pixels and more by less than this.
MAX_DIFFERENCE = 3.0
MIN_OVERLAP = 0.3
_SIZE = (48, 24)


@dataclass(frozen=True, eq=False)
class Scene:
    """What is remembered of a picture with an obstacle.

    Attributes:
        thumbnail: (24, 48) uint8 grey values.
        box: (left, top, right, bottom) as shares of width and height.
    """

    thumbnail: NDArray[np.uint8]
    box: tuple[float, float, float, float]

    def resembles(self, other: Scene) -> bool:
        """Whether both show the same.

        Grey values differ by at most 3 of 255 on average, and the boxes' intersection is at least
        0.3 of their union.
        """
        difference = cv2.absdiff(self.thumbnail, other.thumbnail).mean()
        return bool(difference <= MAX_DIFFERENCE) and self._overlap(other) >= MIN_OVERLAP

    def _overlap(self, other: Scene) -> float:
        (left, top, right, bottom), (a, b, c, d) = self.box, other.box
        width, height = min(right, c) - max(left, a), min(bottom, d) - max(top, b)
        common = max(0.0, width) * max(0.0, height)
        union = (right - left) * (bottom - top) + (c - a) * (d - b) - common
        return common / union if union > 0 else 1.0


class Viewer:
    """Gives the scenes of an image (H, W, 3), which is made small once for all its obstacles."""

    def __init__(self, image: ImageRGB) -> None:
        self._image = image

    @cached_property
    def _thumbnail(self) -> NDArray[np.uint8]:
        small = cv2.resize(self._image, _SIZE, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)

    def look_at(self, box: tuple[int, int, int, int]) -> Scene:
        """The scene with an obstacle in ``box`` (left, top, width, height)."""
        height, width = self._image.shape[:2]
        left, top, wide, high = box
        shares = (left / width, top / height, (left + wide) / width, (top + high) / height)
        return Scene(self._thumbnail, shares)


class SceneMemory:
    """The scenes that were recorded, the newest 512 of them."""

    def __init__(self) -> None:
        self._scenes: deque[Scene] = deque(maxlen=SCENES_REMEMBERED)

    def contains(self, scene: Scene) -> bool:
        """Whether a scene resembles one of them."""
        return any(scene.resembles(known) for known in self._scenes)

    def add(self, scene: Scene) -> None:
        """Remember one more."""
        self._scenes.append(scene)

    def forget(self, scene: Scene) -> None:
        """Forget one: its recording failed."""
        self._scenes = deque((one for one in self._scenes if one is not scene), SCENES_REMEMBERED)
