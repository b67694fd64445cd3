"""Data sets in Cityscapes' layout, made of rendered scenes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.simulation import StereoFrame, render_still

WIDTH, HEIGHT = 128, 64
MOUNT = {"x": 1.7, "y": 0.1, "z": 1.22, "roll": 0.01, "pitch": 0.04, "yaw": -0.02}
# In the order of recording, which is not that of the names.
LOST_AND_FOUND = (
    "04_Maurener_Weg_8_000000_000030", "04_Maurener_Weg_8_000000_000040",
    "04_Maurener_Weg_8_000000_000060", "04_Maurener_Weg_8_000001_000010",
    "15_Rechbergstr_2_000003_000120",
)  # fmt: skip
ROAD = STREETHAZARDS.classes.index("road")


def render(count: int) -> list[StereoFrame]:
    return [render_still(700 + n, WIDTH, HEIGHT, right=True) for n in range(count)]


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def place(root: Path, folder: str, frame_id: str, ending: str, split: str = "test") -> Path:
    return root / folder / split / frame_id.rsplit("_", 2)[0] / f"{frame_id}_{ending}"


def train_ids(frame: StereoFrame) -> np.ndarray:
    """As LostAndFound has them: 1 road, 2 obstacle, 255 all else."""
    codes = np.full(frame.labels.shape, 255, np.uint8)
    codes[frame.labels == ROAD] = 1
    codes[frame.labels == STREETHAZARDS.unknown_id] = 2
    return codes


def write_frame(root: Path, frame_id: str, frame: StereoFrame, split: str = "test") -> None:
    def to(folder: str, ending: str) -> Path:
        return place(root, folder, frame_id, ending, split)

    save(to("leftImg8bit", "leftImg8bit.png"), frame.left[..., ::-1])
    save(to("rightImg8bit", "rightImg8bit.png"), frame.right[..., ::-1])
    codes = np.where(frame.disparity > 0, np.rint(frame.disparity * 256.0) + 1, 0)
    save(to("disparity", "disparity.png"), codes.astype(np.uint16))
    camera = frame.rig.camera
    content = {
        "extrinsic": {"baseline": frame.rig.baseline, **MOUNT},
        "intrinsic": {"fx": camera.fx, "fy": camera.fy, "u0": camera.cx, "v0": camera.cy},
    }
    path = to("camera", "camera.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_lost_and_found(root: Path, frames: list[StereoFrame]) -> Path:
    for frame_id, frame in zip(LOST_AND_FOUND, frames, strict=False):
        write_frame(root, frame_id, frame)
        truth = place(root, "gtCoarse", frame_id, "gtCoarse_labelTrainIds.png")
        save(truth, train_ids(frame))
    return root
