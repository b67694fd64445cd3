"""Mapillary Vistas 1.2 and 2.0 (Neuhold et al. 2017) in the 19 classes of Cityscapes.

18,000 / 2,000 / 5,000 street scenes of many sizes. A code is a position in the list of labels of
the configuration file, so labels are mapped by their names.

The classes of 1.2 go where Vistas-NP and Open-set-M2F send them. Version 2.0 has finer classes; one
that was split off goes where the class of 1.2 goes that it was split off from, and the new kinds of
ground go where Cityscapes' definitions put them: an isle of traffic is *sidewalk*, a driveway is
*parking* there and so *road* here.
"""

from __future__ import annotations

import json
from pathlib import Path

from open_set_seg.label_spaces import CITYSCAPES
from training.datasets.codes import CodeTable
from training.datasets.entries import DatasetEntry
from training.datasets.frames import Dataset, DatasetError
from training.datasets.paired import PairedDataset, PairedFiles, list_images, require_files

FOLDERS = {"train": "training", "val": "validation", "test": "testing"}

# A name that ends in "--" stands for all names that begin with it.
CLASSES: dict[str, tuple[str, ...]] = {
    "road": (
        "construction--flat--bike-lane", "construction--flat--crosswalk-plain",
        "construction--flat--driveway", "construction--flat--parking",
        "construction--flat--parking-aisle", "construction--flat--rail-track",
        "construction--flat--road", "construction--flat--road-shoulder",
        "construction--flat--service-lane", "marking--", "marking-only--",
    ),
    "sidewalk": (
        "construction--barrier--curb", "construction--flat--curb-cut",
        "construction--flat--pedestrian-area", "construction--flat--sidewalk",
        "construction--flat--traffic-island",
    ),
    "building": (
        "construction--structure--bridge", "construction--structure--building",
        "construction--structure--garage", "construction--structure--tunnel",
    ),
    "wall": ("construction--barrier--wall",),
    "fence": ("construction--barrier--fence", "construction--barrier--guard-rail"),
    "pole": (
        "object--support--pole", "object--support--pole-group", "object--support--utility-pole",
    ),
    "traffic light": ("object--traffic-light", "object--traffic-light--"),
    "traffic sign": (
        "object--support--traffic-sign-frame", "object--traffic-sign--direction-front",
        "object--traffic-sign--front", "object--traffic-sign--information-parking",
        "object--traffic-sign--temporary-front",
    ),
    "vegetation": ("nature--vegetation",),
    "terrain": ("nature--sand", "nature--snow", "nature--terrain"),
    "sky": ("nature--sky",),
    "person": ("human--person", "human--person--"),
    "rider": ("human--rider--",),
    "car": ("object--vehicle--car",),
    "truck": ("object--vehicle--truck",),
    "bus": ("object--vehicle--bus",),
    "train": ("object--vehicle--on-rails",),
    "motorcycle": ("object--vehicle--motorcycle",),
    "bicycle": ("object--vehicle--bicycle",),
}  # fmt: skip
IGNORED = (
    "animal--", "construction--barrier--ambiguous", "construction--barrier--concrete-block",
    "construction--barrier--other-barrier", "construction--barrier--road-median",
    "construction--barrier--road-side", "construction--barrier--separator",
    "construction--barrier--temporary", "nature--mountain", "nature--water", "object--banner",
    "object--bench", "object--bike-rack", "object--billboard", "object--catch-basin",
    "object--cctv-camera", "object--fire-hydrant", "object--junction-box", "object--mailbox",
    "object--manhole", "object--parking-meter", "object--phone-booth", "object--pothole",
    "object--sign--", "object--street-light", "object--traffic-cone",
    "object--traffic-sign--ambiguous", "object--traffic-sign--back",
    "object--traffic-sign--direction-back", "object--traffic-sign--temporary-back",
    "object--trash-can", "object--vehicle--boat", "object--vehicle--caravan",
    "object--vehicle--other-vehicle", "object--vehicle--trailer",
    "object--vehicle--vehicle-group", "object--vehicle--wheeled-slow", "object--water-valve",
    "void--",
)  # fmt: skip
_LABEL_OF = {
    pattern: CITYSCAPES.id_of(name) for name, patterns in CLASSES.items() for pattern in patterns
}

