"""Image files that were cut short, found without decoding all others.

A download or an unpacking that broke off leaves files without their end, so a look at both ends
finds them in a fraction of the time that decoding takes. Whether a suspicious file is damaged
indeed is left to the decoder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from training.datasets.files import read_labels, read_rgb, read_rgb16
from training.datasets.frames import CorruptFileError, Dataset
from training.datasets.paired import PairedDataset
from training.datasets.panoptic import PanopticDataset

# First bytes of a format, and what is among its last.
ENDS = (
    (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"),
    (b"\xff\xd8\xff", b"\xff\xd9"),
)
# TIFF keeps its directory anywhere, and WebP its length in its head: their ends say nothing.
OPEN_ENDED = (b"II*\x00", b"MM\x00*", b"RIFF", b"BM", b"P5", b"P6")
_TAIL = 64


def require_whole_files(dataset: Dataset) -> None:
    """Look at both ends of all image files of a data set on disk.

    Raises:
        CorruptFileError: the first file, in the order of the frames, that cannot be decoded.
    """
    files = list_image_files(dataset)
    # What is waited for is the disk.
    with ThreadPoolExecutor(4 * (os.cpu_count() or 1)) as pool:
        whole = list(pool.map(has_both_ends, files))
    for path, fine in zip(files, whole, strict=True):
        if not fine:
            _decode(path)


def list_image_files(dataset: Dataset) -> list[Path]:
    """Images and truths of all frames, in their order; empty for data sets of another make."""
    files: Iterable[tuple[Path | None, ...]] = ()
    if isinstance(dataset, PairedDataset):
        files = ((each.image, each.codes) for each in dataset.files)
    elif isinstance(dataset, PanopticDataset):
        files = ((each.image, each.segment_ids) for each in dataset.files)
    return [path for frame in files for path in frame if path is not None]


def has_both_ends(path: Path) -> bool:
    """Whether a file begins as an image and ends as that kind of image does."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            tail = file.read()
    except OSError:
        return False
    if head.startswith(OPEN_ENDED):
        return True
    return any(head.startswith(first) and last in tail for first, last in ENDS)


def _decode(path: Path) -> None:
    """Pass where any reader can read ``path``: which one is right, only its data set knows."""
    readers: tuple[Callable[[Path], object], ...] = (read_rgb, read_labels, read_rgb16)
    failures = []
    for read in readers:
        try:
            read(path)
        except CorruptFileError as error:
            failures.append(error)
        else:
            return
    raise failures[0]
