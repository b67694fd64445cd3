"""Small benchmarks on disk whose outliers are blobs that a network could find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 48, 64


def scene(number: int, height: int = HEIGHT, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """A grey picture of noise with a bright blob (or two), and where the blobs are."""
    random = np.random.default_rng([7, number])
    image = random.integers(60, 120, (height, width, 3), dtype=np.uint8)
    blobs = np.zeros((height, width), np.uint8)
    for _ in range(1 + number % 2):
        top, left = random.integers(4, height - 14), random.integers(2, width - 16)
        blobs[top : top + 10, left : left + 12] = 1
    image[blobs == 1] += random.integers(0, 120, 3, dtype=np.uint8)
    return image, blobs


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def write_obstacle_track(root: Path, frames: int = 6, hidden: int = 2) -> Path:
    """SMIYC ObstacleTrack: the road is labelled, the upper rows are not."""
    folder = root / "dataset_ObstacleTrack"
    for number in range(1, frames + 1):
        image, blobs = scene(number)
        blobs[:3] = 255
        save(folder / "images" / f"validation_{number}.webp", image)
        save(folder / "labels_masks" / f"validation_{number}_labels_semantic.png", blobs)
    for number in range(hidden):
        save(folder / "images" / f"curvy-street_{number}.webp", scene(100 + number)[0])
    return root


def write_streethazards(root: Path, frames: int = 3) -> Path:
    """Two towns; the classes are stripes, and the blobs are anomalies (code 14)."""
    for place, town in enumerate(("t5", "t6")):
        for number in range(frames):
            image, blobs = scene(10 * place + number)
            rows, columns = np.indices(blobs.shape)
            raw = (1 + (rows // 12 + columns // 16) % 13).astype(np.uint8)
            raw[blobs == 1] = 14
            name = f"{number}.png"
            save(root / "test/images/test" / town / name, image)
            save(root / "test/annotations/test" / town / name, raw)
    return root
