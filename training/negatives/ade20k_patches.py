"""Negatives cut out of ADE20K, as rectangles or as objects: real negatives, as in DenseHybrid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from open_set_seg.frame import ImageRGB
from training.datasets.ade20k import open_ade20k
from training.negatives.image_patches import draw_below, draw_window, resize, to_patches
from training.negatives.protocol import Drawn, NegativeSource, check_crops, measure_colours


class Ade20kPatches(NegativeSource):
    """Rectangles of scenes, or all pixels of two classes in them.

    A scene is resized to a short side of 384 pixels and cropped to 384 x 384 at random. With
    probability 1/2 the patch is a whole rectangle of the crop; otherwise the pixels of two class
    ids, drawn with replacement from those present, *other objects* being one (as published by
    Grcic et al., DenseHybrid). The place says how large the rectangle is; unlike there, objects
    are cut from such a rectangle as well, which is the published rule for places of 384 x 384. A
    patch that is larger than the crop takes a larger scene and crop.

    Args:
        root: folder with ``images`` and ``annotations``.
        split: ``train`` or ``val``.
        side: of the crop, pixels.
        rectangles: probability.
    """

    def __init__(
        self, root: str | Path, split: str = "train", side: int = 384, rectangles: float = 0.5
    ) -> None:
        super().__init__()
        if side < 1 or not 0 <= rectangles <= 1:
            raise ValueError(f"expected pixels and a probability, found {side} and {rectangles}")
        self.dataset = open_ade20k(Path(root), split)
        self.side = side
        self.rectangles = rectangles

    def draw(self, crops: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        """See ``NegativeSource``; only the crops' size matters. No mask is empty."""
        check_crops(crops, generators)
        size = (crops.shape[2], crops.shape[3])
        cuts, masks = zip(*(self._cut(each, size) for each in generators), strict=True)
        patches = to_patches(cuts, crops)
        chosen = torch.from_numpy(np.stack(masks)).unsqueeze(1).to(crops.device)
        measures = {"covered": chosen.float().mean().item(), **measure_colours(patches)}
        return Drawn(patches, {}, measures, chosen)

    def _cut(
        self, generator: torch.Generator, size: tuple[int, int]
    ) -> tuple[ImageRGB, NDArray[np.bool_]]:
        frame = self.dataset.load(draw_below(generator, len(self.dataset.ids)))
        image, labels = frame.image, frame.labels
        assert labels is not None
        height, width = labels.shape
        scale = max(self.side / min(height, width), size[0] / height, size[1] / width)
        image = resize(image, scale, cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        labels = resize(labels, scale, cv2.INTER_NEAREST_EXACT)
        crop = draw_window(
            generator, labels.shape, (max(self.side, size[0]), max(self.side, size[1]))
        )
        window = draw_window(generator, labels[crop].shape, size)
        cut, ids = image[crop][window], labels[crop][window]
        if torch.rand((), generator=generator) < self.rectangles:
            return cut, np.ones(size, dtype=np.bool_)
        present = np.unique(ids)
        two = [present[draw_below(generator, len(present))] for _ in range(2)]
        return cut, np.isin(ids, two)
