"""Samples of equal latents, crops without unknown objects, and pictures placed pixel by pixel."""

import numpy as np
import torch
from made_figures import UNKNOWN, make_scenes, open_picture

from training.figures.flow_samples import (
    COLUMNS,
    ENLARGED,
    ROWS,
    SIZES,
    cut_crops,
    draw_sample_rows,
    draw_samples,
    tile_images,
)
from training.flow import build_flow
from training.flow.bijections import ActNorm


def make_flow():
    torch.manual_seed(0)
    return build_flow("glow_small", steps=1, hidden=4).eval()


def test_flows_get_the_same_latents_at_every_size():
    flow, other = make_flow(), make_flow()
    with torch.no_grad():
        first = next(module for module in other.modules() if isinstance(module, ActNorm))
        other.base.mean += 0.05
        first.shift -= 0.01
    for size in (16, 32):
        one, again, moved = (draw_samples(each, size, 3) for each in (flow, flow, other))
        assert one.shape == (3, size, size, 3)
        assert (one == again).all()
        assert (one != moved).any()
        assert len(np.unique(one, axis=0)) == 3
        # Latents of their own would give two pictures that have nothing to do with each other.
        inner = (one > 0) & (one < 255) & (moved > 0) & (moved < 255)
        assert np.corrcoef(one[inner], moved[inner])[0, 1] > 0.95
    assert (draw_samples(flow, 16, 3)[:2] == draw_samples(flow, 16, 2)).all()
    assert (draw_samples(flow, 16, 2, seed=1) != draw_samples(flow, 16, 2)).any()


def test_crops_are_windows_of_scenes_without_unknown_objects():
    scenes = make_scenes()
    crops = cut_crops(scenes, 8, 40)
    # The first channel of a made scene holds its labels.
    assert crops.shape == (40, 8, 8, 3)
    assert UNKNOWN not in crops[..., 0]
    windows = np.concatenate(
        [
            np.lib.stride_tricks.sliding_window_view(scene.image, (8, 8, 3)).reshape(-1, 8, 8, 3)
            for scene in scenes
        ]
    )
    for crop in crops:
        assert (windows == crop).all(axis=(1, 2, 3)).any()
    assert len(np.unique(crops, axis=0)) > 30


def test_tiles_hold_the_images_row_by_row_and_enlarged():
    images = np.random.default_rng(1).integers(0, 200, (6, 4, 4, 3), np.uint8)
    tile = tile_images(images, 2, 3)
    side, gap = 4 * ENLARGED, 3
    assert tile.shape == (2 * side + gap, 3 * side + 2 * gap, 3)
    assert (tile == 255).all(axis=2).sum() == tile[..., 0].size - 6 * side * side
    for index, image in enumerate(images):
        top, left = (place * (side + gap) for place in divmod(index, 3))
        part = tile[top : top + side, left : left + side]
        for row in range(ENLARGED):
            for column in range(ENLARGED):
                assert (part[row::ENLARGED, column::ENLARGED] == image).all()


def test_every_pixel_of_every_image_is_in_the_picture_and_none_is_blended():
    colours = {}
    rows = {}
    for number, title in enumerate(("one", "two")):
        rows[title] = {}
        for place, size in enumerate(SIZES):
            colour = (40 + 100 * number, 30 + 60 * place, 220)
            count = ROWS[size] * COLUMNS[size]
            rows[title][size] = np.full((count, size, size, 3), colour, np.uint8)
            colours[colour] = count * (ENLARGED * size) ** 2
    pixels = open_picture(draw_sample_rows(rows))
    for colour, count in colours.items():
        assert (pixels == colour).all(axis=2).sum() == count
    # In the picture the first row is above the second.
    heights = [np.nonzero((pixels == (x, 30, 220)).all(axis=2))[0].mean() for x in (40, 140)]
    assert heights[0] < heights[1]
