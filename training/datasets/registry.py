"""Every data set by name."""

from __future__ import annotations

from pathlib import Path

from training.datasets import (
    ade20k,
    bsb,
    cityscapes,
    fishyscapes,
    lost_and_found,
    road_anomaly,
    simulated_frames,
    smiyc,
    streethazards,
    vistas,
    wd_pascal,
    wilddash,
)
from training.datasets.entries import DatasetEntry, find_folder
from training.datasets.frames import Dataset, DatasetError

DATASETS: dict[str, DatasetEntry] = {
    "cityscapes": cityscapes.ENTRY,
    "vistas": vistas.ENTRY,
    "vistas_2": vistas.ENTRY_2,
    "wilddash2": wilddash.ENTRY,
    "wilddash2_unizg": wilddash.ENTRY_UNIZG,
    "streethazards": streethazards.ENTRY,
    "streethazards_13": streethazards.ENTRY_13,
    "bsb_aerial": bsb.ENTRY,
    "bsb_ood": bsb.ENTRY_OOD,
    "ade20k": ade20k.ENTRY,
    "lost_and_found": lost_and_found.ENTRY,
    "fishyscapes_lost_and_found": fishyscapes.LOST_AND_FOUND_ENTRY,
    "fishyscapes_static": fishyscapes.STATIC_ENTRY,
    "smiyc_anomaly": smiyc.ANOMALY_ENTRY,
    "smiyc_obstacle": smiyc.OBSTACLE_ENTRY,
    "smiyc_lost_and_found": smiyc.LOST_AND_FOUND_ENTRY,
    "road_anomaly": road_anomaly.ENTRY,
    "wd_pascal": wd_pascal.ENTRY,
    "simulation": simulated_frames.ENTRY,
}


def open_dataset(name: str, root: str | Path, split: str | None = None, run: int = 0) -> Dataset:
    """A data set, ready to load frames from.

    Args:
        name: key in ``DATASETS``.
        root: its own folder, or a folder that holds it.
        split: one of its splits; None for the one that is evaluated.
        run: number of the repeat, for a data set that is made at random.

    Raises:
        KeyError: no such name.
        DatasetError: no such split, or the files are not there; the message shows the expected
            layout and how to get the data.
    """
    if name not in DATASETS:
        raise KeyError(f"{name!r} is not one of {', '.join(DATASETS)}")
    entry = DATASETS[name]
    split = entry.default_split if split is None else split
    if split not in entry.splits:
        raise DatasetError(f"{entry.title} has no split {split!r}, only {', '.join(entry.splits)}")
    return entry.open(find_folder(entry, root), split, run)
