"""What every data set hands out: an image with its truth, translated at the door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import Camera, ImageRGB, LabelImage
from open_set_seg.label_spaces import LabelSpace


class DatasetError(ValueError):
    """A data set that is not where it was looked for, or not as its publisher lays it out."""


class CorruptFileError(DatasetError):
    """A file that cannot be read as what it should be.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


@dataclass(frozen=True, eq=False)
class EncodedDisparity:
    """A 16-bit disparity image as Cityscapes and LostAndFound store it, with its stereo camera.

    Attributes:
        codes: (H, W) uint16; 0 is invalid, else the disparity is (code - 1) / 256 pixels.
        baseline: metres.
        camera: of the left image.
    """

    codes: NDArray[np.uint16]
    baseline: float
    camera: Camera


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One image with what is known about it.

    Attributes:
        id: unique in its data set; names files, may contain ``/``.
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 ids of the data set's label space, K = outlier, 255 = unlabelled; None
            where no classes are known.
        outliers: (H, W) uint8, 0 inlier, 1 outlier, 255 ignore; None where the truth is hidden.
        disparity: where the data set has it.
        group: town or sequence that it belongs to; "" where there is none.
    """

    id: str
    image: ImageRGB
    labels: LabelImage | None = None
    outliers: LabelImage | None = None
    disparity: EncodedDisparity | None = None
    group: str = ""


class Dataset(Protocol):
    """Frames by index; loading one never depends on which were loaded before."""

    @property
    def name(self) -> str:
        """Key in ``DATASETS``."""

    @property
    def label_space(self) -> LabelSpace | None:
        """Of ``LabelledFrame.labels``; None where there are none."""

    @property
    def ids(self) -> Sequence[str]:
        """Of all frames, in order."""

    def load(self, index: int) -> LabelledFrame:
        """The frame at ``index``.

        Raises:
            CorruptFileError: one of its files cannot be used.
        """
