"""ADE20K, SceneParsing challenge (Zhou et al. 2017): 20,210 / 2,000 scenes with 150 classes.

Real negatives: mixed-content training cuts objects out of it, which are all pixels of a class, not
one instance (DenseHybrid). Code 0, *other objects*, is 255 here; it can be cut out as well.
"""

from __future__ import annotations

import colorsys
from pathlib import Path

from open_set_seg.label_spaces import Colour, LabelSpace
from training.datasets.codes import CodeTable
from training.datasets.entries import DatasetEntry
from training.datasets.frames import Dataset
from training.datasets.paired import PairedDataset, PairedFiles, list_images, require_files

FOLDERS = {"train": "training", "val": "validation"}

# The first name of every line of objectInfo150.txt.
CLASSES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass",
    "cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain",
    "chair", "car", "water", "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field",
    "armchair", "seat", "fence", "desk", "rock", "wardrobe", "lamp", "bathtub", "railing",
    "cushion", "base", "box", "column", "signboard", "chest of drawers", "counter", "sand", "sink",
    "skyscraper", "fireplace", "refrigerator", "grandstand", "path", "stairs", "runway", "case",
    "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase", "blind",
    "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm",
    "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus",
    "towel", "light", "truck", "tower", "chandelier", "awning", "streetlight", "booth",
    "television", "airplane", "dirt track", "apparel", "pole", "land", "bannister", "escalator",
    "ottoman", "bottle", "buffet", "poster", "stage", "van", "ship", "fountain", "conveyer belt",
    "canopy", "washer", "plaything", "swimming pool", "stool", "barrel", "basket", "waterfall",
    "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank", "trade name",
    "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen", "blanket",
    "sculpture", "hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan", "pier",
    "crt screen", "plate", "monitor", "bulletin board", "shower", "radiator", "glass", "clock",
    "flag",
)  # fmt: skip


def _colour(index: int) -> Colour:
    # Steps of the golden ratio spread the hues of neighbours as far apart as can be.
    hue = index * 0.618034 % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.4 + 0.2 * (index % 4), 0.9 - 0.2 * (index % 3))
    return round(255 * red), round(255 * green), round(255 * blue)


ADE20K = LabelSpace(
    name="ade20k_150",
    classes=CLASSES,
    colours=tuple(_colour(index) for index in range(len(CLASSES))),
    ground=("road", "sidewalk"),
)
OTHER = 0
LABELS = CodeTable({code: code - 1 for code in range(1, 151)}, [OTHER])
OUTLIERS = CodeTable(dict.fromkeys(range(1, 151), 0), [OTHER])


def open_ade20k(root: Path, split: str, run: int = 0) -> Dataset:
    """Frames of ``split``."""
    folder = FOLDERS[split]
    files = [
        PairedFiles(image.stem, image, root / "annotations" / folder / f"{image.stem}.png")
        for image in list_images(root / "images" / folder)
    ]
    require_files([each.codes for each in files if each.codes], "annotations")
    return PairedDataset("ade20k", ADE20K, files, LABELS, OUTLIERS)


ENTRY = DatasetEntry(
    title="ADE20K (SceneParsing)",
    open=open_ade20k,
    splits=tuple(FOLDERS),
    default_split="val",
    layout="""
        images/{training,validation}/ADE_*.jpg
        annotations/{training,validation}/ADE_*.png
    """,
    source="http://sceneparsing.csail.mit.edu: ADEChallengeData2016.zip",
    marks=(
        ("images/training", "annotations/training"),
        ("images/validation", "annotations/validation"),
    ),
    folders=("ade*",),
    frames={"train": 20210, "val": 2000},
)
