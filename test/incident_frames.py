"""Frames for the tests of the recorder."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from open_set_seg.bags import TYPESTORE, building
from open_set_seg.bags.incidents import (
    IncidentRecorder,
    Part,
    RecordedFrame,
    RecorderConfig,
    Scene,
    Sighting,
)
from open_set_seg.frame import Camera, DisparityMap

SECOND = 1_000_000_000
CAMERA = Camera(width=40, height=20, fx=50.0, fy=50.0, cx=19.5, cy=9.5)
LEFT = "left_camera_optical_frame"


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (20, 40, 3), dtype=np.uint8)


def part(topic: str, message) -> Part:
    kind = message.__msgtype__
    cdr = bytes(TYPESTORE.serialize_cdr(message, kind))
    return Part(topic, kind, len(cdr), lambda: cdr)


def frame(stamp_ns: int, seed: int = 0, extra: tuple[Part, ...] = ()) -> RecordedFrame:
    """Image, camera and disparity of one moment."""
    values = np.full((20, 40), 1 + seed % 7, np.float32)
    disparity = DisparityMap(values, 50.0, 0.25, 0.5, 64.0, 0.0625)
    return RecordedFrame(
        stamp_ns,
        (
            part("/image", building.image(picture(seed), stamp_ns, LEFT)),
            part("/camera_info", building.camera_info(CAMERA, stamp_ns, LEFT)),
            part("/disparity", building.disparity_image(disparity, stamp_ns, LEFT)),
            *extra,
        ),
    )


def sighting(number: int, distance: float = 12.0, score: float = 0.8) -> Sighting:
    return Sighting(number, distance, score, (4, 4, 6, 6))


def scene(seed: int) -> Scene:
    grey = np.random.default_rng(seed).integers(0, 256, (24, 48), dtype=np.uint8)
    return Scene(grey, (0.1, 0.1, 0.3, 0.3))


def configure(folder: Path, **options) -> RecorderConfig:
    given = {"before_s": 1.0, "after_s": 1.0, "min_gap_s": 0.0, "min_free_mb": 0.0, **options}
    return RecorderConfig(folder, **given)


class Recording:
    """A recorder that is closed at the end, and what it said."""

    def __init__(self, config: RecorderConfig, details=None) -> None:
        self.said: list[tuple[str, str, str]] = []
        self.recorder = IncidentRecorder(
            config, lambda: details or {}, lambda *words: self.said.append(words)
        )

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_) -> None:
        self.recorder.close()

    def drive(self, stamps, seen=None, first_seed: int = 0) -> list[RecordedFrame]:
        """Add frames at times in seconds; ``seen`` maps a frame's number to obstacle ids."""
        frames = []
        for number, second in enumerate(stamps):
            frames.append(frame(round(second * SECOND), first_seed + number))
            ids = (seen or {}).get(number, ())
            self.recorder.add(frames[-1], [sighting(one) for one in ids], lambda one: scene(one.id))
        return frames

    def wait(self, condition, deadline_s: float = 10.0) -> None:
        end = time.monotonic() + deadline_s
        while not condition(self.recorder.status()):
            assert time.monotonic() < end, self.recorder.status()
            time.sleep(0.01)


def bags_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("incident-*") if "partial" not in path.name)
