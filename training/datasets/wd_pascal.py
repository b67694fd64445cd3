"""WD-Pascal (Bevandic et al.): animals of Pascal VOC 2007 pasted at random into WildDash 1.

Every frame of WildDash's validation set gets one bird, cat, cow, dog, horse or sheep, cut out by
its instance mask and pasted at its own scale where chance puts it. Only animals that cover at least
0.7 % of the frame take part. The published figures are means over 50 such pastings; they were
measured on pictures that were resized after the pasting, to a size that is not published, so
nothing is resized here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from open_set_seg.frame import ImageRGB, LabelImage
from training.datasets.entries import DatasetEntry
from training.datasets.files import read_labels, read_rgb
from training.datasets.frames import CorruptFileError, DatasetError, LabelledFrame
from training.datasets.paired import list_files, require_size

IMAGE_SUFFIX = "_100000.png"
WILDDASH_FOLDERS = ("wd_val_01", "wd_val_01/wd_val_01")
VOC_FOLDERS = ("VOCdevkit/VOC2007", "VOC2007")
# Codes of VOC's class masks.
ANIMALS = {3: "bird", 8: "cat", 10: "cow", 12: "dog", 13: "horse", 17: "sheep"}
VOID = 255
SMALLEST_SHARE = 0.007


@dataclass(frozen=True)
class Cutout:
    """One animal that can be pasted.

    Attributes:
        id: name of its picture in VOC.
        instance: its code in the instance mask.
        top, left, height, width: of the box around its pixels.
        area: number of its pixels.
    """

    id: str
    instance: int
    top: int
    left: int
    height: int
    width: int
    area: int


class PastedAnimals:
    """WildDash frames with one animal each.

    Which animal and where depends on ``run`` and the frame's id alone, so that a frame is the same
    on every machine, in any order and beside any other frames; it changes when the set of animals
    on disk does.

    Args:
        root: holds WildDash 1's validation set and Pascal VOC 2007.
        run: number of the pasting.

    Raises:
        DatasetError: frames or animals are missing.
        CorruptFileError: a mask of VOC cannot be used.
    """

    name = "wd_pascal"
    label_space = None

    def __init__(self, root: Path, run: int = 0) -> None:
        wilddash = _find(root, WILDDASH_FOLDERS, f"*{IMAGE_SUFFIX}")
        self._voc = _find(root, VOC_FOLDERS, "SegmentationObject/*.png")
        self._images = list_files(wilddash, f"*{IMAGE_SUFFIX}")
        self._cutouts = list_cutouts(self._voc)
        if not self._cutouts:
            raise DatasetError(f"{self._voc}: no animal in it")
        self.run = run

    @property
    def ids(self) -> Sequence[str]:
        """Of all frames, in order."""
        return [path.stem for path in self._images]

    def load(self, index: int) -> LabelledFrame:
        """The frame at ``index``.

        Raises:
            CorruptFileError: one of its files cannot be used, or no animal is large enough for it
                and fits into it.
        """
        path = self._images[index]
        image = read_rgb(path).copy()
        height, width = image.shape[:2]
        suitable = [
            cutout
            for cutout in self._cutouts
            if cutout.area >= SMALLEST_SHARE * height * width
            and cutout.height <= height
            and cutout.width <= width
        ]
        if not suitable:
            raise CorruptFileError(path, f"no animal suits a frame of {width} x {height} pixels")
        cutout = suitable[draw(len(suitable), self.run, path.stem, "animal")]
        top = draw(height - cutout.height + 1, self.run, path.stem, "row")
        left = draw(width - cutout.width + 1, self.run, path.stem, "column")
        outliers = np.zeros((height, width), dtype=np.uint8)
        window = (slice(top, top + cutout.height), slice(left, left + cutout.width))
        animal, mask = self._cut(cutout)
        image[window][mask] = animal[mask]
        outliers[window][mask] = 1
        return LabelledFrame(path.stem, image, outliers=outliers)

    def _cut(self, cutout: Cutout) -> tuple[ImageRGB, LabelImage]:
        rows = slice(cutout.top, cutout.top + cutout.height)
        columns = slice(cutout.left, cutout.left + cutout.width)
        path = self._voc / "SegmentationObject" / f"{cutout.id}.png"
        codes = read_labels(path)
        picture = read_rgb(self._voc / "JPEGImages" / f"{cutout.id}.jpg")
        require_size(picture, codes, path)
        return picture[rows, columns], codes[rows, columns] == cutout.instance


def draw(number: int, run: int, frame_id: str, what: str) -> int:
    """A whole number in [0, ``number``), uniform up to 2^-64, fixed by the other arguments.

    A hash, because the streams of random generators may change with the library's version.
    """
    digest = hashlib.sha256(f"{run}/{frame_id}/{what}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") * number) >> 64


@lru_cache(maxsize=4)
def list_cutouts(voc: Path) -> tuple[Cutout, ...]:
    """All animals of VOC 2007's segmentation part, by picture and instance.

    An instance's class is that of its pixels in the class mask; void pixels belong to none.

    Raises:
        DatasetError: no masks.
        CorruptFileError: masks that cannot be read or do not fit together.
    """
    cutouts = []
    for class_path in list_files(voc / "SegmentationClass", "*.png"):
        classes = read_labels(class_path)
        animals = np.isin(classes, list(ANIMALS))
        if not animals.any():
            continue
        path = voc / "SegmentationObject" / class_path.name
        instances = read_labels(path)
        if instances.shape != classes.shape:
            raise CorruptFileError(path, f"is {instances.shape}, its class mask {classes.shape}")
        for instance in np.unique(instances[animals]).tolist():
            if instance in (0, VOID):
                continue
            mask = instances == instance
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            top, left = int(rows[0]), int(columns[0])
            size = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
            cutouts.append(Cutout(path.stem, instance, top, left, *size, int(mask.sum())))
    return tuple(cutouts)


def open_wd_pascal(root: Path, split: str, run: int = 0) -> PastedAnimals:
    """The frames of pasting number ``run``."""
    return PastedAnimals(root, run)


def _find(root: Path, folders: Sequence[str], pattern: str) -> Path:
    for folder in folders:
        if next((root / folder).glob(pattern), None) is not None:
            return root / folder
    raise DatasetError(f"{root}: no {pattern} in {' or '.join(folders)}")


ENTRY = DatasetEntry(
    title="WD-Pascal",
    open=open_wd_pascal,
    splits=("val",),
    default_split="val",
    layout="""
        wd_val_01/<name>_100000.png
        VOCdevkit/VOC2007/JPEGImages/<number>.jpg
        VOCdevkit/VOC2007/SegmentationClass/<number>.png
        VOCdevkit/VOC2007/SegmentationObject/<number>.png
    """,
    source="https://wilddash.cc (registration): wd_val_01.zip of WildDash 1; and "
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2007: VOCtrainval_06-Nov-2007.tar",
    marks=tuple(
        (f"{wilddash}/*{IMAGE_SUFFIX}", f"{voc}/SegmentationObject")
        for wilddash in WILDDASH_FOLDERS
        for voc in VOC_FOLDERS
    ),
    folders=("wd*pascal*",),
)