# Where a version keeps its names and its labels; the first that is there is read.
VERSION_1 = (
    ("config_v1.2.json", "v1.2/labels"),
    ("config.json", "v1.2/labels"),
    ("config.json", "labels"),
)
VERSION_2 = (("config_v2.0.json", "v2.0/labels"), ("config.json", "v2.0/labels"))


def open_vistas(root: Path, split: str, run: int = 0) -> Dataset:
    """Frames of ``split``: version 1.2 where it is there, else 2.0; ``test`` has no truth."""
    return _open("vistas", root, split, VERSION_1 + VERSION_2)


def open_vistas_2(root: Path, split: str, run: int = 0) -> Dataset:
    """Frames of ``split`` with the labels of version 2.0."""
    return _open("vistas_2", root, split, VERSION_2)


def label_of(name: str) -> int | None:
    """Id in Cityscapes' label space of a name in the configuration file; None: ignored.

    Raises:
        KeyError: a name of neither version.
    """
    family, _, _ = name.rpartition("--")
    while family and f"{family}--" not in _LABEL_OF and f"{family}--" not in IGNORED:
        family, _, _ = family.rpartition("--")
    for pattern in (name, f"{family}--"):
        if pattern in _LABEL_OF:
            return _LABEL_OF[pattern]
        if pattern in IGNORED:
            return None
    raise KeyError(name)


def read_code_table(config: Path) -> tuple[CodeTable, CodeTable]:
    """Codes to labels, and codes to outliers (there are none), from a configuration file.

    Raises:
        DatasetError: not such a file, or a name of neither version.
    """
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        names = [str(label["name"]) for label in content["labels"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{config}: a list of named labels expected ({error!r})") from None
    labels, ignored = {}, []
    for code, name in enumerate(names):
        try:
            label = label_of(name)
        except KeyError:
            raise DatasetError(f"{config}: {name!r} is a label of neither 1.2 nor 2.0") from None
        if label is None:
            ignored.append(code)
        else:
            labels[code] = label
    return CodeTable(labels, ignored), CodeTable(dict.fromkeys(labels, 0), ignored)


def _open(name: str, root: Path, split: str, versions: tuple[tuple[str, str], ...]) -> Dataset:
    folder = root / FOLDERS[split]
    images = list_images(folder / "images")
    if split == "test":
        hidden = [PairedFiles(image.stem, image) for image in images]
        return PairedDataset(name, CITYSCAPES, hidden, None, None)
    for config, subfolder in versions:
        if (root / config).is_file() and (folder / subfolder).is_dir():
            files = [
                PairedFiles(image.stem, image, folder / subfolder / f"{image.stem}.png")
                for image in images
            ]
            require_files([each.codes for each in files if each.codes], "label files")
            return PairedDataset(name, CITYSCAPES, files, *read_code_table(root / config))
    looked = ", ".join(f"{config} with {folder / labels}" for config, labels in versions)
    raise DatasetError(f"{root}: no labels with their configuration; looked for {looked}")


_SOURCE = "https://www.mapillary.com/dataset/vistas (free registration)"
ENTRY = DatasetEntry(
    title="Mapillary Vistas",
    open=open_vistas,
    splits=tuple(FOLDERS),
    default_split="val",
    layout="""
        config.json (1.2), or config_v1.2.json and config_v2.0.json (2.0)
        {training,validation,testing}/images/*.jpg
        {training,validation}/labels/*.png (1.2), or {v1.2,v2.0}/labels/*.png (2.0)
    """,
    source=_SOURCE,
    marks=(("config*.json", "training/images"), ("config*.json", "validation/images")),
    folders=("*vistas*", "mapillary*"),
    frames={"train": 18000, "val": 2000, "test": 5000},
)
ENTRY_2 = DatasetEntry(
    title="Mapillary Vistas 2.0",
    open=open_vistas_2,
    splits=tuple(FOLDERS),
    default_split="val",
    layout="""
        config_v2.0.json
        {training,validation,testing}/images/*.jpg
        {training,validation}/v2.0/labels/*.png
    """,
    source=_SOURCE,
    marks=(("config*.json", "training/v2.0"), ("config*.json", "validation/v2.0")),
    folders=("*vistas*", "mapillary*"),
    frames={"train": 18000, "val": 2000, "test": 5000},
)
