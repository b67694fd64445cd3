"""Scenes and networks that are made for tests: everything about them is known."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from open_set_seg.models import SegmentationOutput
from training.study.measuring.scenes import StudyObject, StudyScene

CLASSES, UNKNOWN, UNLABELLED = 12, 12, 255
ROAD_LABELS = (5, 6)  # road line and road, in StreetHazards' order
SIZE = (32, 48)


class MadeScenes(list):
    """A list of scenes with the name of their families."""

    families = "development"


def make_scene(seed: int, boxes: list[tuple[str, bool, int, int, int, int]]) -> StudyScene:
    """Random labels in 4 x 4 blocks, more road below, and boxes: family, camouflaged, rectangle."""
    random = np.random.default_rng(seed)
    height, width = SIZE
    blocks = random.integers(0, CLASSES, (height // 4, width // 4))
    below = np.arange(height // 4)[:, None] >= height // 8
    road = random.choice(ROAD_LABELS, blocks.shape)
    blocks = np.where(below & (random.random(blocks.shape) < 0.8), road, blocks)
    labels = blocks.repeat(4, 0).repeat(4, 1).astype(np.uint8)
    labels[:2] = UNLABELLED
    rows = np.arange(height, dtype=np.float32)[:, None]
    depth = np.broadcast_to(60.0 / (1.0 + 0.35 * rows), SIZE).astype(np.float32)
    depth += random.random(SIZE, np.float32)
    depth[labels == 0] = np.nan  # the sky
    ids = np.zeros(SIZE, np.uint8)
    for number, (_, _, top, left, tall, wide) in enumerate(boxes, 1):
        ids[top : top + tall, left : left + wide] = number
        depth[ids == number] = 60.0 / (1.0 + 0.35 * (top + tall - 1))
    labels[ids > 0] = UNKNOWN
    objects = []
    for number, (family, camouflaged, *_) in enumerate(boxes, 1):
        mask = ids == number
        distance = float(np.percentile(depth[mask], 10.0))
        objects.append(StudyObject(number, family, camouflaged, distance, int(mask.sum())))
    image = random.integers(0, 256, (*SIZE, 3), np.uint8)
    image[..., 0] = labels  # what ``Knowing`` reads
    return StudyScene(image, labels, ids, depth, tuple(objects))


def make_scenes() -> MadeScenes:
    """Six scenes whose objects have all sizes, distances and families that strata tell apart."""
    return MadeScenes(
        [
            make_scene(0, [("ball", False, 28, 4, 4, 10), ("crate", True, 20, 30, 8, 9)]),
            make_scene(1, [("crate", False, 12, 8, 5, 5)]),
            make_scene(2, [("cone", True, 5, 20, 3, 9), ("ball", False, 26, 40, 3, 3)]),
            make_scene(3, [("cone", False, 18, 2, 14, 20), ("ball", True, 10, 40, 4, 6)]),
            make_scene(4, []),
            make_scene(5, [("tyre", False, 22, 16, 10, 30)]),
        ]
    )


class Linear(nn.Module):
    """Logits at stride 4: a random linear function of the mean colour of 4 x 4 pixels."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        weight = 0.08 * torch.randn(CLASSES, 3, 1, 1, generator=generator)
        self.weight = nn.Parameter(weight)
        self.calls = 0
        self.modes: set[bool] = set()

    def forward(self, image):
        self.calls += 1
        self.modes.add(self.training)
        colours = functional.avg_pool2d(image, 4) - 120.0
        return SegmentationOutput(functional.conv2d(colours, self.weight))


class Pointwise(nn.Module):
    """Logits at stride 1: a random linear function of the pixel's own colour."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(8)
        self.weight = nn.Parameter(0.02 * torch.randn(CLASSES, 3, 1, 1, generator=generator))
        self.seen: list[torch.Tensor] = []

    def forward(self, image):
        self.seen.append(image.clone())
        return SegmentationOutput(functional.conv2d(image, self.weight))


class Knowing(nn.Module):
    """Reads the label off the red channel: sure of the known, uniform on the unknown."""

    def __init__(self) -> None:
        super().__init__()
        self.sureness = nn.Parameter(torch.tensor(20.0))

    def forward(self, image):
        labels = image[:, 0].long()
        known = functional.one_hot(labels.clamp(max=CLASSES), CLASSES + 1)[..., :CLASSES]
        return SegmentationOutput(self.sureness * known.movedim(-1, 1).float())
