"""Pictures of a training: what the source of negatives invents, and what the network predicts.

They are drawn from the same random numbers each time, so that pictures of several steps show the
change, and leave the training as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from open_set_seg.drawing import colour_labels, draw_heatmap
from open_set_seg.frame import ImageRGB
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.scores import LogisticMap
from training.flow import ImageFlow
from training.negatives import NegativeSource
from training.negatives.flow_patches import FlowPatches
from training.prediction import evaluated, predict
from training.randomness import make_generator
from training.recipes import ScoreRecipe

PICTURE_USE = 31  # of the recipe's seed
SAMPLES = 6  # of every size
SHOWN_WIDTH = 384  # pixels that a wider picture of predictions is reduced to
GAP = 4  # pixels between the parts of a picture
PAPER = 255  # between them
NOT_PASTED = 0.5  # colour of the part of a patch that its source does not want pasted


def picture_sizes(smallest: int, largest: int) -> list[int]:
    """``smallest``, its double, the double of that, and so on up to ``largest``; pixels."""
    sizes = [smallest]
    while 2 * sizes[-1] <= largest:
        sizes.append(2 * sizes[-1])
    return sizes


@torch.no_grad()
def draw_samples(source: NegativeSource | ImageFlow, sizes: Sequence[int], seed: int) -> ImageRGB:
    """Squares of each size in rows, enlarged to the largest size pixel by pixel.

    Args:
        source: in whichever mode; it is evaluated, and then in its mode again.
        sizes: sides in pixels, each one a divisor of the largest.
        seed: of the recipe.

    Returns:
        (H, W, 3) uint8 RGB: one row a size in the given order, ``SAMPLES`` columns.
    """
    rows = []
    with evaluated(source):
        for size in sizes:
            keys = [(seed, PICTURE_USE, size, index) for index in range(SAMPLES)]
            patches = _invent(source, size, [make_generator(*key) for key in keys])
            levels = (patches.float() * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1)
            factor = max(sizes) // size
            rows.append([each.repeat(factor, 0).repeat(factor, 1) for each in levels.cpu().numpy()])
    return _arrange(rows)


def draw_predictions(
    network: nn.Module,
    images: Sequence[ImageRGB],
    score: ScoreRecipe,
    space: LabelSpace,
    score_map: LogisticMap | None,
) -> ImageRGB:
    """Each image beside its nearest classes and its anomaly (dark 0, yellow 1), one below another.

    Args:
        network: as for ``draw_samples``.
        images: (H, W, 3) uint8 RGB, of any sizes.
        score: that is shown.
        space: of the network's classes.
        score_map: that publishes an unbounded score.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    rows = []
    with evaluated(network):
        for image in images:
            nearest, anomaly = predict(network, image, score, space, score_map)
            parts = [image, colour_labels(nearest, space), draw_heatmap(anomaly)]
            rows.append([_reduce(part) for part in parts])
    return _arrange(rows)


def _invent(
    source: NegativeSource | ImageFlow, size: int, generators: Sequence[torch.Generator]
) -> Tensor:
    """Patches (n, 3, size, size) in [0, 1]."""
    if isinstance(source, ImageFlow):
        return source.sample(size, size, generators)
    if isinstance(source, FlowPatches):
        return source.flow.sample(size, size, generators, source.temperature)
    like = next(source.parameters(), torch.empty(0))
    drawn = source.draw(like.new_zeros(len(generators), 3, size, size), generators)
    if drawn.masks is None:
        return drawn.patches
    return torch.where(drawn.masks, drawn.patches, NOT_PASTED)


def _reduce(picture: ImageRGB) -> ImageRGB:
    """A picture of at most ``SHOWN_WIDTH`` columns."""
    height, width = picture.shape[:2]
    if width <= SHOWN_WIDTH:
        return picture
    size = (SHOWN_WIDTH, max(1, round(height * SHOWN_WIDTH / width)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _arrange(rows: Sequence[Sequence[ImageRGB]]) -> ImageRGB:
    """Parts in rows and columns, every part in a cell as large as the largest."""
    height = max(part.shape[0] for row in rows for part in row) + GAP
    width = max(part.shape[1] for row in rows for part in row) + GAP
    columns = max(map(len, rows))
    picture = np.full((len(rows) * height + GAP, columns * width + GAP, 3), PAPER, np.uint8)
    for index, row in enumerate(rows):
        for column, part in enumerate(row):
            top, left = GAP + index * height, GAP + column * width
            picture[top : top + part.shape[0], left : left + part.shape[1]] = part
    return picture
