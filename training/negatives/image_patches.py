"""Negatives that are cut out of other images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from open_set_seg.frame import ImageRGB
from training.datasets.files import read_rgb
from training.datasets.paired import list_images
from training.negatives.protocol import Drawn, NegativeSource, check_crops, measure_colours


class ImageCollection(Protocol):
    """Images by index."""

    def __len__(self) -> int: ...

    def load(self, index: int) -> ImageRGB:
        """(H, W, 3) uint8."""


class ImageFolder:
    """The image files of a folder, by name.

    Raises:
        DatasetError: no such folder, or no image in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.files = list_images(Path(folder))

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int) -> ImageRGB:
        """The image; a ``CorruptFileError`` where it cannot be read."""
        return read_rgb(self.files[index])


class ImagePatches(NegativeSource):
    """Random crops of random images, mirrored at random.

    An image that is smaller than a patch is enlarged, no more than is needed.

    Args:
        images: a collection, or a folder of image files.
        mirror: probability.
    """

    def __init__(self, images: ImageCollection | str | Path, mirror: float = 0.5) -> None:
        super().__init__()
        self.images = ImageFolder(images) if isinstance(images, str | Path) else images
        if len(self.images) == 0 or not 0 <= mirror <= 1:
            raise ValueError(
                f"expected images and a probability, found {len(self.images)} and {mirror}"
            )
        self.mirror = mirror

    def draw(self, crops: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        """See ``NegativeSource``; only the crops' size matters."""
        check_crops(crops, generators)
        height, width = crops.shape[2:]
        cuts = []
        for generator in generators:
            image = self.images.load(draw_below(generator, len(self.images)))
            image = enlarge(image, max(height / image.shape[0], width / image.shape[1]))
            window = draw_window(generator, image.shape, (height, width))
            cut = image[window]
            cuts.append(cut[:, ::-1] if torch.rand((), generator=generator) < self.mirror else cut)
        patches = to_patches(cuts, crops)
        return Drawn(patches, {}, measure_colours(patches))


def draw_below(generator: torch.Generator, count: int) -> int:
    """A uniform whole number in [0, count)."""
    return int(torch.randint(count, (), generator=generator))


def draw_window(
    generator: torch.Generator, shape: Sequence[int], size: tuple[int, int]
) -> tuple[slice, slice]:
    """Rows and columns of a uniform window of that size in an array of ``shape``."""
    top = draw_below(generator, shape[0] - size[0] + 1)
    left = draw_below(generator, shape[1] - size[1] + 1)
    return slice(top, top + size[0]), slice(left, left + size[1])


def enlarge(image: ImageRGB, scale: float) -> ImageRGB:
    """The image times ``scale``, rounded up; itself where that is at most 1."""
    return image if scale <= 1 else resize(image, scale, cv2.INTER_LINEAR)


def resize(values: NDArray[Any], scale: float, interpolation: int) -> NDArray[np.uint8]:
    """(H, W, ...) to (ceil(scale H), ceil(scale W), ...)."""
    # A tenth of a millionth of a pixel more is rounding: 384 / 500 * 500 is not 385.
    height, width = (int(np.ceil(scale * side - 1e-7)) for side in values.shape[:2])
    resized = cv2.resize(np.ascontiguousarray(values), (width, height), interpolation=interpolation)
    return np.asarray(resized, dtype=np.uint8)


def to_patches(cuts: Sequence[ImageRGB], like: Tensor) -> Tensor:
    """(n, 3, h, w) in [0, 1] of n images (h, w, 3); type and device of ``like``."""
    stacked = torch.from_numpy(np.stack(cuts).transpose(0, 3, 1, 2).copy())
    return stacked.to(device=like.device, dtype=like.dtype) / 255.0
