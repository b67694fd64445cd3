"""Random scale, crop, mirror and colour of an image with its labels."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.label_spaces import UNLABELLED

Bytes = NDArray[np.uint8]


class Augmentation(Protocol):
    """What is random about a sample; ``AugmentationRecipe`` says what each number means."""

    @property
    def crop_width(self) -> int: ...
    @property
    def crop_height(self) -> int: ...
    @property
    def short_side(self) -> int | None: ...
    @property
    def scale(self) -> tuple[float, float]: ...
    @property
    def scale_distribution(self) -> str: ...
    @property
    def mirror(self) -> float: ...
    @property
    def colour(self) -> float: ...
    @property
    def brightness(self) -> float: ...
    @property
    def padding_colour(self) -> tuple[int, int, int]: ...


def augment(
    image: Bytes, labels: Bytes, recipe: Augmentation, random: np.random.Generator
) -> tuple[Bytes, Bytes]:
    """A random crop of the randomly scaled, mirrored and recoloured image.

    The image is first resized to ``short_side``, then by a random factor. The seeds resize the
    shorter edge to 1024 pixels, draw the factor from [0.5, 2], mirror half of the images and cut
    out 768 x 768 pixels (NFlowJS, Sensors 2024, section 4.3).

    Args:
        image: (H, W, 3); may be a memory map: only the rows of the crop are read.
        labels: (H, W).
        recipe: of all random choices.
        random: as many numbers are drawn from it whatever the image and the recipe.

    Returns:
        image (crop height, crop width, 3) and labels (crop height, crop width). Where the scaled
        image is smaller than the crop, the rest has ``padding_colour`` and is unlabelled.
    """
    height, width = labels.shape
    scale = draw_scale(recipe, random) * resizing(recipe.short_side, height, width)
    mirror = random.random() < recipe.mirror
    # The crop is cut before it is scaled, so only its own pixels are resampled.
    rows = min(height, max(1, round(recipe.crop_height / scale)))
    columns = min(width, max(1, round(recipe.crop_width / scale)))
    top = int(random.integers(height - rows + 1))
    left = int(random.integers(width - columns + 1))
    window = (slice(top, top + rows), slice(left, left + columns))
    size = (
        min(recipe.crop_width, max(1, round(columns * scale))),
        min(recipe.crop_height, max(1, round(rows * scale))),
    )
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cut = _resize(image[window], size, interpolation)
    target = _resize(labels[window], size, cv2.INTER_NEAREST_EXACT)
    if mirror:
        cut, target = cut[:, ::-1], target[:, ::-1]
    cut = recolour(cut, recipe, random)
    return _pad(cut, target, recipe)


def draw_scale(recipe: Augmentation, random: np.random.Generator) -> float:
    """The random factor on the image size, by the recipe's distribution."""
    low, high = recipe.scale
    if recipe.scale_distribution == "uniform":
        return float(random.uniform(low, high))
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def resizing(short_side: int | None, height: int, width: int) -> float:
    """The factor that makes the shorter side of an image ``short_side`` long; 1 for None."""
    return 1.0 if short_side is None else short_side / min(height, width)


def recolour(image: Bytes, recipe: Augmentation, random: np.random.Generator) -> Bytes:
    """Gain of every channel, contrast and brightness, changed at random; same shape."""
    gains = 1.0 + random.uniform(-recipe.colour, recipe.colour) * np.ones(3)
    gains *= 1.0 + random.uniform(-recipe.colour, recipe.colour, 3) / 2.0
    shift = random.uniform(-recipe.brightness, recipe.brightness)
    table = np.arange(256, dtype=np.float64)[:, None] * gains[None, :] + shift
    table = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    recoloured = cv2.LUT(np.ascontiguousarray(image), table.reshape(256, 1, 3))
    return np.asarray(recoloured, dtype=np.uint8)


def _resize(values: Bytes, size: tuple[int, int], interpolation: int) -> Bytes:
    resized = cv2.resize(np.ascontiguousarray(values), size, interpolation=interpolation)
    return np.asarray(resized, dtype=np.uint8)


def _pad(image: Bytes, labels: Bytes, recipe: Augmentation) -> tuple[Bytes, Bytes]:
    below = recipe.crop_height - labels.shape[0]
    right = recipe.crop_width - labels.shape[1]
    if below == 0 and right == 0:
        return image, np.ascontiguousarray(labels)
    padded = np.empty((recipe.crop_height, recipe.crop_width, 3), dtype=np.uint8)
    padded[:] = recipe.padding_colour
    padded[: image.shape[0], : image.shape[1]] = image
    return padded, np.pad(labels, ((0, below), (0, right)), constant_values=UNLABELLED)
