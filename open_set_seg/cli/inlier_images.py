"""Images that show nothing unknown: pictures of a folder, or rendered scenes.

Both can be gone through more than once, and give the same images every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from open_set_seg.cli.files import PICTURES, read_image
from open_set_seg.frame import ImageRGB
from open_set_seg.simulation import VALIDATION_SEEDS, render_still

MOST_SCENES = 10_000


class InlierImages(Protocol):
    """See the module."""

    @property
    def description(self) -> str:
        """What and how many they are, in words."""

    def __len__(self) -> int:
        """How many."""

    def __iter__(self) -> Iterator[ImageRGB]:
        """(H, W, 3) uint8 each; ``ValueError`` names a file that is no picture."""


class Pictures:
    """Pictures of a folder and its subfolders, in the order of their paths.

    Args:
        folder: where they lie.
        limit: at most so many, evenly spaced; None: all.

    Raises:
        ValueError: no such folder, no pictures in it, or a limit below 1.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        if not folder.is_dir():
            raise ValueError(f"expected a folder of pictures, found none at {folder}")
        if limit is not None and limit < 1:
            raise ValueError(f"expected a limit of at least 1 picture, found {limit}")
        found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
        paths = sorted(path for path in found if path.is_file())
        if not paths:
            raise ValueError(f"{folder} holds no pictures")
        count = len(paths) if limit is None else min(limit, len(paths))
        self._paths = [paths[index * len(paths) // count] for index in range(count)]
        self.description = f"{count} of {len(paths)} pictures in {folder}"

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[ImageRGB]:
        return map(read_image, self._paths)


class RenderedScenes:
    """Scenes of known classes alone, kept in memory once rendered.

    They are the last validation scenes: training sees others, and chooses its threshold on the
    first ones.

    Args:
        count: how many.
        width, height: pixels.

    Raises:
        ValueError: a count outside 1 to ``MOST_SCENES``.
    """

    def __init__(self, count: int, width: int, height: int) -> None:
        if not 1 <= count <= MOST_SCENES:
            raise ValueError(f"expected 1 to {MOST_SCENES} rendered scenes, found {count}")
        self._seeds = VALIDATION_SEEDS[-count:]
        self._size = (width, height)
        self._rendered: list[ImageRGB] = []
        self.description = (
            f"{count} rendered scenes of {width} x {height} pixels without unknown objects, seeds "
            f"{self._seeds[0]} to {self._seeds[-1]}"
        )

    def __len__(self) -> int:
        return len(self._seeds)

    def __iter__(self) -> Iterator[ImageRGB]:
        for index, seed in enumerate(self._seeds):
            if index == len(self._rendered):
                scene = render_still(seed, *self._size, unknown_objects=False)
                self._rendered.append(scene.left)
            yield self._rendered[index]
