"""Samples of a flow before and after joint training, of the same latents, beside real crops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.figures.document import Figure
from training.figures.finished_runs import Inputs
from training.flow import ImageFlow
from training.presentation.canvas import DOTS_PER_INCH, draw_canvas
from training.randomness import make_generator
from training.study.measuring.scenes import StudyScene

SIZES = (64, 32, 16)  # pixels
ENLARGED = 2
COLUMNS = {64: 3, 32: 4, 16: 6}
ROWS = {64: 1, 32: 2, 16: 4}  # as tall as one of the largest
_USE = 41  # of random numbers
_GAP, _BLOCK_GAP, _MARGIN, _HEAD, _LABEL = 3, 16, 6, 24, 104  # pixels

Images = NDArray[np.uint8]


def sample_figure(inputs: Inputs) -> Figure:
    """The samples with their caption."""
    counts = {size: ROWS[size] * COLUMNS[size] for size in SIZES}
    before, after = inputs.flow, inputs.joint[0].flow
    rows = {
        "crops of\nscenes": {s: cut_crops(inputs.scenes, s, n) for s, n in counts.items()},
        "flow before,\npre-trained": {s: draw_samples(before, s, n) for s, n in counts.items()},
        "flow after\njoint training": {s: draw_samples(after, s, n) for s, n in counts.items()},
    }
    numbers = {
        name: {
            "black_or_white": _mean(images, lambda one: ((one == 0) | (one == 255)).mean()),
            "red": _mean(images, lambda one: one[..., 0].mean()),
            "green": _mean(images, lambda one: one[..., 1].mean()),
            "blue": _mean(images, lambda one: one[..., 2].mean()),
        }
        for name, images in zip(("crops", "before", "after"), rows.values(), strict=True)
    }
    said = "; ".join(
        f"{name} {100 * one['black_or_white']:.1f} %, "
        f"({one['red']:.0f}, {one['green']:.0f}, {one['blue']:.0f})"
        for name, one in numbers.items()
    )
    caption = (
        "Samples of one flow at three sizes, before and after joint training, of the same latents, "
        "below crops of development scenes beside their unknown objects. Nothing was chosen: these "
        "are the first draws of seed 0. Share of values that are 0 or 255, and mean colour: "
        f"{said}. (Sensors 2024, figures 9 and 10.)"
    )
    title = "Samples of the flow before and after joint training"
    return Figure("flow_samples", title, caption, draw_sample_rows(rows), numbers)


def _mean(images: Mapping[int, Images], measure: Callable[[Images], Any]) -> float:
    """Over the sizes."""
    return float(np.mean([measure(one) for one in images.values()]))


@torch.no_grad()
def draw_samples(flow: ImageFlow, size: int, count: int, seed: int = 0) -> Images:
    """(count, size, size, 3) samples; flows of one kind get the same latents."""
    generators = [make_generator(seed, _USE, size, index) for index in range(count)]
    samples = flow.sample(size, size, generators)
    return to_bytes(samples.permute(0, 2, 3, 1).numpy())


def to_bytes(values: NDArray[np.floating[Any]]) -> Images:
    """Values of [0, 1] as whole numbers 0..255."""
    whole: Images = np.floor(np.clip(values, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return whole


def cut_crops(scenes: Sequence[StudyScene], size: int, count: int, seed: int = 0) -> Images:
    """(count, size, size, 3) crops at random places of random scenes, without unknown objects."""
    random = np.random.default_rng([seed, _USE, size])
    crops: list[Images] = []
    while len(crops) < count:
        scene = scenes[int(random.integers(len(scenes)))]
        top, left = (int(random.integers(side - size + 1)) for side in scene.labels.shape)
        window = slice(top, top + size), slice(left, left + size)
        if not scene.ids[window].any():
            crops.append(scene.image[window])
    return np.stack(crops)


def draw_sample_rows(rows: Mapping[str, Mapping[int, Images]]) -> bytes:
    """A row a title; in each a block of images a size, every pixel ``ENLARGED`` times as large."""
    blocks = {size: COLUMNS[size] * (size * ENLARGED + _GAP) - _GAP for size in SIZES}
    tall = max(ROWS[size] * (size * ENLARGED + _GAP) - _GAP for size in SIZES)
    width = _LABEL + sum(blocks.values()) + _BLOCK_GAP * (len(SIZES) - 1) + _MARGIN
    height = _HEAD + len(rows) * (tall + _BLOCK_GAP)
    inches = width / DOTS_PER_INCH, height / DOTS_PER_INCH
    with draw_canvas(*inches, photographs=True) as (drawing, picture):
        top = height - _HEAD
        for title, images in rows.items():
            drawing.text(_MARGIN / width, (top - tall / 2) / height, title, va="center", fontsize=9)
            left = _LABEL
            for size in SIZES:
                if top == height - _HEAD:
                    middle = (left + blocks[size] / 2) / width
                    drawing.text(middle, (top + 6) / height, f"{size} x {size} pixels",
                                 ha="center", fontsize=9)  # fmt: skip
                tile = tile_images(images[size], ROWS[size], COLUMNS[size])
                drawing.figimage(tile, xo=left, yo=top - tile.shape[0], origin="upper")
                left += blocks[size] + _BLOCK_GAP
            top -= tall + _BLOCK_GAP
    return picture[0]


def tile_images(images: Images, rows: int, columns: int) -> Images:
    """(H, W, 3): rows of images, enlarged, with white gaps between them."""
    large = images.repeat(ENLARGED, 1).repeat(ENLARGED, 2)
    padded = np.pad(large, ((0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
    _, height, width, _ = padded.shape
    grid = padded.reshape(rows, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
    tile: Images = grid.reshape(rows * height, columns * width, 3)[:-_GAP, :-_GAP]
    return tile
