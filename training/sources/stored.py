"""Score maps in files: the HDF5 files of SegmentMeIfYouCan, npz, npy and float images."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np

from open_set_seg.label_spaces import LabelSpace
from training.datasets.frames import LabelledFrame
from training.sources.answers import Answer, EvaluationError, ScoreMap, SourceOptions

SCORE = "stored"
_HDF5 = (".hdf5", ".h5")
_IMAGES = (".tif", ".tiff", ".png")
_SUFFIXES = (*_HDF5, ".npz", ".npy", *_IMAGES)
# What other programs append to a frame's id.
_ENDINGS = ("", "_leftImg8bit", "_anomaly", "_score")


@dataclass(frozen=True, eq=False)
class StoredMaps:
    """Score maps of a folder by the ids of their frames; see ``Source``."""

    name: str
    folder: Path
    files: Mapping[str, tuple[Path, ...]]
    identity: Mapping[str, Any]
    kind: str = "stored"
    device: str = "no network"
    label_space: LabelSpace | None = None
    scores: tuple[str, ...] = (SCORE,)
    remembered: bool = True
    has_threshold: bool = False

    def renamed(self, name: str) -> StoredMaps:
        """The same under another name."""
        return replace(self, name=name)

    def answer(self, frame: LabelledFrame) -> Answer:
        """The stored map of the frame, resized bilinearly where it has another size."""
        path = self.find(frame.id)
        values = read_map(path)
        height, width = frame.image.shape[:2]
        if values.shape == (height, width):
            return Answer({SCORE: values})
        single = values if values.dtype == np.float64 else values.astype(np.float32)
        resized = cv2.resize(single, (width, height), interpolation=cv2.INTER_LINEAR)
        return Answer({SCORE: np.asarray(resized)}, resized=True)

    def find(self, frame_id: str) -> Path:
        """The file of a frame: named by its id, or by the last part of its id, in any folder.

        Raises:
            EvaluationError: none, or more than one.
        """
        wanted = PurePosixPath(frame_id)
        named = [p for end in _ENDINGS for p in self.files.get(wanted.name + end, ())]
        deep = [p for p in named if p.parent.parts[-len(wanted.parts) + 1 :] == wanted.parts[:-1]]
        found = deep if len(wanted.parts) > 1 and deep else named
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(str(path) for path in found[:3])
            raise EvaluationError(f"{self.folder}: more than one map for {frame_id}: {names}")
        raise EvaluationError(
            f"{self.folder}: no map for {frame_id}; expected a file called {wanted.name} with one "
            f"of {', '.join(_SUFFIXES)}"
        )


def open_stored_maps(folder: Path, options: SourceOptions) -> StoredMaps:
    """The score maps of a folder, such as ``anomaly_p/<method>/<data set>``.

    Raises:
        EvaluationError: no map in it, or scores that were asked for by name.
    """
    if options.scores is not None:
        raise EvaluationError(f"{folder} holds maps of one score; --scores is for networks")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not paths:
        raise EvaluationError(
            f"{folder}: no score map ({', '.join(_SUFFIXES)}) in it or in its folders"
        )
    files: dict[str, tuple[Path, ...]] = {}
    digest = hashlib.sha256()
    for path in paths:
        files[path.stem] = (*files.get(path.stem, ()), path)
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
    identity = {"files": len(paths), "names_and_sizes_sha256": digest.hexdigest()}
    return StoredMaps(folder.resolve().name, folder, files, identity)


def read_map(path: Path) -> ScoreMap:
    """An (H, W) floating score map: HDF5 ``value``, the array of an npz or npy file, or an image.

    float16 becomes float32 and whole numbers float32 or float64, both exactly.

    Raises:
        EvaluationError: a file that cannot be read, or that holds anything else.
    """
    try:
        values = np.squeeze(_read(path))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, cv2.error) as error:
        raise EvaluationError(f"{path}: no score map ({error})") from error
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiu":
        raise EvaluationError(
            f"{path}: expected (H, W) numbers, found {values.dtype} {values.shape}"
        )
    exact = values.dtype.itemsize < 4 or values.dtype == np.float32
    return values.astype(np.float32 if exact else np.float64)


def _read(path: Path) -> np.ndarray[Any, Any]:
    suffix = path.suffix.lower()
    if suffix in _HDF5:
        try:
            import h5py
        except ImportError as error:
            raise EvaluationError("for HDF5 files: pip install h5py") from error
        with h5py.File(path, "r") as file:
            return np.asarray(file["value"])
    if suffix in _IMAGES:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise ValueError("no image that can be decoded")
        return np.asarray(image)
    loaded = np.load(path, allow_pickle=False)
    if suffix == ".npy":
        return np.asarray(loaded)
    with loaded:
        names = loaded.files
        if len(names) != 1 and "value" not in names:
            raise ValueError(f"one array, or one called value, expected; found {names}")
        return np.asarray(loaded["value" if "value" in names else names[0]])
