"""StreetHazards (Hendrycks et al. 2019): rendered towns of 1280 x 720 pixels, odd objects in two.

The codes are 1 background, 2 building, 3 fence, 4 other, 5 pedestrian, 6 pole, 7 road line, 8 road,
9 sidewalk, 10 vegetation, 11 car, 12 wall, 13 traffic sign, 14 anomaly. Two conventions:

- ``streethazards``, DenseHybrid's: 12 classes, *other* is ignored;
- ``streethazards_13``, Hendrycks': 13 classes, *other* is one of them.

In both the background is a class, and it is the sky.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from open_set_seg.label_spaces import STREETHAZARDS, STREETHAZARDS_13
from training.datasets.codes import CodeTable
from training.datasets.entries import DatasetEntry
from training.datasets.frames import Dataset
from training.datasets.paired import PairedDataset, PairedFiles, list_files, require_files

# Images of a split; annotations mirror them in "annotations" instead of "images".
FOLDERS = {
    "train": ("train", "training"),
    "val": ("train", "validation"),
    "test": ("test", "test"),
}
OTHER, ANOMALY = 4, 14
_KNOWN = [code for code in range(1, 14) if code != OTHER]

LABELS_12 = CodeTable(
    {**{code: label for label, code in enumerate(_KNOWN)}, ANOMALY: STREETHAZARDS.unknown_id},
    [OTHER],
)
OUTLIERS_12 = CodeTable({**dict.fromkeys(_KNOWN, 0), ANOMALY: 1}, [OTHER])
LABELS_13 = CodeTable({code: code - 1 for code in range(1, 15)})
OUTLIERS_13 = CodeTable({**dict.fromkeys(range(1, 14), 0), ANOMALY: 1})


def open_streethazards(root: Path, split: str, run: int = 0) -> Dataset:
    """Frames of ``split``, grouped by town, in 12 classes."""
    files = list_frames(root, split)
    return PairedDataset("streethazards", STREETHAZARDS, files, LABELS_12, OUTLIERS_12)


def open_streethazards_13(root: Path, split: str, run: int = 0) -> Dataset:
    """Frames of ``split``, grouped by town, in 13 classes."""
    files = list_frames(root, split)
    return PairedDataset("streethazards_13", STREETHAZARDS_13, files, LABELS_13, OUTLIERS_13)


def list_frames(root: Path, split: str) -> list[PairedFiles]:
    """Images of ``split`` with their annotations; the id is ``town/name``.

    Raises:
        DatasetError: a folder or annotations are missing.
    """
    part, subset = FOLDERS[split]
    annotations = root / part / "annotations" / subset
    files = []
    for image in list_files(root / part / "images" / subset, "*/*.png"):
        town = image.parent.name
        codes = annotations / town / image.name
        files.append(PairedFiles(f"{town}/{image.stem}", image, codes, town))
    require_files([each.codes for each in files if each.codes], "annotations")
    return files


ENTRY = DatasetEntry(
    title="StreetHazards (12 classes)",
    open=open_streethazards,
    splits=tuple(FOLDERS),
    default_split="test",
    layout="""
        train/images/{training,validation}/<town>/*.png
        train/annotations/{training,validation}/<town>/*.png
        test/images/test/{t5,t6}/*.png
        test/annotations/test/{t5,t6}/*.png
    """,
    source=(
        "https://people.eecs.berkeley.edu/~hendrycks/streethazards_train.tar and "
        "streethazards_test.tar"
    ),
    marks=(("test/images/test",), ("train/images/training",)),
    folders=("street*hazards*",),
    frames={"train": 5125, "val": 1031, "test": 1500},
)
ENTRY_13 = replace(ENTRY, title="StreetHazards (13 classes)", open=open_streethazards_13)
