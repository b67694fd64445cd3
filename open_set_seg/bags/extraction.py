"""The frames of a recording as files for training and evaluation, in LostAndFound's layout.

What a robot recorded becomes hard examples once somebody has said what is true of it: the layout is
the one that ``training.datasets`` and ``open-set-seg bag from-lost-and-found`` read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.bags import topics as names
from open_set_seg.bags.decoding import FrameTopics, header_stamp
from open_set_seg.bags.incidents import read_summary
from open_set_seg.bags.reading import open_bag, read_frames
from open_set_seg.bags.writing import BagError
from open_set_seg.files import write_whole
from open_set_seg.frame import Camera, DisparityMap, Frame
from open_set_seg.messages import MessageError, decode_image
from open_set_seg.stereo.stored import CODE_STEPS, LARGEST_STORED_PX

UNLABELLED = 255
# LostAndFound's scenes begin with two digits; these belong to no street of its own.
SCENE_PREFIX = "00_"


@dataclass(frozen=True)
class Extraction:
    """What was written.

    Attributes:
        scene: name of the recording in the tree.
        frames: number of images.
        with_range: those with a disparity.
        with_prediction: those with the labels that the detector gave.
    """

    scene: str
    frames: int
    with_range: int
    with_prediction: int


def extract_frames(
    bag: Path,
    root: Path,
    split: str = "train",
    spacing_s: float = 0.5,
    topics: FrameTopics | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Extraction:
    """Write frames of a recording as files.

    For the frame F of the scene S, ``00_`` and the recording's name, under ``root``:

    - ``leftImg8bit/SPLIT/S/F_leftImg8bit.png``: the image;
    - ``gtCoarse/SPLIT/S/F_gtCoarse_labelTrainIds.png``: 255 everywhere, nothing is known yet; who
      labels it writes 1 for free road and 2 for an obstacle;
    - ``disparity/SPLIT/S/F_disparity.png``: round(256 d) + 1, 0 where there is none, and
      ``camera/SPLIT/S/F_camera.json``: where the recording has a disparity and a calibration;
    - ``predicted/SPLIT/S/F_labels.png``: what the detector said, to look at and not to learn from,
      and ``incident.json``: why it was recorded.

    Args:
        spacing_s: least time between two frames: neighbours teach the same.
        progress: called after each frame.

    Raises:
        BagError: no whole recording, no image in it, or it was extracted already.
    """
    scene = SCENE_PREFIX + bag.resolve().name
    tree = _Tree(root, split, scene)
    if tree.folder("leftImg8bit").exists():
        raise BagError(f"{tree.folder('leftImg8bit')} exists already: remove it first")
    chosen: dict[int, str] = {}
    without: list[str] = []
    stereo: tuple[Camera, float] | None = None
    last_ns: int | None = None
    for frame in read_frames(bag, topics):
        if last_ns is not None and 0 <= frame.stamp_ns - last_ns < spacing_s * 1e9:
            continue
        last_ns, frame_id = frame.stamp_ns, f"{scene}_000000_{len(chosen):06d}"
        if frame.stamp_ns in chosen:
            continue  # a looped recording
        chosen[frame.stamp_ns] = frame_id
        stereo = tree.write_range(frame_id, frame) or stereo
        if not tree.path("disparity", frame_id, "disparity.png").exists():
            without.append(frame_id)
        tree.write_image(frame_id, frame)
        progress()
    if stereo is not None:  # the layout has a disparity for every frame or for none
        for frame_id in without:
            tree.write_stereo(frame_id, np.zeros(_shape(stereo[0]), np.uint16), *stereo)
    predicted = _write_predictions(bag, tree, chosen)
    with_range = len(chosen) - len(without)
    return Extraction(scene, len(chosen), with_range, predicted)


def encode_disparity(disparity: DisparityMap) -> NDArray[np.uint16]:
    """16-bit codes round(256 d) + 1 of a disparity in pixels, (H, W).

    0 where it is not positive, not finite, outside the matcher's limits, or more than 16 bits hold.
    """
    values = disparity.values.astype(np.float64)
    with np.errstate(invalid="ignore"):
        valid = (values > 0) & (values >= disparity.min_disparity) & (values <= LARGEST_STORED_PX)
        if disparity.max_disparity > disparity.min_disparity:
            valid &= values <= disparity.max_disparity
    codes = np.rint(np.where(valid, values, 0.0) * CODE_STEPS) + 1
    return np.where(valid, codes, 0).astype(np.uint16)


class _Tree:
    """Files of one scene."""

    def __init__(self, root: Path, split: str, scene: str) -> None:
        self._root, self._split, self._scene = root, split, scene

    def folder(self, kind: str) -> Path:
        return self._root / kind / self._split / self._scene

    def path(self, kind: str, frame_id: str, ending: str) -> Path:
        return self.folder(kind) / f"{frame_id}_{ending}"

    def write_image(self, frame_id: str, frame: Frame) -> None:
        """The labels go first, so that no image is ever without."""
        blank = np.full(frame.image.shape[:2], UNLABELLED, np.uint8)
        self._save(self.path("gtCoarse", frame_id, "gtCoarse_labelTrainIds.png"), blank)
        bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
        self._save(self.path("leftImg8bit", frame_id, "leftImg8bit.png"), bgr)

    def write_range(self, frame_id: str, frame: Frame) -> tuple[Camera, float] | None:
        """Disparity and camera, where the frame has both; returns camera and baseline."""
        measured, camera = frame.range_input, frame.camera
        if not isinstance(measured, DisparityMap) or camera is None or measured.baseline <= 0:
            return None
        if measured.values.shape != frame.image.shape[:2]:
            return None
        self.write_stereo(frame_id, encode_disparity(measured), camera, measured.baseline)
        return camera, measured.baseline

    def write_stereo(
        self, frame_id: str, codes: NDArray[np.uint16], camera: Camera, baseline: float
    ) -> None:
        self._save(self.path("disparity", frame_id, "disparity.png"), codes)
        intrinsic = {"fx": camera.fx, "fy": camera.fy, "u0": camera.cx, "v0": camera.cy}
        content = {"extrinsic": {"baseline": baseline}, "intrinsic": intrinsic}
        path = self.path("camera", frame_id, "camera.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(content))

    def write_prediction(self, frame_id: str, labels: NDArray[np.uint8]) -> None:
        self._save(self.path("predicted", frame_id, "labels.png"), labels)

    def write_summary(self, summary: dict[str, Any]) -> None:
        path = self.folder("predicted") / "incident.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(summary, indent=2))

    def _save(self, path: Path, pixels: NDArray[Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole, buffer = cv2.imencode(".png", pixels)
        assert whole
        write_whole(path, buffer.tobytes())


def _write_predictions(bag: Path, tree: _Tree, chosen: dict[int, str]) -> int:
    summary = read_summary(bag)
    if summary is not None:
        tree.write_summary(summary)
    written = 0
    with open_bag(bag) as reader:
        connections = [c for c in reader.connections if c.topic == names.SEGMENTATION]
        if not connections:
            return 0
        for connection, _, cdr in reader.messages(connections):
            frame_id = chosen.get(header_stamp(bytes(cdr)))
            if frame_id is None:
                continue
            message = reader.deserialize(cdr, connection.msgtype)
            try:
                labels = decode_image(message)[..., 0]  # mono8 becomes three equal channels
            except MessageError:
                continue
            tree.write_prediction(frame_id, np.ascontiguousarray(labels))
            written += 1
    return written


def _shape(camera: Camera) -> tuple[int, int]:
    return camera.height, camera.width
