"""WildDash 2 (Zendel et al. 2022) in the 19 classes of Cityscapes: 4,256 difficult street scenes.

Categories are mapped by their names. The default is the publisher's own policy (unified label
policy, column for Cityscapes). ``wilddash2_unizg`` is the table of Open-set-M2F, by the authors of
NFlowJS: a pickup is a *car*, not a *truck*. That table names the categories 0 to 38; all others
follow the policy here too. Both ignore *polegroup*, as the 19 classes have no such class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from open_set_seg.label_spaces import CITYSCAPES, UNLABELLED
from training.datasets.entries import DatasetEntry
from training.datasets.files import read_rgb
from training.datasets.frames import Dataset, DatasetError
from training.datasets.panoptic import PanopticDataset, pair_files, read_annotations

# Names as in the policy: small letters and digits only.
CLASSES: dict[str, tuple[str, ...]] = {
    "road": (
        "road", "roadmarking", "manhole", "pothole", "tramtrack", "bikelane", "pedestrianarea",
        "catchbasin", "crosswalkplain", "crosswalkzebra", "servicelane",
    ),
    "sidewalk": ("sidewalk", "curb", "curbcut", "bikelanesidewalk", "manholesidewalk"),
    "building": ("building",),
    "wall": ("wall", "otherbarrier"),
    "fence": ("fence",),
    "pole": ("pole", "trafficsignframe", "utilitypole"),
    "traffic light": ("trafficlight",),
    "traffic sign": ("trafficsign",),
    "vegetation": ("vegetation",),
    "terrain": ("terrain", "curbterrain"),
    "sky": ("sky",),
    "person": ("person",),
    "rider": ("rider", "motorcyclist", "bicyclist", "otherrider"),
    "car": ("car", "van"),
    "truck": ("truck", "pickup"),
    "bus": ("bus",),
    "train": ("onrails", "train"),
    "motorcycle": ("motorcycle", "autorickshaw"),
    "bicycle": ("bicycle",),
}  # fmt: skip
# With the two names that ids 2 and 31 have in Cityscapes: "rectificationborder", "train" above.
IGNORED = (
    "unlabeled", "egovehicle", "overlay", "rectificationborder", "outofroi", "static", "dynamic",
    "ground", "parking", "railtrack", "guardrail", "bridge", "tunnel", "polegroup", "caravan",
    "trailer", "billboard", "streetlight", "junctionbox", "mailbox", "phonebooth", "bikerack",
    "bird", "groundanimal", "trafficsignany", "trafficsignback", "trashcan", "othervehicle",
    "bench", "mountain", "wheeledslow", "boat", "banner", "dashcammount", "water", "sand",
    "firehydrant", "cctvcamera", "snow",
)  # fmt: skip
POLICY: dict[str, int] = {
    **{name: CITYSCAPES.id_of(label) for label, names in CLASSES.items() for name in names},
    **dict.fromkeys(IGNORED, UNLABELLED),
}
UNIZG: dict[str, int] = {**POLICY, "pickup": CITYSCAPES.id_of("car")}


def open_wilddash(root: Path, split: str, run: int = 0) -> Dataset:
    """All public frames, by the publisher's policy."""
    return _open("wilddash2", root, POLICY)


def open_wilddash_unizg(root: Path, split: str, run: int = 0) -> Dataset:
    """All public frames, by the table of Open-set-M2F."""
    return _open("wilddash2_unizg", root, UNIZG)


def _open(name: str, root: Path, policy: Mapping[str, int]) -> Dataset:
    categories, annotations = read_annotations(root / "panoptic.json")
    labels = {}
    for category, category_name in categories.items():
        # Releases differ in blanks and hyphens ("traffic light", "street-light").
        key = "".join(letter for letter in category_name.lower() if letter.isalnum())
        if key not in policy:
            raise DatasetError(f"{root / 'panoptic.json'}: unknown category {category_name!r}")
        labels[category] = policy[key]
    files = pair_files(root / "images", root / "panoptic", annotations)
    return PanopticDataset(name, CITYSCAPES, files, labels, read_rgb)


ENTRY = DatasetEntry(
    title="WildDash 2",
    open=open_wilddash,
    splits=("train",),
    default_split="train",
    layout="""
        images/*.jpg
        panoptic.json
        panoptic/*.png
    """,
    source="https://wilddash.cc (free registration): wd_public_v2p0.zip",
    marks=(("panoptic.json", "panoptic", "images"),),
    folders=("wilddash*", "wd_public*"),
    frames={"train": 4256},
)
ENTRY_UNIZG = replace(ENTRY, title="WildDash 2 (table of Open-set-M2F)", open=open_wilddash_unizg)
