"""Rendered drives on disk: one .npz a frame and one JSON file; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from open_set_seg.frame import Camera, DisparityMap, Mask
from open_set_seg.simulation.stereo import StereoFrame, StereoRig, TrueObstacle

INDEX = "drive.json"
FORMAT = "open_set_seg.drive/1"


def save_drive(frames: Sequence[StereoFrame], folder: str | Path) -> None:
    """Write frames to ``folder``, which is made if need be; ``load_drive`` gives them back."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, frame in enumerate(frames):
        name = f"{number:06d}.npz"
        arrays = {
            "left": frame.left,
            "labels": frame.labels,
            "disparity": frame.disparity,
            "sensor_disparity": frame.sensor_disparity.values,
        }
        if frame.right is not None:
            arrays["right"] = frame.right
        for obstacle in frame.obstacles:
            arrays[f"mask_{obstacle.id}"] = obstacle.mask
        np.savez_compressed(folder / name, **arrays)  # type: ignore[arg-type]
        entries.append(_describe(frame, name))
    content = {"format": FORMAT, "frames": entries}
    (folder / INDEX).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load_drive(folder: str | Path) -> list[StereoFrame]:
    """Read what ``save_drive`` wrote.

    Raises:
        FileNotFoundError: there is no drive in ``folder``.
        ValueError: its format is another one.
    """
    folder = Path(folder)
    content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    if content.get("format") != FORMAT:
        raise ValueError(f"{folder / INDEX} is not a drive of format {FORMAT}")
    return [_restore(entry, folder) for entry in content["frames"]]


def _describe(frame: StereoFrame, name: str) -> dict[str, Any]:
    sensed = frame.sensor_disparity
    obstacles = []
    for obstacle in frame.obstacles:
        fields = {key: getattr(obstacle, key) for key in obstacle.__dataclass_fields__}
        del fields["mask"]
        obstacles.append(fields)
    return {
        "file": name,
        "stamp_ns": frame.stamp_ns,
        "camera": asdict(frame.rig.camera),
        "baseline": frame.rig.baseline,
        "sensor": {
            key: getattr(sensed, key) for key in sensed.__dataclass_fields__ if key != "values"
        },
        "obstacles": obstacles,
    }


def _restore(entry: dict[str, Any], folder: Path) -> StereoFrame:
    with np.load(folder / entry["file"], allow_pickle=False) as arrays:
        obstacles = tuple(
            _restore_obstacle(fields, arrays[f"mask_{fields['id']}"])
            for fields in entry["obstacles"]
        )
        return StereoFrame(
            stamp_ns=entry["stamp_ns"],
            left=arrays["left"],
            right=arrays.get("right"),
            labels=arrays["labels"],
            disparity=arrays["disparity"],
            sensor_disparity=DisparityMap(values=arrays["sensor_disparity"], **entry["sensor"]),
            rig=StereoRig(Camera(**entry["camera"]), entry["baseline"]),
            obstacles=obstacles,
        )


def _restore_obstacle(fields: dict[str, Any], mask: Mask) -> TrueObstacle:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
    }
    return TrueObstacle(**values, mask=mask)
