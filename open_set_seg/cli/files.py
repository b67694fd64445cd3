"""Frames from image files: pictures with a right image, a disparity map or a depth map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from open_set_seg.frame import Camera, DepthMap, DisparityMap, FloatImage, Frame, ImageRGB
from open_set_seg.messages import decode_camera
from open_set_seg.messages.camera_files import read_camera_info
from open_set_seg.stereo.matching import match_pair

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
SecondKind = Literal["right", "disparity", "depth"]
SECOND_KINDS: tuple[SecondKind, ...] = ("right", "disparity", "depth")


@dataclass(frozen=True)
class Calibration:
    """What is known about the cameras; None where it is not.

    Attributes:
        camera: from a camera_info file.
        focal: pixels; principal_point: (cx, cy) in pixels; baseline: metres.
    """

    camera: Camera | None = None
    focal: float | None = None
    principal_point: tuple[float, float] | None = None
    baseline: float | None = None

    def camera_for(self, image: ImageRGB) -> Camera | None:
        """The camera of an image; None without a focal length.

        Raises:
            ValueError: the camera_info file is for images of another size.
        """
        height, width = image.shape[:2]
        if self.camera is not None:
            if (self.camera.width, self.camera.height) != (width, height):
                raise ValueError(
                    f"the camera file is for {self.camera.width} x {self.camera.height} pixels, "
                    f"the image has {width} x {height}"
                )
            return self.camera
        if self.focal is None:
            return None
        cx, cy = self.principal_point or ((width - 1) / 2, (height - 1) / 2)
        return Camera(width, height, self.focal, self.focal, cx, cy)


def read_camera_file(path: Path) -> Camera:
    """Camera of a YAML file as ROS's camera calibration writes it, or of a CameraInfo as YAML.

    Raises:
        ValueError: not such a file, or an uncalibrated camera.
    """
    return decode_camera(read_camera_info(path))


def read_file_frames(
    source: Path, second: tuple[SecondKind, Path] | None, calibration: Calibration
) -> Iterator[tuple[str, Frame]]:
    """Yield (name, frame) of an image, or of each image of a folder in the order of their names.

    Args:
        second: where ranges come from, and the file or folder with it; files of a folder are
            found by the image's name without its ending.

    Raises:
        ValueError: something cannot be read, does not fit, or lacks its calibration.
    """
    for number, path in enumerate(list_images(source)):
        image = read_image(path)
        camera = calibration.camera_for(image)
        range_input = None
        if second is not None:
            kind, place = second
            if camera is None:
                raise ValueError(f"distances from --{kind} need --focal or --camera")
            partner = _partner(place, path) if source.is_dir() else place
            range_input = READERS[kind](partner, image, camera, calibration)
            if range_input.values.shape != image.shape[:2]:
                raise ValueError(f"{partner} and {path} differ in size")
        yield path.stem, Frame(image, number, "camera", camera, range_input)


def read_image(path: Path) -> ImageRGB:
    """RGB image of a file; ``ValueError`` if it is none."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if bgr is None:
        raise ValueError(f"{path} is not a picture that can be read")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _right(path: Path, image: ImageRGB, camera: Camera, calibration: Calibration) -> DisparityMap:
    right = read_image(path)
    if right.shape != image.shape:
        raise ValueError(f"{path} has {right.shape[1]} x {right.shape[0]} pixels, not the left's")
    return match_pair(image, right, camera.fx, _baseline(calibration))


def _disparity(
    path: Path, image: ImageRGB, camera: Camera, calibration: Calibration
) -> DisparityMap:
    return DisparityMap(_read_map(path, 1 / 256), camera.fx, _baseline(calibration))


def _depth(path: Path, image: ImageRGB, camera: Camera, calibration: Calibration) -> DepthMap:
    return DepthMap(_read_map(path, 1 / 1000))


READERS: dict[
    SecondKind, Callable[[Path, ImageRGB, Camera, Calibration], DisparityMap | DepthMap]
] = {"right": _right, "disparity": _disparity, "depth": _depth}


def _baseline(calibration: Calibration) -> float:
    if calibration.baseline is None:
        raise ValueError("distances from a pair or a disparity map need --baseline")
    return calibration.baseline


def _read_map(path: Path, unit: float) -> FloatImage:
    """A map of numbers: .npy as it is, a 16-bit PNG times ``unit``; 0 stays 0, for invalid."""
    if path.suffix == ".npy":
        values = np.load(path, allow_pickle=False)
        unit = 1.0
    else:
        values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
        if values is None or values.dtype != np.uint16:
            raise ValueError(f"{path} is neither .npy nor a 16-bit PNG")
    if values.ndim != 2:
        raise ValueError(f"{path} has {values.ndim} dimensions, not rows and columns alone")
    scaled: FloatImage = values.astype(np.float32) * np.float32(unit)
    return scaled


def list_images(source: Path) -> list[Path]:
    """The pictures of a folder by name, or the one picture; ``ValueError`` if there is none."""
    if not source.is_dir():
        return [source]
    images = sorted(path for path in source.iterdir() if path.suffix.lower() in PICTURES)
    if not images:
        raise ValueError(f"{source} holds no pictures")
    return images


def _partner(place: Path, image: Path) -> Path:
    for suffix in (image.suffix, ".png", ".npy"):
        if (place / f"{image.stem}{suffix}").is_file():
            return place / f"{image.stem}{suffix}"
    raise ValueError(f"{place} holds nothing named {image.stem}")
