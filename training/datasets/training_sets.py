"""What a segmentation network is trained on: images with labels in one label space, by index.

A training frame never teaches an outlier: such pixels are unlabelled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.files import write_whole
from open_set_seg.label_spaces import UNLABELLED, LabelSpace
from training.datasets.file_ends import require_whole_files
from training.datasets.frames import Dataset, DatasetError
from training.datasets.joined import JoinedFrames
from training.datasets.registry import DATASETS, open_dataset

Bytes = NDArray[np.uint8]
Counts = NDArray[np.int64]


class Source(Protocol):
    """One split of a data set on disk.

    Attributes:
        name: key in ``DATASETS``.
        root: its own folder, or a folder that holds it.
        split: None for the one that is usual.
    """

    @property
    def name(self) -> str: ...
    @property
    def root(self) -> str: ...
    @property
    def split(self) -> str | None: ...


class LabelledImages(Protocol):
    """Images with labels, by index: a ``TrainingSet``, or rendered scenes."""

    def __len__(self) -> int: ...

    def load(self, index: int) -> tuple[Bytes, Bytes]:
        """Image (H, W, 3) and labels (H, W)."""


class TrainingSet:
    """Frames of one or several data sets, one after another; threads may load at once.

    Labels of other label spaces are translated by the names of the classes; a class that the target
    does not have is unlabelled.

    Args:
        datasets: in the order of the indices.
        space: of the labels that are handed out.
        skip_corrupt: see ``JoinedFrames``.

    Raises:
        DatasetError: no data set, one without classes, or a class of ``space`` that none has.
    """

    def __init__(
        self, datasets: Sequence[Dataset], space: LabelSpace, skip_corrupt: bool = False
    ) -> None:
        self.space = space
        self._frames = JoinedFrames(datasets, skip_corrupt)
        self._tables = [translation(each, space) for each in datasets]
        taught = np.unique(np.concatenate(self._tables))
        untaught = [name for label, name in enumerate(space.classes) if label not in taught]
        if untaught:
            names = ", ".join(each.name for each in datasets)
            raise DatasetError(f"{names}: no frame of the class {', '.join(untaught)}")

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """In the order of the indices."""
        return self._frames.datasets

    @property
    def skipped(self) -> Mapping[Path, str]:
        """Corrupt files that were left out so far, with what is wrong."""
        return self._frames.skipped

    def __len__(self) -> int:
        return len(self._frames)

    def load(self, index: int) -> tuple[Bytes, Bytes]:
        """Image (H, W, 3) and labels (H, W), uint8 in 0..K-1 and 255.

        Raises:
            CorruptFileError: as ``JoinedFrames.load``.
            DatasetError: a frame without labels, as those of a test split.
        """
        number, frame = self._frames.load(index)
        if frame.labels is None:
            name = self.datasets[number].name
            raise DatasetError(f"{name}: frame {frame.id} has no labels to train on")
        labels = np.asarray(cv2.LUT(frame.labels, self._tables[number]), dtype=np.uint8)
        if frame.outliers is not None:
            labels[frame.outliers == 1] = UNLABELLED
        return frame.image, labels

    def count_classes(self, num_classes: int, every: int = 4, most: int = 500) -> Counts:
        """Pixels of every class (K,), counted on every ``every``-th frame.

        On large sets frames are taken further apart, so that no more than ``most`` are read.
        """
        every = max(every, -(-len(self) // most))

        def count(index: int) -> Counts:
            _, labels = self.load(index)
            return np.asarray(np.bincount(labels.reshape(-1), minlength=UNLABELLED + 1))

        # Decoding leaves Python's lock, so threads are enough.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            counts = np.stack(list(pool.map(count, range(0, len(self), every))))
        return np.asarray(counts.sum(axis=0)[:num_classes], dtype=np.int64)


def open_training_set(
    sources: Sequence[Source],
    space: LabelSpace,
    skip_corrupt: bool = False,
    split: str = "train",
) -> TrainingSet:
    """Data sets on disk as one training set.

    Args:
        sources: which.
        space: of the labels that are handed out.
        skip_corrupt: see ``JoinedFrames``; where corrupt files are not skipped, files that were cut
            short are looked for now.
        split: of sources that name none.

    Raises:
        DatasetError: as ``open_sources`` and ``TrainingSet``.
        CorruptFileError: a file that was cut short.
    """
    datasets = open_sources(sources, split, require_whole=not skip_corrupt)
    return TrainingSet(datasets, space, skip_corrupt)


def open_sources(
    sources: Sequence[Source], split: str = "train", require_whole: bool = True
) -> list[Dataset]:
    """The data sets of sources.

    Args:
        sources: which.
        split: of sources that name none.
        require_whole: look for files that were cut short now, before they are met in a training.

    Raises:
        DatasetError: a data set is not there; the message shows the expected layout and how to get
            it. Or there is no such data set or split.
        CorruptFileError: a file that was cut short.
    """
    for source in sources:
        if source.name not in DATASETS:
            raise DatasetError(f"data set {source.name!r}: expected one of {', '.join(DATASETS)}")
    datasets = [open_dataset(each.name, each.root, each.split or split) for each in sources]
    if require_whole:
        for dataset in datasets:
            require_whole_files(dataset)
    return datasets


def translation(dataset: Dataset, target: LabelSpace) -> Bytes:
    """Table of 256 labels: what a data set's labels are in ``target``, by their classes' names.

    Outliers and classes that ``target`` does not have are 255, unlabelled.

    Raises:
        DatasetError: a data set without classes.
    """
    if dataset.label_space is None:
        raise DatasetError(f"{dataset.name}: has no classes to train on")
    table = np.full(UNLABELLED + 1, UNLABELLED, dtype=np.uint8)
    for label, name in enumerate(dataset.label_space.classes):
        if name in target.classes:
            table[label] = target.id_of(name)
    return table


def load_or_count(path: Path, frames: TrainingSet, every: int = 4, most: int = 500) -> Counts:
    """``frames.count_classes`` of all classes, kept in the file ``path`` for the next call.

    A file that was counted on other frames or in another way is replaced.
    """
    ids = hashlib.sha256()
    for dataset in frames.datasets:
        ids.update("\n".join((dataset.name, *dataset.ids, "")).encode())
    counted = {
        "frames": len(frames),
        "ids_sha256": ids.hexdigest(),
        "classes": list(frames.space.classes),
        "every": every,
        "most": most,
    }
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["counted"] == counted:
            return np.array(content["pixels"], dtype=np.int64)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    counts = frames.count_classes(frames.space.num_classes, every, most)
    write_whole(path, json.dumps({"counted": counted, "pixels": counts.tolist()}, indent=1))
    return counts
