"""LostAndFound (Pinggera et al. 2016): small obstacles on the road, with stereo disparity.

Free road is inlier, obstacles are outliers, all else is left out. No mask of the ego vehicle is
needed: neither road nor obstacle is labelled on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from open_set_seg.frame import Camera
from open_set_seg.stereo.stored import read_stored_camera
from training.datasets.codes import CodeTable
from training.datasets.entries import DatasetEntry
from training.datasets.files import read_codes16
from training.datasets.frames import CorruptFileError, EncodedDisparity, LabelledFrame
from training.datasets.paired import PairedDataset, PairedFiles, list_files, require_files

SPLITS = ("train", "test")
IMAGE_SUFFIX = "_leftImg8bit.png"
TRAIN_IDS_SUFFIX = "_gtCoarse_labelTrainIds.png"
LABEL_IDS_SUFFIX = "_gtCoarse_labelIds.png"

# 0 is an object that is no hazard, 1 free road, 2 an obstacle, 255 background or unlabelled.
TRAIN_IDS = CodeTable({1: 0, 2: 1}, (0, 255))
# Marker pole, posts, post stand, timber, wheel cap, thin wood.
NO_HAZARDS = (31, 33, 34, 36, 37, 38, 39)
_HAZARDS = [code for code in range(2, 44) if code not in NO_HAZARDS]
LABEL_IDS = CodeTable({1: 0, **dict.fromkeys(_HAZARDS, 1)}, (0, *NO_HAZARDS))


class LostAndFound:
    """Frames with outlier masks and, where the folders are there, disparity and camera.

    The masks come from the train ids or, where the split has none, from the label ids, which say
    the same in more words.

    Args:
        root: holds ``leftImg8bit``, ``gtCoarse`` and perhaps ``disparity`` and ``camera``.
        split: ``train`` (1,036 frames) or ``test`` (1,203).

    Raises:
        DatasetError: no images, or images without labels.
    """

    name = "lost_and_found"
    label_space = None

    def __init__(self, root: Path, split: str) -> None:
        codes, suffix = TRAIN_IDS, TRAIN_IDS_SUFFIX
        if next((root / "gtCoarse" / split).glob(f"*/*{suffix}"), None) is None:
            codes, suffix = LABEL_IDS, LABEL_IDS_SUFFIX
        files = list_frames(root, split, suffix)
        self._frames = PairedDataset(self.name, None, files, None, codes)
        self._root, self._split = root, split
        self.has_disparity = all((root / kind / split).is_dir() for kind in ("disparity", "camera"))

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
        if not self.has_disparity:
            return frame
        place = Path(self._split) / frame.group
        path = self._root / "disparity" / place / f"{frame.id}_disparity.png"
        codes = read_codes16(path)
        height, width = frame.image.shape[:2]
        if codes.shape != (height, width):
            raise CorruptFileError(path, f"is {codes.shape}, its image {(height, width)}")
        camera_path = self._root / "camera" / place / f"{frame.id}_camera.json"
        baseline, camera = read_camera(camera_path, width, height)
        return replace(frame, disparity=EncodedDisparity(codes, baseline, camera))


def list_frames(root: Path, split: str, suffix: str) -> list[PairedFiles]:
    """Images of ``split`` with label files of the names' ``suffix``, grouped by scene.

    Raises:
        DatasetError: no images, or images without label files.
    """
    files = []
    for image in list_files(root / "leftImg8bit" / split, f"*/*{IMAGE_SUFFIX}"):
        scene, frame_id = image.parent.name, image.name.removesuffix(IMAGE_SUFFIX)
        codes = root / "gtCoarse" / split / scene / f"{frame_id}{suffix}"
        files.append(PairedFiles(frame_id, image, codes, scene))
    require_files([each.codes for each in files if each.codes], "label files")
    return files


def read_camera(path: Path, width: int, height: int) -> tuple[float, Camera]:
    """Baseline in metres and the left camera, from a camera file as Cityscapes has them.

    Raises:
        CorruptFileError: no such file, no JSON, or a number that is missing or not positive.
    """
    try:
        stored = read_stored_camera(path, width, height)
    except (OSError, ValueError) as error:
        raise CorruptFileError(path, f"is no camera file ({error})") from None
    return stored.baseline, stored.camera


def open_lost_and_found(root: Path, split: str, run: int = 0) -> LostAndFound:
    """The frames of ``split``."""
    return LostAndFound(root, split)


ENTRY = DatasetEntry(
    title="LostAndFound",
    open=open_lost_and_found,
    splits=SPLITS,
    default_split="test",
    layout="""
        leftImg8bit/{train,test}/<scene>/<scene>_<seq>_<frame>_leftImg8bit.png
        gtCoarse/{train,test}/<scene>/<scene>_<seq>_<frame>_gtCoarse_labelTrainIds.png (or labelIds)
        disparity/{train,test}/<scene>/<scene>_<seq>_<frame>_disparity.png (for distances)
        camera/{train,test}/<scene>/<scene>_<seq>_<frame>_camera.json (for distances)
    """,
    source="http://www.6d-vision.com/lostandfounddataset: leftImg8bit.zip and gtCoarse.zip, for "
    "distances also disparity.zip and camera.zip",
    marks=(("leftImg8bit/*/[0-9][0-9]_*", "gtCoarse/*/[0-9][0-9]_*"),),
    folders=("lost*and*found*", "dataset_lost*and*found*", "laf*"),
    frames={"train": 1036, "test": 1203},
)
