"""Data sets in Cityscapes' layout: ``<kind>/<split>/<scene>/<scene>_<sequence>_<frame>_<kind>``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from open_set_seg.bags.conversion.attempts import Attempts
from open_set_seg.bags.conversion.frames import (
    ConversionError,
    FrameFiles,
    LabelCodes,
    Picture,
    RecordedSequence,
    StereoCamera,
    StoredFrame,
)
from open_set_seg.bags.conversion.pictures import (
    read_disparity_codes,
    read_label_codes,
    read_picture,
)
from open_set_seg.frame import DisparityMap
from open_set_seg.stereo.stored import (
    CODE_STEPS,
    LARGEST_STORED_PX,
    decode_stored_disparity,
    read_stored_camera,
)

LEFT = ("leftImg8bit", "_leftImg8bit.png")
OTHERS = {
    "right": ("rightImg8bit", "_rightImg8bit.png"),
    "disparity": ("disparity", "_disparity.png"),
    "camera": ("camera", "_camera.json"),
}
_NUMBERED = re.compile(r"(?P<sequence>.*_\d+)_(?P<number>\d+)")

# The 34 label ids: 19 are evaluated, in the order of the train ids; the rest is void.
_EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_NAMES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
    "motorcycle", "bicycle",
)  # fmt: skip
LABEL_CODES = {
    "_gtFine_labelIds.png": LabelCodes(
        "cityscapes labelIds",
        inliers=_EVALUATED,
        ignored=(*(code for code in range(34) if code not in _EVALUATED), 255),
        names=dict(zip(_EVALUATED, _NAMES, strict=True)),
    ),
    "_gtFine_labelTrainIds.png": LabelCodes(
        "cityscapes labelTrainIds", tuple(range(19)), ignored=(255,), names=dict(enumerate(_NAMES))
    ),
}


@dataclass(frozen=True)
class Truth:
    """Where ground truth lies: the first kind of file that the split has is taken.

    Attributes:
        folder: beside ``leftImg8bit``; codes: of files by the ending of their names.
    """

    folder: str
    codes: Mapping[str, LabelCodes]

    def find(self, root: Path, split: str) -> tuple[str, LabelCodes] | None:
        """Ending and codes of the split's files; None where it has none."""
        for ending, codes in self.codes.items():
            if next((root / self.folder / split).glob(f"*/*{ending}"), None) is not None:
                return ending, codes
        return None


class CityscapesLayout:
    """A data set of folders ``leftImg8bit``, ``disparity``, ``camera``; see ``StereoSource``.

    A kind of file without a folder for the split is done without; one with a folder is expected for
    every frame.

    Args:
        name: of the data set.
        root: holds the folders.
        split: ``train``, ``val`` or ``test``.
        truth: where ground truth lies; None: there is none.
        scenes: shell pattern of the scenes (towns) to take.

    Raises:
        ConversionError: no such split or no such scenes.
    """

    def __init__(
        self, name: str, root: Path, split: str, truth: Truth | None, scenes: str = "*"
    ) -> None:
        images = root / LEFT[0] / split
        if not images.is_dir():
            raise ConversionError(f"{root} is not laid out as {name}: there is no {images}")
        found = truth.find(root, split) if truth else None
        self.label_codes = found[1] if found else None
        self._root, self._split = root, split
        self._folders = {
            kind: place for kind, place in OTHERS.items() if (root / place[0] / split).is_dir()
        }
        if truth and found:
            self._folders["labels"] = (truth.folder, found[0])
        held = self._held_scenes()
        chosen = [scene for scene in held if fnmatchcase(scene, scenes)]
        self.sequences = tuple(sequence for scene in chosen for sequence in self._list(scene))
        if not self.sequences:
            names = ", ".join(held) or "nothing"
            raise ConversionError(f"{images} holds no scene {scenes!r} with images; it has {names}")
        self.description: Mapping[str, Any] = {"dataset": name, "split": split}

    def load(self, frame: FrameFiles) -> StoredFrame:
        """Read a frame; see ``StereoSource``."""
        attempts = Attempts()
        left = attempts.read(frame.left, "left image", read_picture)
        if left is None:
            return StoredFrame(None, faults=attempts.faults)
        height, width = size = left.pixels.shape[:2]
        right = _fit(attempts, attempts.read(frame.right, "right image", read_picture), frame, size)
        stored = attempts.read(
            frame.camera, "camera", lambda path: read_stored_camera(path, width, height)
        )
        codes = attempts.read(frame.disparity, "disparity", read_disparity_codes)
        codes = attempts.fit(codes, frame.disparity, "disparity", size)
        disparity = None
        if codes is not None and stored is not None:
            disparity = DisparityMap(
                decode_stored_disparity(codes),
                stored.camera.fx,
                stored.baseline,
                0.0,
                LARGEST_STORED_PX,
                1 / CODE_STEPS,
            )
        elif codes is not None and frame.disparity is not None:
            attempts.leave_out(frame.disparity, "disparity", "means nothing without its camera")
        labels = attempts.read(frame.labels, "labels", read_label_codes)
        labels = attempts.fit(labels, frame.labels, "labels", size)
        camera = None
        if stored is not None:
            camera = StereoCamera(stored.camera, stored.camera, stored.baseline, stored.mount)
        return StoredFrame(left, right, camera, disparity, labels, attempts.faults)

    def _held_scenes(self) -> list[str]:
        folders = [LEFT[0], *(folder for folder, _ in self._folders.values())]
        places = (self._root / folder / self._split for folder in folders)
        return sorted(
            {scene.name for place in places if place.is_dir() for scene in place.iterdir()
             if scene.is_dir()}
        )  # fmt: skip

    def _list(self, scene: str) -> Iterable[RecordedSequence]:
        """Sequences of a scene; a frame is what any of the folders has something of."""
        place = Path(self._split) / scene
        ids = {
            path.name.removesuffix(ending)
            for folder, ending in (LEFT, *self._folders.values())
            for path in (self._root / folder / place).glob(f"*{ending}")
        }
        sequences: dict[tuple[str, int], list[FrameFiles]] = {}
        for frame_id in ids:
            numbered = _NUMBERED.fullmatch(frame_id)
            name = numbered["sequence"] if numbered else scene
            stem, _, serial = name.rpartition("_")
            key = (stem, int(serial)) if numbered else (name, -1)
            files = {
                kind: self._root / folder / place / f"{frame_id}{ending}"
                for kind, (folder, ending) in self._folders.items()
            }
            left = self._root / LEFT[0] / place / f"{frame_id}{LEFT[1]}"
            number = int(numbered["number"]) if numbered else None
            sequences.setdefault(key, []).append(FrameFiles(frame_id, left, number, **files))
        for (stem, serial), frames in sorted(sequences.items()):
            frames.sort(key=lambda frame: (frame.number or 0, frame.id))
            name = frames[0].id.rpartition("_")[0] if serial >= 0 else stem
            yield RecordedSequence(name, scene, tuple(frames))


def _fit(
    attempts: Attempts, right: Picture | None, frame: FrameFiles, size: tuple[int, int]
) -> Picture | None:
    pixels = right.pixels if right else None
    return right if attempts.fit(pixels, frame.right, "right image", size) is not None else None


TRUTH = Truth("gtFine", LABEL_CODES)


def open_cityscapes(root: Path, split: str, scenes: str = "*") -> CityscapesLayout:
    """Cityscapes, or a data set in its layout; the published truth of ``test`` is a blank dummy.

    Raises:
        ConversionError: see ``CityscapesLayout``.
    """
    return CityscapesLayout("cityscapes", root, split, None if split == "test" else TRUTH, scenes)
