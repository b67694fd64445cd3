"""RoadAnomaly (Lis et al. 2019): 60 pictures from the web with unusual things on the road.

Nothing is left out of the masks: what is not anomalous is inlier, sky and trees included.
"""

from __future__ import annotations

from pathlib import Path

from training.datasets.codes import CodeTable
from training.datasets.entries import DatasetEntry
from training.datasets.frames import Dataset
from training.datasets.paired import PairedDataset, PairedFiles, list_files, require_files

MASKS = CodeTable({0: 0, 2: 1}, (255,))


def open_road_anomaly(root: Path, split: str, run: int = 0) -> Dataset:
    """All frames; there is one split."""
    frames = root / "frames"
    folder = frames if frames.is_dir() else root / "images"
    files = []
    for image in list_files(folder, "*.*"):
        if not image.is_file():
            continue
        mask = (
            frames / f"{image.stem}.labels" / "labels_semantic.png"
            if folder == frames
            else root / "labels_masks" / f"{image.stem}.png"
        )
        files.append(PairedFiles(image.stem, image, mask))
    require_files([each.codes for each in files if each.codes], "masks")
    return PairedDataset("road_anomaly", None, files, None, MASKS)


ENTRY = DatasetEntry(
    title="RoadAnomaly",
    open=open_road_anomaly,
    splits=("test",),
    default_split="test",
    layout="""
        frames/<name>.jpg
        frames/<name>.labels/labels_semantic.png
        or: images/<name>.jpg and labels_masks/<name>.png
    """,
    source="https://www.epfl.ch/labs/cvlab/data/road-anomaly",
    marks=(
        ("frames/*.labels/labels_semantic.png",),
        ("images/animals*", "labels_masks/animals*.png"),
        ("images/[0-9]*.jpg", "labels_masks/[0-9]*.png"),
    ),
    folders=("roadanomaly", "road_anomaly", "roadanomaly_jpg", "dataset_roadanomaly"),
    frames={"test": 60},
)
