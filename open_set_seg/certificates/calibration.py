"""Images to compare two networks on, and to choose the ranges of 8-bit integers by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from open_set_seg.frame import ImageRGB, LabelImage
from open_set_seg.label_spaces import STREETHAZARDS, LabelSpace
from open_set_seg.simulation import VALIDATION_SEEDS, render_still

# Certificates take validation seeds from the start, quantisation takes them from the end.
MOST_SCENES = 1000


@dataclass(frozen=True, eq=False)
class CalibrationFrame:
    """An image, with its truth where there is one.

    Attributes:
        image: (H, W, 3) RGB.
        labels: (H, W) in the label space of the set: a known class, K (unknown) or 255
            (unlabelled); None without truth.
    """

    image: ImageRGB
    labels: LabelImage | None = None


class CalibrationSet(Protocol):
    """Frames of one size, made or read when they are asked for.

    Attributes:
        label_space: of the labels; None without truth.
    """

    @property
    def label_space(self) -> LabelSpace | None: ...

    @property
    def description(self) -> str:
        """Which frames these are, in words."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[CalibrationFrame]: ...


@dataclass(frozen=True)
class SimulatedScenes:
    """Scenes of validation seeds with unknown objects of the development families.

    Attributes:
        seeds: of the scenes.
        width, height: pixels.
    """

    seeds: Sequence[int]
    width: int
    height: int

    @classmethod
    def first(cls, count: int, width: int, height: int) -> SimulatedScenes:
        """The first ``count`` validation scenes; ``ValueError`` for less than 1 or too many."""
        return cls(VALIDATION_SEEDS[: _check_count(count)], width, height)

    @classmethod
    def last(cls, count: int, width: int, height: int) -> SimulatedScenes:
        """The last ``count``: none of them is among ``first``."""
        return cls(VALIDATION_SEEDS[-_check_count(count) :], width, height)

    @property
    def label_space(self) -> LabelSpace:
        """Of the simulation."""
        return STREETHAZARDS

    @property
    def description(self) -> str:
        """See ``CalibrationSet``."""
        return (
            f"{len(self.seeds)} simulated scenes of {self.width}x{self.height} (validation seeds "
            f"{self.seeds[0]} to {self.seeds[-1]}, unknown objects of the development families)"
        )

    def __len__(self) -> int:
        return len(self.seeds)

    def __iter__(self) -> Iterator[CalibrationFrame]:
        for seed in self.seeds:
            frame = render_still(seed, self.width, self.height)
            yield CalibrationFrame(frame.left, frame.labels)


@dataclass(frozen=True)
class Pictures:
    """Pictures from files, without truth.

    Attributes:
        paths: of the files.
        width, height: pixels that every picture must have.
        read: RGB image of a file.
        where: where they lie, in words.
    """

    paths: Sequence[Path]
    width: int
    height: int
    read: Callable[[Path], ImageRGB]
    where: str

    @property
    def label_space(self) -> None:
        """There is no truth."""
        return

    @property
    def description(self) -> str:
        """See ``CalibrationSet``."""
        return f"{len(self.paths)} pictures of {self.width}x{self.height} ({self.where})"

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[CalibrationFrame]:
        for path in self.paths:
            image = self.read(path)
            if image.shape[:2] != (self.height, self.width):
                raise ValueError(
                    f"expected calibration pictures of {self.width}x{self.height} pixels, found "
                    f"{image.shape[1]}x{image.shape[0]} in {path}"
                )
            yield CalibrationFrame(image)


def _check_count(count: int) -> int:
    if not 1 <= count <= MOST_SCENES:
        raise ValueError(f"expected 1 to {MOST_SCENES} simulated scenes, found {count}")
    return count
