"""Cityscapes (Cordts et al. 2016): 2,975 / 500 / 1,525 street scenes of 2048 x 1024 pixels."""

from __future__ import annotations

from pathlib import Path

from open_set_seg.label_spaces import CITYSCAPES
from training.datasets.codes import CodeTable
from training.datasets.entries import DatasetEntry
from training.datasets.frames import Dataset
from training.datasets.paired import PairedDataset, PairedFiles, list_files, require_files

SPLITS = ("train", "val", "test")
IMAGE_SUFFIX = "_leftImg8bit.png"

# The 19 evaluated of the 34 label ids, in train-id order; all others are void.
TRAIN_IDS = {
    code: train_id
    for train_id, code in enumerate(
        (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    )
}
# A licence plate is -1 in the publisher's table, 255 in an 8-bit file.
_VOID = [*(code for code in range(34) if code not in TRAIN_IDS), 255]
_SAME = {train_id: train_id for train_id in TRAIN_IDS.values()}
# By the ending of the files: codes to labels, and codes to outliers (there are none).
TABLES = {
    "labelIds": (CodeTable(TRAIN_IDS, _VOID), CodeTable(dict.fromkeys(TRAIN_IDS, 0), _VOID)),
    "labelTrainIds": (CodeTable(_SAME, [255]), CodeTable(dict.fromkeys(_SAME, 0), [255])),
}


def open_cityscapes(root: Path, split: str, run: int = 0) -> Dataset:
    """Frames of ``split``, grouped by city; the truth of ``test`` is hidden.

    Labels are read from the label ids or, where there are none of them, from the train ids.
    """
    ending = "labelIds"
    if not any((root / "gtFine" / split).glob(f"*/*_{ending}.png")):
        trained = any((root / "gtFine" / split).glob("*/*_labelTrainIds.png"))
        ending = "labelTrainIds" if trained else ending
    files = []
    for image in list_files(root / "leftImg8bit" / split, f"*/*{IMAGE_SUFFIX}"):
        city, frame_id = image.parent.name, image.name.removesuffix(IMAGE_SUFFIX)
        codes = root / "gtFine" / split / city / f"{frame_id}_gtFine_{ending}.png"
        # The published truth of the test images is a blank dummy.
        files.append(PairedFiles(frame_id, image, None if split == "test" else codes, city))
    require_files([each.codes for each in files if each.codes], "label files")
    return PairedDataset("cityscapes", CITYSCAPES, files, *TABLES[ending])


ENTRY = DatasetEntry(
    title="Cityscapes",
    open=open_cityscapes,
    splits=SPLITS,
    default_split="val",
    layout="""
        leftImg8bit/{train,val,test}/<city>/<city>_<seq>_<frame>_leftImg8bit.png
        gtFine/{train,val}/<city>/<city>_<seq>_<frame>_gtFine_labelIds.png
    """,
    source="https://www.cityscapes-dataset.com (free registration): leftImg8bit_trainvaltest.zip "
    "and gtFine_trainvaltest.zip",
    marks=(("leftImg8bit", "gtFine"),),
    folders=("cityscapes*",),
    frames={"train": 2975, "val": 500, "test": 1525},
)
