"""Scenes, a network and pictures for the tests of figures."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from open_set_seg.models import SegmentationOutput
from training.study.measuring.scenes import StudyObject, StudyScene

CLASSES, UNKNOWN, UNLABELLED = 12, 12, 255
SIZE = (32, 48)


class Scenes(list):
    """A list of scenes with the name of their families."""

    families = "development"


def make_scene(seed: int) -> StudyScene:
    """Random labels in blocks, a strip without any, and a box that is unknown."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, (8, 12)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    labels[:2] = UNLABELLED
    top, left = (int(random.integers(4, side - 12)) for side in SIZE)
    box = slice(top, top + 9), slice(left, left + 7)
    labels[box] = UNKNOWN
    ids = (labels == UNKNOWN).astype(np.uint8)
    image = random.integers(0, 256, (*SIZE, 3), np.uint8)
    image[..., 0] = labels  # so that a crop of the image says what it shows
    depth = np.full(SIZE, 10.0, np.float32)
    return StudyScene(image, labels, ids, depth, (StudyObject(1, "ball", False, 10.0, 63),))


def make_scenes(count: int = 5) -> Scenes:
    return Scenes([make_scene(seed) for seed in range(count)])


class Linear(nn.Module):
    """Logits at stride 4: a random linear function of the mean colour of 4 x 4 pixels."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.weight = nn.Parameter(0.05 * torch.randn(CLASSES, 3, 1, 1, generator=generator))

    def forward(self, image):
        pooled = functional.avg_pool2d(image, 4)
        return SegmentationOutput(functional.conv2d(pooled, self.weight), None, None)


def open_picture(picture: bytes) -> np.ndarray:
    """(H, W, 3) uint8 of a PNG file."""
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
