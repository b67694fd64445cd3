"""Data sets of image files with a file of codes each, as most are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from open_set_seg.frame import ImageRGB, LabelImage
from open_set_seg.label_spaces import UNLABELLED, LabelSpace
from training.datasets.codes import CodeTable
from training.datasets.files import read_labels, read_rgb
from training.datasets.frames import CorruptFileError, DatasetError, LabelledFrame


@dataclass(frozen=True)
class PairedFiles:
    """Where one frame lies.

    Attributes:
        id: of the frame.
        image: file.
        codes: file of its truth; None where the truth is hidden.
        group: town or sequence.
    """

    id: str
    image: Path
    codes: Path | None = None
    group: str = ""


class PairedDataset:
    """Frames of an image file and a file of 8-bit codes; see ``Dataset`` for its interface.

    Args:
        name: key in ``DATASETS``.
        label_space: of the labels; None where no classes are known.
        files: of all frames, in any order; they are sorted by id.
        labels: codes to ids of the label space; None where no classes are known.
        outliers: codes to 0 inlier, 1 outlier, 255 ignore.

    Raises:
        DatasetError: no files, or an id twice.
    """

    def __init__(
        self,
        name: str,
        label_space: LabelSpace | None,
        files: Sequence[PairedFiles],
        labels: CodeTable | None,
        outliers: CodeTable,
    ) -> None:
        self.name = name
        self.label_space = label_space
        self.files = sort_files(files)
        self._labels = labels
        self._outliers = outliers

    @property
    def ids(self) -> Sequence[str]:
        """Of all frames, in order."""
        return [files.id for files in self.files]

    def load(self, index: int) -> LabelledFrame:
        """The frame at ``index``.

        Raises:
            CorruptFileError: a file that cannot be read, that holds an unexpected code, or whose
                size is not that of its image.
        """
        files = self.files[index]
        image = read_rgb(files.image)
        if files.codes is None:
            return LabelledFrame(files.id, image, group=files.group)
        codes = read_labels(files.codes)
        require_size(image, codes, files.codes)
        labels = None if self._labels is None else self._labels.translate(codes, files.codes)
        outliers = self._outliers.translate(codes, files.codes)
        return LabelledFrame(files.id, image, labels, outliers, group=files.group)


def sort_files(files: Sequence[PairedFiles]) -> tuple[PairedFiles, ...]:
    """Sorted by id; DatasetError where there are none or where an id is there twice."""
    ordered = tuple(sorted(files, key=lambda each: each.id))
    if not ordered:
        raise DatasetError("no images were found")
    for one, next_one in pairwise(ordered):
        if one.id == next_one.id:
            raise DatasetError(f"two images have the id {one.id}: {one.image}, {next_one.image}")
    return ordered


def require_size(image: ImageRGB, codes: LabelImage, path: Path) -> None:
    """CorruptFileError where the codes of ``path`` are not as large as their image."""
    if image.shape[:2] != codes.shape:
        size, found = (f"{w} x {h}" for h, w in (image.shape[:2], codes.shape))
        raise CorruptFileError(path, f"is {found}, its image is {size} pixels")


def inliers_only(labels: LabelImage) -> LabelImage:
    """The outlier mask of an image without outliers: 0 where a class is known, else 255."""
    return np.asarray(np.where(labels == UNLABELLED, UNLABELLED, 0), dtype=np.uint8)


def list_files(folder: Path, pattern: str) -> list[Path]:
    """Files in ``folder`` that match the glob pattern, sorted; hidden files are left out.

    Raises:
        DatasetError: no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    # Archives packed on a Mac bring a hidden "._name" beside every file.
    found = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
    if not found:
        raise DatasetError(f"{folder}: no file matches {pattern}")
    return found


def require_files(paths: Sequence[Path], what: str) -> None:
    """DatasetError where files are missing: how many, and which is the first."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DatasetError(f"{len(missing)} of {len(paths)} {what} are missing, first {missing[0]}")
