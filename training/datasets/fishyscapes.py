"""Fishyscapes (Blum et al. 2021): Lost & Found and Static, the public validation frames.

The publisher gives masks, and for Static what to add to the pictures; the pictures themselves are
those of LostAndFound and of Cityscapes. Repacked folders that hold pictures and masks are read too.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import ImageRGB
from training.datasets import cityscapes, lost_and_found
from training.datasets.codes import CodeTable
from training.datasets.entries import DatasetEntry, find_neighbour
from training.datasets.frames import CorruptFileError, Dataset, DatasetError, LabelledFrame
from training.datasets.paired import PairedDataset, PairedFiles, list_files, require_files

MASK_SUFFIX = "_labels.png"
MASKS = CodeTable({0: 0, 1: 1}, (255,))
REPACKED_MASK_SUFFIX = "_ood_segmentation.png"
REPACKED_MASKS = CodeTable({0: 0, 1: 1}, (2,))
REPACKED_IMAGE_SUFFIX = "_rgb.jpg"
OVERLAY_SUFFIX = "_rgb.npz"


class Overlaid:
    """Frames whose pictures are composed: a picture plus a difference, clipped to 0..255.

    Args:
        frames: of the pictures and masks.
        overlays: file of the difference of every frame: ``rgb`` in an npz archive, (H, W, 3).
    """

    def __init__(self, frames: PairedDataset, overlays: Sequence[Path]) -> None:
        self.name = frames.name
        self.label_space = frames.label_space
        self._frames, self._overlays = frames, tuple(overlays)

    @property
    def ids(self) -> Sequence[str]:
        """Of all frames, in order."""
        return self._frames.ids

    def load(self, index: int) -> LabelledFrame:
        """The frame at ``index``.

        Raises:
            CorruptFileError: one of its files cannot be used.
        """
        frame = self._frames.load(index)
        return replace(frame, image=add_overlay(frame.image, self._overlays[index]))


def add_overlay(image: ImageRGB, path: Path) -> ImageRGB:
    """``image`` plus the difference that the file holds, clipped to 0..255.

    Raises:
        CorruptFileError: no such file, no ``rgb`` of whole numbers in it, or of another size.
    """
    difference = _read_overlay(path)
    if difference.shape != image.shape:
        raise CorruptFileError(path, f"rgb is {difference.shape}, its image is {image.shape}")
    # A step of more than 255 clips as 255 does; 16 bits then hold every sum.
    step = np.clip(difference, -255, 255).astype(np.int16)
    return np.asarray(np.clip(image + step, 0, 255), dtype=np.uint8)


def _read_overlay(path: Path) -> NDArray[np.integer]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            difference = archive["rgb"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CorruptFileError(path, f"holds no readable array 'rgb' ({error})") from None
    if difference.dtype.kind not in "iu":
        raise CorruptFileError(path, f"rgb is {difference.dtype}, whole numbers expected")
    return np.asarray(difference)


def open_fishyscapes_lost_and_found(root: Path, split: str, run: int = 0) -> Dataset:
    """100 frames; the pictures lie in LostAndFound or, repacked, beside the masks."""
    name = "fishyscapes_lost_and_found"
    if (root / "ood").is_dir():
        return PairedDataset(name, None, _list_repacked_lost_and_found(root), None, REPACKED_MASKS)
    base = find_base(lost_and_found.ENTRY, root)
    files = []
    for mask in list_files(root, f"*{MASK_SUFFIX}"):
        frame_id, base_id = _split_name(mask)
        scene = base_id.rsplit("_", 2)[0]
        places = [
            base / "leftImg8bit" / split / scene / f"{base_id}{lost_and_found.IMAGE_SUFFIX}"
            for split in lost_and_found.SPLITS
        ]
        image = next((place for place in places if place.is_file()), places[-1])
        files.append(PairedFiles(frame_id, image, mask, scene))
    require_files([each.image for each in files], "images of LostAndFound")
    return PairedDataset(name, None, files, None, MASKS)


def open_fishyscapes_static(root: Path, split: str, run: int = 0) -> Dataset:
    """All frames; composed over Cityscapes or, repacked, as JPEG beside the masks."""
    name = "fishyscapes_static"
    masks = list_files(root, f"*{MASK_SUFFIX}")
    overlays = {path.name.split("_")[0]: path for path in root.glob(f"*{OVERLAY_SUFFIX}")}
    if not overlays:
        return PairedDataset(name, None, _list_repacked_static(masks), None, MASKS)
    base = find_base(cityscapes.ENTRY, root) / "leftImg8bit" / "val"
    files = []
    for mask in masks:
        frame_id, base_id = _split_name(mask)
        city = base_id.split("_")[0]
        image = base / city / f"{base_id}{cityscapes.IMAGE_SUFFIX}"
        files.append(PairedFiles(frame_id, image, mask, city))
    require_files([each.image for each in files], "images of Cityscapes")
    frames = PairedDataset(name, None, files, None, MASKS)
    numbers = [frame_id.split("_")[0] for frame_id in frames.ids]
    missing = sorted(set(numbers) - set(overlays))
    if missing:
        raise DatasetError(f"{root}: {len(missing)} masks have no *{OVERLAY_SUFFIX}: {missing[0]}")
    return Overlaid(frames, [overlays[number] for number in numbers])


def find_base(entry: DatasetEntry, root: Path) -> Path:
    """The folder of the data set whose pictures one in ``root`` uses: in it, beside it, above it.

    Raises:
        DatasetError: it is nowhere there.
    """
    try:
        return find_neighbour(entry, root)
    except DatasetError:
        return find_neighbour(entry, root.resolve().parent)


def _split_name(mask: Path) -> tuple[str, str]:
    """(id, id of the picture) of ``0000_04_Maurener_Weg_8_000000_000030_labels.png``."""
    frame_id = mask.name.removesuffix(MASK_SUFFIX)
    number, _, base_id = frame_id.partition("_")
    if not number.isdecimal() or base_id.count("_") < 2:
        raise DatasetError(f"{mask}: not called <number>_<id of the picture>{MASK_SUFFIX}")
    return frame_id, base_id


def _list_repacked_lost_and_found(root: Path) -> list[PairedFiles]:
    files = []
    for mask in list_files(root / "ood", f"**/*{REPACKED_MASK_SUFFIX}"):
        place = mask.relative_to(root / "ood")
        base_id = mask.name.removesuffix(REPACKED_MASK_SUFFIX)
        image = root / "leftImg8bit" / place.with_name(f"{base_id}{lost_and_found.IMAGE_SUFFIX}")
        files.append(PairedFiles(base_id, image, mask, base_id.rsplit("_", 2)[0]))
    require_files([each.image for each in files], "images")
    return files


def _list_repacked_static(masks: Sequence[Path]) -> list[PairedFiles]:
    files = []
    for mask in masks:
        frame_id = mask.name.removesuffix(MASK_SUFFIX)
        files.append(PairedFiles(frame_id, mask.with_name(frame_id + REPACKED_IMAGE_SUFFIX), mask))
    require_files([each.image for each in files], "images")
    return files


LOST_AND_FOUND_ENTRY = DatasetEntry(
    title="Fishyscapes Lost & Found",
    open=open_fishyscapes_lost_and_found,
    splits=("val",),
    default_split="val",
    layout="""
        <number>_<LostAndFound id>_labels.png, and LostAndFound beside this folder;
        or repacked: leftImg8bit/<LostAndFound id>_leftImg8bit.png and
        ood/<LostAndFound id>_ood_segmentation.png
    """,
    source="https://fishyscapes.com/dataset: fishyscapes_lostandfound.zip; the pictures come with "
    "LostAndFound (http://www.6d-vision.com/lostandfounddataset)",
    marks=(
        ("[0-9]*_[0-9][0-9]_*_labels.png",),
        ("leftImg8bit", "ood/**/*_ood_segmentation.png"),
    ),
    folders=("fishyscapes*lost*found*", "fishyscapes_laf*", "fs_l*f*", "dataset_fishylaf"),
    needs=("lost_and_found",),
    frames={"val": 100},
)
STATIC_ENTRY = DatasetEntry(
    title="Fishyscapes Static",
    open=open_fishyscapes_static,
    splits=("val",),
    default_split="val",
    layout="""
        <number>_<Cityscapes id>_labels.png and <number>_<Cityscapes id>_rgb.npz, and Cityscapes
        beside this folder;
        or repacked: <name>_labels.png and <name>_rgb.jpg
    """,
    source="https://fishyscapes.com/dataset: fs_val_v3.zip; the pictures come with Cityscapes "
    "(https://www.cityscapes-dataset.com)",
    marks=(("*_labels.png", "*_rgb.npz"), ("*_labels.png", "*_rgb.jpg")),
    folders=("fishyscapes*static*", "fs_static*", "fs_val*"),
    needs=("cityscapes",),
)
