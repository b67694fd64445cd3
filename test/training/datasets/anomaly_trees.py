"""Writes small data sets in the layouts of their publishers, with pictures of noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 40
CAMERA = {
    "extrinsic": {"baseline": 0.2, "pitch": 0.03, "x": 1.7},
    "intrinsic": {"fx": 2300.5, "fy": 2305.25, "u0": 20.5, "v0": 11.25},
}
TRAIN_FRAME = "01_Hanns_Klemm_Str_45_000000_000080"
TEST_FRAMES = (
    "02_Hanns_Klemm_Str_44_000000_000020",
    "04_Maurener_Weg_8_000000_000030",
    "04_Maurener_Weg_8_000000_000040",
)
CITYSCAPES_FRAMES = ("frankfurt_000000_000294", "lindau_000001_000019")
# What the publisher of LostAndFound says of its label ids 0..43.
HAZARDS = [*range(2, 31), 32, 35, *range(40, 44)]
LAF_TRAIN_ID = [255, 1, *(2 if code in HAZARDS else 0 for code in range(2, 44))]


def save(path: Path, values: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def picture(name: str, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Noise that belongs to a name."""
    random = np.random.default_rng([*name.encode()])
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def codes(name: str, values: Sequence[int], height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Every one of ``values``, scattered; belongs to a name."""
    random = np.random.default_rng([1, *name.encode()])
    scattered = random.choice(np.array(values, dtype=np.uint8), height * width)
    scattered[random.permutation(height * width)[: len(values)]] = values
    return scattered.reshape(height, width)


def scene_of(frame_id: str) -> str:
    return frame_id.rsplit("_", 2)[0]


def write_lost_and_found(
    root: Path,
    train: Sequence[str] = (TRAIN_FRAME,),
    test: Sequence[str] = TEST_FRAMES,
    train_ids: bool = True,
    disparity: bool = True,
) -> Path:
    for split, ids in (("train", train), ("test", test)):
        for name in ids:
            place = Path(split) / scene_of(name)
            save(root / "leftImg8bit" / place / f"{name}_leftImg8bit.png", picture(name))
            label_ids = codes(name, range(44))
            masks = root / "gtCoarse" / place
            save(masks / f"{name}_gtCoarse_labelIds.png", label_ids)
            if train_ids:
                table = np.array(LAF_TRAIN_ID, dtype=np.uint8)
                save(masks / f"{name}_gtCoarse_labelTrainIds.png", table[label_ids])
            if disparity:
                save(root / "disparity" / place / f"{name}_disparity.png", disparity_of(name))
                camera = root / "camera" / place / f"{name}_camera.json"
                camera.parent.mkdir(parents=True, exist_ok=True)
                camera.write_text(json.dumps(CAMERA))
    return root


def disparity_of(name: str) -> np.ndarray:
    random = np.random.default_rng([2, *name.encode()])
    return random.integers(0, 2**16, (HEIGHT, WIDTH), dtype=np.uint16)


def write_cityscapes(root: Path, ids: Sequence[str] = CITYSCAPES_FRAMES) -> Path:
    for name in ids:
        place = Path("val") / name.split("_")[0]
        save(root / "leftImg8bit" / place / f"{name}_leftImg8bit.png", picture(name))
        for kind in ("gtFine", "gtCoarse"):
            save(root / kind / place / f"{name}_{kind}_labelIds.png", codes(name, range(34)))
    return root


def write_fishyscapes_lost_and_found(root: Path) -> Path:
    for number, name in enumerate((TEST_FRAMES[1], TRAIN_FRAME)):
        save(root / f"{number:04d}_{name}_labels.png", codes(name, (0, 1, 255)))
    return root


def write_repacked_lost_and_found(root: Path) -> Path:
    for name in (TEST_FRAMES[1], TRAIN_FRAME):
        save(root / "leftImg8bit" / f"{name}_leftImg8bit.png", picture(name))
        save(root / "ood" / f"{name}_ood_segmentation.png", codes(name, (0, 1, 2)))
    return root


def overlay_of(name: str) -> np.ndarray:
    """Differences that leave 0..255 at both ends."""
    return np.random.default_rng([3, *name.encode()]).integers(-255, 256, (HEIGHT, WIDTH, 3))


def write_fishyscapes_static(root: Path) -> Path:
    for number, name in enumerate(CITYSCAPES_FRAMES):
        save(root / f"{number:04d}_{name}_labels.png", codes(name, (0, 1, 255)))
        np.savez_compressed(root / f"{number:04d}_{name}_rgb.npz", rgb=overlay_of(name))
    return root


def write_repacked_static(root: Path) -> Path:
    for name in ("0", "1"):
        flat = np.full((HEIGHT, WIDTH, 3), 40 * (int(name) + 1), dtype=np.uint8)
        save(root / f"{name}_rgb.jpg", flat, quality=95)
        save(root / f"{name}_labels.png", codes(name, (0, 1, 255)))
    return root


def write_smiyc(root: Path, suffix: str, labelled: Sequence[str], hidden: Sequence[str]) -> Path:
    for name in (*labelled, *hidden):
        save(root / "images" / f"{name}.{suffix}", picture(name))
    for name in labelled:
        masks = root / "labels_masks"
        save(masks / f"{name}_labels_semantic.png", codes(name, (0, 1, 255)))
        save(masks / f"{name}_labels_semantic_color.png", picture(name))
    return root


def write_anomaly_track(root: Path) -> Path:
    labelled = [f"validation{number:04d}" for number in range(3)]
    return write_smiyc(root, "jpg", labelled, ["airplane0001", "cow0000"])


def write_obstacle_track(root: Path) -> Path:
    labelled = [f"validation_{number}" for number in range(1, 41)]
    left_out = {"validation_19", *(f"validation_2{digit}" for digit in range(1, 10))}
    scenes = ("curvy-street_1", "darkasphalt2_dog_7", "driveway_3", "snowstorm1_00_2")
    others = [name for name in labelled if name not in left_out]
    return write_smiyc(root, "webp", others, [*scenes, "snowstorm2_4", *left_out])


def write_road_anomaly(root: Path, plain: bool = False) -> Path:
    for name in ("animals01_calves", "cones08_can", "vehicle03_cart"):
        if plain:
            save(root / "images" / f"{name}.jpg", picture(name))
            save(root / "labels_masks" / f"{name}.png", codes(name, (0, 2)))
        else:
            save(root / "frames" / f"{name}.jpg", picture(name))
            masks = root / "frames" / f"{name}.labels"
            save(masks / "labels_semantic.png", codes(name, (0, 2)))
            save(masks / "labels_semantic_color.png", picture(name))
    return root
