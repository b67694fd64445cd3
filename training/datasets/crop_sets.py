"""Random crops of images without labels, for the pre-training of normalizing flows.

NFlowJS pre-trains on 64 x 64 pixels of Vistas, on 32 x 32 of the inliers of BSB-OOD (Sensors 2024,
section 4.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.frames import Dataset, DatasetError
from training.datasets.joined import JoinedFrames
from training.datasets.paired import PairedDataset
from training.datasets.training_sets import Bytes, LabelledImages, Source, open_sources

# Data sets without outliers, so that an image of theirs may be cut anywhere, without its labels.
CLOSED = ("cityscapes", "vistas", "vistas_2", "ade20k")


class CropSet:
    """Square crops of images; an index is that of an image.

    Args:
        images: with labels, of which only the outlier's id is looked at.
        size: side of a crop.
        outlier_id: no crop shows a pixel with this label.
        mirror: probability.
        short_side: crops are cut as if the shorter side of every image were so long; None: as it
            is.
    """

    def __init__(
        self,
        images: LabelledImages,
        size: int,
        outlier_id: int,
        mirror: float = 0.5,
        short_side: int | None = None,
    ) -> None:
        self.images = images
        self.size = size
        self.outlier_id = outlier_id
        self.mirror = mirror
        self.short_side = short_side

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int, random: np.random.Generator) -> Bytes:
        """A crop (size, size, 3) of an image, every place equally likely.

        Raises:
            CorruptFileError: a file that cannot be used.
            DatasetError: the image is too small, or outliers leave no place.
        """
        image, labels = self.images.load(index)
        side = self.size
        if self.short_side is not None:
            side = max(1, round(self.size * min(labels.shape) / self.short_side))
        top, left = self._choose_place(labels == self.outlier_id, side, index, random)
        cut = np.ascontiguousarray(image[top : top + side, left : left + side])
        if side != self.size:
            interpolation = cv2.INTER_AREA if side > self.size else cv2.INTER_LINEAR
            cut = np.asarray(cv2.resize(cut, (self.size, self.size), interpolation=interpolation))
        return np.ascontiguousarray(cut[:, ::-1] if random.random() < self.mirror else cut)

    def _choose_place(
        self, outliers: NDArray[np.bool_], side: int, index: int, random: np.random.Generator
    ) -> tuple[int, int]:
        rows, columns = (length - side + 1 for length in outliers.shape)
        if min(rows, columns) < 1:
            height, width = outliers.shape
            raise DatasetError(f"image {index} of {width} x {height} is too small for {side}")
        if not outliers.any():
            return int(random.integers(rows)), int(random.integers(columns))
        counts = cv2.integral(outliers.astype(np.uint8))
        shown = counts[side:, side:] - counts[:-side, side:] - counts[side:, :-side]
        free = np.flatnonzero(shown + counts[:-side, :-side] == 0)
        if not len(free):
            raise DatasetError(f"image {index}: no place of {side} x {side} without an outlier")
        top, left = divmod(int(free[random.integers(len(free))]), columns)
        return top, left


class OutlierMaps:
    """Images with 1 where they show an outlier, and 0 or 255 elsewhere, by index."""

    def __init__(self, frames: JoinedFrames) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def load(self, index: int) -> tuple[Bytes, Bytes]:
        """Image (H, W, 3) and outliers (H, W); none in a frame without truth."""
        _, frame = self.frames.load(index)
        if frame.outliers is None:
            return frame.image, np.zeros(frame.image.shape[:2], dtype=np.uint8)
        return frame.image, frame.outliers


def open_crop_set(
    sources: Sequence[Source],
    size: int,
    mirror: float = 0.5,
    short_side: int | None = None,
    skip_corrupt: bool = False,
    split: str = "train",
) -> CropSet:
    """Crops of data sets on disk; the truth is read only where a data set may have outliers.

    Args:
        sources: which.
        size, mirror, short_side: see ``CropSet``.
        skip_corrupt, split: see ``open_training_set``.

    Raises:
        DatasetError: as ``open_sources``.
        CorruptFileError: a file that was cut short.
    """
    datasets = open_sources(sources, split, require_whole=not skip_corrupt)
    frames = JoinedFrames([_without_truth(each) for each in datasets], skip_corrupt)
    return CropSet(OutlierMaps(frames), size, 1, mirror, short_side)


def _without_truth(dataset: Dataset) -> Dataset:
    if not isinstance(dataset, PairedDataset) or dataset.name not in CLOSED:
        return dataset
    files = [replace(each, codes=None) for each in dataset.files]
    return PairedDataset(dataset.name, dataset.label_space, files, None, None)
