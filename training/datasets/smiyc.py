"""SegmentMeIfYouCan (Chan et al. 2021): AnomalyTrack, ObstacleTrack and LostAndFound-noKnown.

Splits and exclusions are those of the benchmark's code (road-anomaly-benchmark).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from training.datasets import lost_and_found
from training.datasets.codes import CodeTable
from training.datasets.entries import DatasetEntry
from training.datasets.frames import Dataset
from training.datasets.paired import PairedDataset, PairedFiles, list_files, require_files

ANOMALY_SPLITS = ("validation", "test", "all")
OBSTACLE_SPLITS = ("validation", "test", "night", "snowstorm", "all")
MASK_SUFFIX = "_labels_semantic.png"
MASKS = CodeTable({0: 0, 1: 1}, (255,))

# The benchmark leaves these out by prefix: validation_2 stays although validation_21 goes.
OUTSIDE_VALIDATION = tuple(f"validation_{number}" for number in (19, *range(21, 30)))
_OBSTACLE_SCENES = {"night": {"driveway"}, "snowstorm": {"snowstorm1", "snowstorm2"}}
_OUTSIDE_TEST = {"driveway", "snowstorm1", "snowstorm2", "validation"}

# Every labelled object counts, also one that LostAndFound itself calls no hazard.
LABEL_IDS = CodeTable({1: 0, **dict.fromkeys(range(2, 201), 1)}, (0,))
# Nothing is labelled in these. The benchmark gives their indices among the 1,203 sorted frames.
EMPTY_FRAMES = frozenset({
    "02_Hanns_Klemm_Str_44_000000_000190", "02_Hanns_Klemm_Str_44_000001_000210",
    "02_Hanns_Klemm_Str_44_000002_000190", "02_Hanns_Klemm_Str_44_000003_000180",
    "02_Hanns_Klemm_Str_44_000004_000200", "02_Hanns_Klemm_Str_44_000005_000200",
    "02_Hanns_Klemm_Str_44_000006_000200", "02_Hanns_Klemm_Str_44_000007_000250",
    "02_Hanns_Klemm_Str_44_000008_000220", "02_Hanns_Klemm_Str_44_000009_000240",
    "02_Hanns_Klemm_Str_44_000010_000220", "02_Hanns_Klemm_Str_44_000017_000180",
    "04_Maurener_Weg_8_000006_000140", "04_Maurener_Weg_8_000013_000240",
    "05_Schafgasse_1_000003_000170", "05_Schafgasse_1_000011_000100",
    "05_Schafgasse_1_000011_000110",
})  # fmt: skip
# Children and cyclists, which are known classes. The last three name training frames; they stand
# here because the benchmark lists them.
KNOWN_OBJECTS = (
    "15_Rechbergstr_Deckenpfronn",
    "01_Hanns_Klemm_Str_45_000006",
    "01_Hanns_Klemm_Str_45_000007",
    "10_Schlossberg_9_000004",
)


def open_anomaly_track(root: Path, split: str, run: int = 0) -> Dataset:
    """10 labelled frames (``validation``), 100 whose truth is hidden (``test``), or ``all``."""
    files = _list_track(root)
    if split != "all":
        labelled = split == "validation"
        files = [each for each in files if _is_validation(each.id) == labelled]
    return _open_track("smiyc_anomaly", files)


def open_obstacle_track(root: Path, split: str, run: int = 0) -> Dataset:
    """30 labelled frames (``validation``), 327 whose truth is hidden (``test``), and more.

    ``night`` (30 frames) and ``snowstorm`` (55) are in no official figure.
    """
    files = [each for each in _list_track(root) if _is_in_obstacle_split(each.id, split)]
    return _open_track("smiyc_obstacle", files)


def open_lost_and_found_no_known(root: Path, split: str, run: int = 0) -> Dataset:
    """The 1,043 test frames of LostAndFound that are labelled and show no known object."""
    files = [
        each
        for each in lost_and_found.list_frames(root, split, lost_and_found.LABEL_IDS_SUFFIX)
        if each.id not in EMPTY_FRAMES and not each.id.startswith(KNOWN_OBJECTS)
    ]
    return PairedDataset("smiyc_lost_and_found", None, files, None, LABEL_IDS)


def _list_track(root: Path) -> list[PairedFiles]:
    images = list_files(root / "images", "*.*")
    masks = root / "labels_masks"
    return [PairedFiles(path.stem, path, masks / f"{path.stem}{MASK_SUFFIX}") for path in images]


def _open_track(name: str, files: list[PairedFiles]) -> Dataset:
    """Masks are demanded of validation frames; elsewhere their absence means hidden truth."""
    required = [each.codes for each in files if each.codes and _is_validation(each.id)]
    require_files([path for path in required if not _is_left_out(path)], "masks")
    files = [
        each if each.codes and each.codes.is_file() else replace(each, codes=None) for each in files
    ]
    return PairedDataset(name, None, files, None, MASKS)


def _is_validation(name: str) -> bool:
    return name.startswith("validation")


def _is_left_out(mask: Path) -> bool:
    return mask.name.startswith(OUTSIDE_VALIDATION)


def _is_in_obstacle_split(name: str, split: str) -> bool:
    scene = name.split("_")[0]
    if split == "validation":
        return scene == "validation" and not name.startswith(OUTSIDE_VALIDATION)
    if split in _OBSTACLE_SCENES:
        return scene in _OBSTACLE_SCENES[split]
    return split == "all" or scene not in _OUTSIDE_TEST


ANOMALY_ENTRY = DatasetEntry(
    title="SMIYC AnomalyTrack",
    open=open_anomaly_track,
    splits=ANOMALY_SPLITS,
    default_split="validation",
    layout="""
        images/{validation0000,...}.jpg
        labels_masks/validation<number>_labels_semantic.png (those of the test frames are hidden)
    """,
    source="https://segmentmeifyoucan.com/datasets: dataset_AnomalyTrack.zip",
    marks=(("images/validation[0-9]*.*",),),
    folders=("dataset_anomalytrack", "*anomaly*track*", "roadanomaly21", "road_anomaly_21"),
    frames={"validation": 10, "test": 100, "all": 110},
)
OBSTACLE_ENTRY = DatasetEntry(
    title="SMIYC ObstacleTrack",
    open=open_obstacle_track,
    splits=OBSTACLE_SPLITS,
    default_split="validation",
    layout="""
        images/{validation_1,curvy-street_1,...}.webp
        labels_masks/validation_<number>_labels_semantic.png (those of the test frames are hidden)
    """,
    source="https://segmentmeifyoucan.com/datasets: dataset_ObstacleTrack.zip",
    marks=(("images/validation_*.*",),),
    folders=("dataset_obstacletrack", "*obstacle*track*", "roadobstacle21", "road_obstacle_21"),
    frames={"validation": 30, "test": 327, "night": 30, "snowstorm": 55},
)
LOST_AND_FOUND_ENTRY = replace(
    lost_and_found.ENTRY,
    title="SMIYC LostAndFound-noKnown",
    open=open_lost_and_found_no_known,
    splits=("test",),
    layout="""
        leftImg8bit/test/<scene>/<scene>_<seq>_<frame>_leftImg8bit.png
        gtCoarse/test/<scene>/<scene>_<seq>_<frame>_gtCoarse_labelIds.png
    """,
    source="http://www.6d-vision.com/lostandfounddataset: leftImg8bit.zip and gtCoarse.zip",
    marks=(("leftImg8bit/test/[0-9][0-9]_*", "gtCoarse/test/[0-9][0-9]_*"),),
    frames={"test": 1043},
)
