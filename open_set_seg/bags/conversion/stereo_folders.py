"""A folder of left and a folder of right images with a calibration; disparity by matching."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from open_set_seg.bags.conversion.attempts import Attempts
from open_set_seg.bags.conversion.calibration import PairCalibration
from open_set_seg.bags.conversion.frames import (
    ConversionError,
    FrameFiles,
    LabelCodes,
    Picture,
    RecordedSequence,
    StereoCamera,
    StoredFrame,
)
from open_set_seg.bags.conversion.pictures import PICTURE_SUFFIXES, read_picture
from open_set_seg.frame import DisparityMap
from open_set_seg.stereo.matching import match_pair

_DIGITS = re.compile(r"(\d+)")


class StereoFolders:
    """Pairs of images with equal names (their endings aside); see ``StereoSource``.

    Frames follow each other as their names do, numbers in them counted as numbers.

    Args:
        left, right: folders.
        calibration: of the pair.
        searched_px: largest disparity that is searched for; None: 12 % of the width.

    Raises:
        ConversionError: a folder that is not there, no images, two images of one name, or nothing
            to search for.
    """

    label_codes: LabelCodes | None = None

    def __init__(
        self, left: Path, right: Path, calibration: PairCalibration, searched_px: int | None = None
    ) -> None:
        if searched_px is not None and searched_px < 1:
            raise ConversionError(f"disparities up to {searched_px} px are none")
        found = _list_pictures(left), _list_pictures(right)
        names = sorted({*found[0], *found[1]}, key=_natural_order)
        if not names:
            raise ConversionError(f"{left} and {right} hold no pictures")
        frames = (
            FrameFiles(
                name,
                found[0].get(name, left / f"{name}.png"),
                right=found[1].get(name, right / f"{name}.png"),
            )
            for name in names
        )
        self.sequences = (RecordedSequence(left.resolve().name or "left", "", tuple(frames)),)
        self._calibration, self._searched_px = calibration, searched_px
        self.description: Mapping[str, Any] = {
            "dataset": "stereo_folders",
            "left": left.name,
            "right": right.name,
            "disparity": "OpenCV StereoSGBM",
            "rectified_here": calibration.rectifications is not None,
        }

    def load(self, frame: FrameFiles) -> StoredFrame:
        """Read, rectify and match a pair; see ``StereoSource``."""
        attempts = Attempts()
        camera: StereoCamera | None = None

        def read_left(path: Path) -> Picture:
            nonlocal camera
            picture = read_picture(path)
            camera = self._calibration.camera_for(*picture.pixels.shape[1::-1])
            return picture

        left = attempts.read(frame.left, "left image", read_left)
        if left is None or camera is None:
            return StoredFrame(None, faults=attempts.faults)
        right = attempts.read(frame.right, "right image", read_picture)
        size = left.pixels.shape[:2]
        pixels = right.pixels if right else None
        if attempts.fit(pixels, frame.right, "right image", size) is None:
            right = None
        maps = self._calibration.rectifications
        if maps is not None:
            left = Picture(maps[0].apply(left.pixels))
            right = right and Picture(maps[1].apply(right.pixels))
        disparity = None
        if right is not None:
            try:
                disparity = _match(left, right, camera, self._searched_px)
            except ValueError as error:
                attempts.leave_out(frame.left, "disparity", str(error))
        return StoredFrame(left, right, camera, disparity, faults=attempts.faults)


def _match(
    left: Picture, right: Picture, camera: StereoCamera, searched_px: int | None
) -> DisparityMap:
    """The disparity, corrected for principal points that differ: d = x_l - x_r - (cx_l - cx_r).

    The limits stay as they were searched, as stereo_image_proc leaves them.
    """
    found = match_pair(left.pixels, right.pixels, camera.right.fx, camera.baseline, searched_px)
    shift = camera.left.cx - camera.right.cx
    return replace(found, values=found.values - found.values.dtype.type(shift)) if shift else found


def _list_pictures(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ConversionError(f"there is no folder {folder}")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        if path.stem in found:
            raise ConversionError(f"{path} and {found[path.stem]} have one name")
        found[path.stem] = path
    return found


def _natural_order(name: str) -> tuple[Any, ...]:
    parts = _DIGITS.split(name)
    numbered = [int(part) if index % 2 else part for index, part in enumerate(parts)]
    return (*numbered, name)
