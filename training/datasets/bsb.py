"""BSB-aerial (de Carvalho et al. 2022): 3,000 / 200 / 200 tiles of Brasilia, 512 x 512 pixels.

The categories are 0 void, 1 street, 2 permeable area, 3 lake, 4 swimming pool, 5 harbor, 6 vehicle,
7 boat, 8 sports court, 9 soccer field, 10 commercial building, 11 commercial building block,
12 residential building, 13 house, 14 small construction.

BSB-OOD (NFlowJS, Sensors 2024, section 4.1) makes outliers of boat and harbor: 2,840 training
images with 12 classes, 184 test images. The paper does not say which. Here an image with either
category, of whichever split, is a test image, and all others stay in their splits: 160 out of 3,000
training images and 24 out of the 400 others would make both of the paper's numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import ImageRGB
from open_set_seg.label_spaces import BSB, BSB_OOD, UNLABELLED, LabelSpace
from training.datasets.entries import DatasetEntry
from training.datasets.files import read_rgb16
from training.datasets.frames import Dataset, DatasetError
from training.datasets.panoptic import (
    PanopticDataset,
    PanopticFiles,
    pair_files,
    read_annotations,
)

SPLITS = ("train", "val", "test")
VOID, HARBOR, BOAT = 0, 5, 7
CATEGORIES: dict[int, str] = dict(enumerate(BSB.classes, start=1))
OUTLIERS = frozenset({HARBOR, BOAT})
LABELS: dict[int, int] = {VOID: UNLABELLED, **{c: BSB.id_of(n) for c, n in CATEGORIES.items()}}
LABELS_OOD: dict[int, int] = {
    VOID: UNLABELLED,
    **{
        category: BSB_OOD.unknown_id if category in OUTLIERS else BSB_OOD.id_of(name)
        for category, name in CATEGORIES.items()
    },
}
# Samples of 16 bits: the publisher's notebook shows them divided by 300.
WHITE = 300
_TO_8_BITS: NDArray[np.uint8] = np.rint(np.arange(WHITE + 1) * (255 / WHITE)).astype(np.uint8)


def open_bsb(root: Path, split: str, run: int = 0) -> Dataset:
    """Frames of ``split`` in 14 classes."""
    return _dataset("bsb_aerial", BSB, list_frames(root, split), LABELS)


def open_bsb_ood(root: Path, split: str, run: int = 0) -> Dataset:
    """Frames with boat or harbor (``test``), or frames of ``split`` without; ids name the split."""
    files = []
    for part in SPLITS if split == "test" else (split,):
        for each in list_frames(root, part):
            if bool(each.annotation.categories & OUTLIERS) == (split == "test"):
                frame_id = f"{part}/{each.id}"
                files.append(PanopticFiles(frame_id, each.image, each.segment_ids, each.annotation))
    return _dataset("bsb_ood", BSB_OOD, files, LABELS_OOD)


def list_frames(root: Path, split: str) -> list[PanopticFiles]:
    """Files of an official split.

    Raises:
        DatasetError: files are missing, or a category that is none of the 15.
    """
    path = root / "annotations" / f"panoptic_{split}.json"
    categories, annotations = read_annotations(path)
    strange = sorted(set(categories) - set(LABELS))
    if strange:
        raise DatasetError(f"{path}: categories 0..{max(LABELS)} expected, found {strange}")
    return pair_files(root / f"image_{split}", root / f"panoptic_{split}", annotations)


def read_tile(path: Path) -> ImageRGB:
    """A TIFF as 8-bit RGB: samples of 16 bits are 255 / 300 as large, at most 255."""
    samples = read_rgb16(path)
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    scaled: ImageRGB = _TO_8_BITS[np.minimum(samples, WHITE)]
    return scaled


def _dataset(
    name: str, space: LabelSpace, files: list[PanopticFiles], labels: Mapping[int, int]
) -> Dataset:
    return PanopticDataset(name, space, files, labels, read_tile)


ENTRY = DatasetEntry(
    title="BSB-aerial",
    open=open_bsb,
    splits=SPLITS,
    default_split="test",
    layout="""
        annotations/panoptic_{train,val,test}.json
        image_{train,val,test}/<n>.tiff
        panoptic_{train,val,test}/<n>.png
    """,
    source="on request from its author: https://github.com/osmarluiz/BSB-Aerial-Dataset",
    marks=(("annotations/panoptic_*.json", "image_*", "panoptic_*"),),
    folders=("bsb*",),
    frames={"train": 3000, "val": 200, "test": 200},
)
ENTRY_OOD = replace(ENTRY, title="BSB-OOD", open=open_bsb_ood, frames={"train": 2840, "test": 184})
