"""Data sets of image files with a file of codes each, as most are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from open_set_seg.frame import ImageRGB
from open_set_seg.label_spaces import LabelSpace
from training.datasets.codes import CodeTable
from training.datasets.files import read_labels, read_rgb
from training.datasets.frames import CorruptFileError, DatasetError, LabelledFrame

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


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
        outliers: codes to 0 inlier, 1 outlier, 255 ignore; None where the truth is hidden.

    Raises:
        DatasetError: no files, or an id twice.
    """

    def __init__(
        self,
        name: str,
        label_space: LabelSpace | None,
        files: Sequence[PairedFiles],
        labels: CodeTable | None,
        outliers: CodeTable | None,
    ) -> None:
        self.name = name
        self.label_space = label_space
        self.files = tuple(sorted(files, key=lambda each: each.id))
        self.ids = tuple(each.id for each in self.files)
        require_unique(self.ids)
        self._labels = labels
        self._outliers = outliers

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
        labels, outliers = (
            None if table is None else table.translate(codes, files.codes)
            for table in (self._labels, self._outliers)
        )
        return LabelledFrame(files.id, image, labels, outliers, group=files.group)


def require_unique(ids: Sequence[str]) -> None:
    """DatasetError where there are no ids, or where one is there twice; they are sorted."""
    if not ids:
        raise DatasetError("no frames were found")
    for one, next_one in pairwise(ids):
        if one == next_one:
            raise DatasetError(f"two frames have the id {one}")


def require_size(image: ImageRGB, codes: NDArray[Any], path: Path) -> None:
    """CorruptFileError where the codes of ``path`` are not as large as their image."""
    if image.shape[:2] != codes.shape:
        size, found = (f"{w} x {h}" for h, w in (image.shape[:2], codes.shape))
        raise CorruptFileError(path, f"is {found}, its image is {size} pixels")


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


def list_images(folder: Path) -> list[Path]:
    """Images in ``folder``, by their suffix in whatever case, sorted.

    Raises:
        DatasetError: no such folder, or no image in it.
    """
    images = [path for path in list_files(folder, "*") if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise DatasetError(f"{folder}: no image in it ({', '.join(IMAGE_SUFFIXES)})")
    return images


def require_files(paths: Sequence[Path], what: str) -> None:
    """DatasetError where files are missing: how many, and which is the first."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DatasetError(f"{len(missing)} of {len(paths)} {what} are missing, first {missing[0]}")
