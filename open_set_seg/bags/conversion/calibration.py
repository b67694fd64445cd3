"""Calibration files of a stereo pair, and what makes raw images rectified ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.bags.conversion.frames import ConversionError, StereoCamera
from open_set_seg.frame import Camera, ImageRGB
from open_set_seg.messages import MessageError, decode_camera, decode_right_camera
from open_set_seg.messages.camera_files import (
    parse_camera_info,
    read_number,
    read_yaml_mapping,
)

# A rectified pair has one focal length and one row: differences beyond rounding are another pair's.
_FOCAL_TOLERANCE = 1e-3
_ROW_TOLERANCE_PX = 0.5
_SIMPLE = "f (or fx and fy), cx, cy and baseline"


@dataclass(frozen=True, eq=False)
class Rectification:
    """Where each pixel of a rectified image comes from, (H, W) float32 columns and rows."""

    columns: NDArray[np.float32]
    rows: NDArray[np.float32]

    def apply(self, image: ImageRGB) -> ImageRGB:
        """The rectified image; black where nothing was seen."""
        moved = cv2.remap(image, self.columns, self.rows, cv2.INTER_LINEAR)
        return np.asarray(moved, np.uint8)


@dataclass(frozen=True, eq=False)
class PairCalibration:
    """A calibrated pair.

    Attributes:
        camera: rectified; None where the file states no size: see ``simple``.
        simple: (fx, fy, cx, cy, baseline) of a file without a size.
        rectifications: of the left and the right image; None where they are rectified already.
    """

    camera: StereoCamera | None
    simple: tuple[float, float, float, float, float] | None = None
    rectifications: tuple[Rectification, Rectification] | None = None

    def camera_for(self, width: int, height: int) -> StereoCamera:
        """The pair for images of a size.

        Raises:
            ValueError: the calibration is for images of another size.
        """
        if self.camera is None:
            assert self.simple is not None
            left = Camera(width, height, *self.simple[:4])
            return StereoCamera(left, left, self.simple[4])
        stated = self.camera.left
        if (stated.width, stated.height) != (width, height):
            raise ValueError(
                f"has {width} x {height} pixels, the calibration is for {stated.width} x "
                f"{stated.height}"
            )
        return self.camera


def read_pair_calibration(paths: Sequence[Path], rectify: bool | None = None) -> PairCalibration:
    """The calibration of a pair: two files of ROS's camera calibration (left, right), or one
    simple file with f (or fx, fy), cx, cy, baseline in metres and perhaps width and height.

    Args:
        rectify: whether images are raw and must be rectified by the calibration, or are rectified;
            None: refuse where that makes a difference.

    Raises:
        ConversionError: a file that is no calibration, two that are not those of a pair, or
            nobody said whether the images are raw.
    """
    if len(paths) not in (1, 2):
        raise ConversionError(f"one or two calibration files are expected, not {len(paths)}")
    try:
        if len(paths) == 1:
            return _read_simple(paths[0], rectify)
        infos = [parse_camera_info(read_yaml_mapping(path), path) for path in paths]
    except OSError as error:
        raise ConversionError(f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise ConversionError(str(error)) from None
    return _pair(infos, paths, rectify)


def _read_simple(path: Path, rectify: bool | None) -> PairCalibration:
    content = read_yaml_mapping(path)
    if "camera_matrix" in content or "k" in content:
        raise ConversionError(
            f"{path} is the calibration of one camera: give the right camera's file as well"
        )
    if rectify:
        raise ConversionError(f"{path} says nothing about how to rectify images")
    try:
        if "f" in content:
            fx = fy = read_number(content, "f")
        else:
            fx, fy = read_number(content, "fx"), read_number(content, "fy")
        cx, cy = read_number(content, "cx"), read_number(content, "cy")
        baseline = read_number(content, "baseline")
        if not min(fx, fy, baseline) > 0:
            raise ValueError(f"f is {fx:g}, {fy:g} and baseline {baseline:g}; they are positive")
        if "width" not in content and "height" not in content:
            return PairCalibration(None, (fx, fy, cx, cy, baseline))
        sides = read_number(content, "width"), read_number(content, "height")
    except ValueError as error:
        raise ConversionError(
            f"{path} is no calibration of a pair ({_SIMPLE}, or two files): {error}"
        ) from None
    camera = Camera(round(sides[0]), round(sides[1]), fx, fy, cx, cy)
    return PairCalibration(StereoCamera(camera, camera, baseline))


def _pair(infos: Sequence[Any], paths: Sequence[Path], rectify: bool | None) -> PairCalibration:
    try:
        left = decode_camera(infos[0])
        right, baseline = decode_right_camera(infos[1])
    except MessageError as error:
        raise ConversionError(f"{paths[0]} and {paths[1]}: {error}") from None
    both = f"{paths[0]} and {paths[1]} are not of one rectified pair: "
    if (left.width, left.height) != (right.width, right.height):
        raise ConversionError(f"{both}they are for images of different sizes")
    if abs(infos[0].p[3]) > 0:
        raise ConversionError(f"{both}P[3] of the left one is {infos[0].p[3]:g}, not 0")
    if abs(left.fx - right.fx) > _FOCAL_TOLERANCE * right.fx:
        raise ConversionError(f"{both}focal lengths are {left.fx:g} and {right.fx:g} px")
    if abs(left.cy - right.cy) > _ROW_TOLERANCE_PX:
        raise ConversionError(f"{both}rows of the centres are {left.cy:g} and {right.cy:g} px")
    camera = StereoCamera(left, right, baseline)
    if all(_is_rectified(info) for info in infos) or rectify is False:
        return PairCalibration(camera)
    if rectify is None:
        raise ConversionError(
            f"{paths[0]} and {paths[1]} tell how to rectify raw images: say whether the images are "
            "raw (--rectify) or rectified already (--rectified)"
        )
    maps = [_rectification(info, path) for info, path in zip(infos, paths, strict=True)]
    return PairCalibration(camera, rectifications=(maps[0], maps[1]))


def _is_rectified(info: Any) -> bool:
    projection = np.reshape(info.p, (3, 4))[:, :3]
    same = np.allclose(np.reshape(info.k, (3, 3)), projection, rtol=1e-9, atol=1e-6)
    turned = not np.allclose(np.reshape(info.r, (3, 3)), np.eye(3), atol=1e-9)
    return same and not turned and not np.any(info.d)


def _rectification(info: Any, path: Path) -> Rectification:
    k, r = np.reshape(info.k, (3, 3)), np.reshape(info.r, (3, 3))
    p, d = np.reshape(info.p, (3, 4))[:, :3], np.asarray(info.d, np.float64)
    size = (info.width, info.height)
    fisheye = info.distortion_model in ("equidistant", "fisheye")
    make = cv2.fisheye.initUndistortRectifyMap if fisheye else cv2.initUndistortRectifyMap
    allowed = (4,) if fisheye else (0, 4, 5, 8, 12, 14)
    if d.size not in allowed:
        raise ConversionError(f"{path}: {info.distortion_model} with {d.size} coefficients")
    try:
        columns, rows = make(k, d, r, p, size, cv2.CV_32FC1)
    except cv2.error as error:
        raise ConversionError(f"{path} cannot rectify images ({error.err})") from None
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        raise ConversionError(f"{path} cannot rectify images: it moves pixels to nowhere")
    return Rectification(np.asarray(columns, np.float32), np.asarray(rows, np.float32))
