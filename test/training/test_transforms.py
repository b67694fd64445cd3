"""Augmentation keeps image and labels together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.datasets.transforms import augment, draw_scale, recolour
from training.recipes import AugmentationRecipe

PLAIN = AugmentationRecipe(crop_width=48, crop_height=32, mirror=0.0, colour=0.0, brightness=0.0)


def scene(height=60, width=100):
    """Labels in blocks, and an image whose red channel is 20 times the label."""
    rows, columns = np.mgrid[:height, :width]
    labels = ((rows // 20) * 3 + columns // 25).astype(np.uint8)
    image = np.stack([labels * 20, np.full_like(labels, 7), np.full_like(labels, 9)], axis=-1)
    return image, labels


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(0.5, 0.5), (0.7, 1.4), (2.0, 2.0), (0.2, 0.2)]))
def test_image_and_labels_move_together(seed, scale):
    image, labels = scene()
    recipe = dataclasses.replace(PLAIN, scale=scale, mirror=0.5)
    cut, target = augment(image, labels, recipe, np.random.default_rng(seed))
    assert cut.shape == (32, 48, 3)
    assert target.shape == (32, 48)
    assert cut.dtype == target.dtype == np.uint8
    labelled = target != 255
    assert set(np.unique(target[labelled])) <= set(np.unique(labels))
    # Resampling mixes colours only along the borders between labels.
    same = np.abs(cut[..., 0].astype(int) - 20 * target.astype(int)) <= 2
    assert same[labelled].mean() > 0.6
    assert (cut[~labelled] == 0).all()


def test_scale_one_is_a_plain_crop():
    image, labels = scene()
    recipe = dataclasses.replace(PLAIN, scale=(1.0, 1.0))
    cut, target = augment(image, labels, recipe, np.random.default_rng(3))
    np.testing.assert_array_equal(cut[..., 0], 20 * target)
    windows = [
        (top, left)
        for top in range(60 - 32 + 1)
        for left in range(100 - 48 + 1)
        if np.array_equal(labels[top : top + 32, left : left + 48], target)
    ]
    assert windows


def test_mirroring_turns_both_around():
    image, labels = scene(32, 48)
    recipe = dataclasses.replace(PLAIN, scale=(1.0, 1.0), mirror=1.0)
    cut, target = augment(image, labels, recipe, np.random.default_rng(0))
    np.testing.assert_array_equal(target, labels[:, ::-1])
    np.testing.assert_array_equal(cut, image[:, ::-1])


def test_the_same_stream_gives_the_same_sample():
    image, labels = scene()
    recipe = AugmentationRecipe(crop_width=48, crop_height=32)
    one, two, other = (
        augment(image, labels, recipe, np.random.default_rng(seed)) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize("seed", range(5))
def test_colours_change_mildly_and_stay_ordered(seed):
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    recipe = AugmentationRecipe(colour=0.2, brightness=10.0)
    changed = recolour(ramp, recipe, np.random.default_rng(seed)).astype(int)
    assert (np.diff(changed[0], axis=0) >= 0).all()
    assert np.abs(changed - ramp).max() <= 0.35 * 255 + 11
    same = recolour(ramp, PLAIN, np.random.default_rng(seed))
    np.testing.assert_array_equal(same, ramp)


def slopes(crop):
    """Image pixels from one pixel of a crop of ``coordinates`` to the next, down and right."""
    inside = crop[4:-4, 4:-4].astype(float)
    return np.diff(inside[..., 0], axis=0).mean(), np.diff(inside[..., 1], axis=1).mean()


def coordinates(height, width):
    """An image whose red is the row and whose green is the column, halved; no labels missing."""
    rows, columns = np.indices((height, width)) / 2.0
    image = np.dstack([rows, columns, 0 * rows]).astype(np.uint8)
    return image, np.zeros((height, width), np.uint8)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("height", "width"), [(240, 400), (400, 240)])
def test_the_short_side_is_resized_before_the_random_factor(height, width, factor):
    image, labels = coordinates(height, width)
    recipe = dataclasses.replace(
        PLAIN, crop_width=96, crop_height=96, short_side=360, scale=(factor, factor)
    )
    cut, target = augment(image, labels, recipe, np.random.default_rng(2))
    assert (target == 0).all()
    for slope in slopes(cut):
        assert slope == pytest.approx(0.5 * 240 / 360 / factor, rel=0.08)


def test_the_crop_of_a_small_image_holds_all_of_it():
    # 1024 pixels halved leave 512 of the 768 rows, as in the recipes of the seeds.
    image, labels = scene(128, 256)
    recipe = dataclasses.replace(
        PLAIN, crop_width=96, crop_height=96, short_side=128, scale=(0.5, 0.5)
    )
    _, target = augment(image, labels, recipe, np.random.default_rng(0))
    assert (target[:64] != 255).all()
    assert (target[64:] == 255).all()


@pytest.mark.parametrize(("distribution", "measure"), [("uniform", float), ("log_uniform", np.log)])
def test_scales_are_distributed_as_the_recipe_says(distribution, measure):
    recipe = dataclasses.replace(PLAIN, scale=(0.5, 2.0), scale_distribution=distribution)
    random = np.random.default_rng(5)
    drawn = np.sort([measure(draw_scale(recipe, random)) for _ in range(2000)])
    low, high = measure(0.5), measure(2.0)
    shares = (drawn - low) / (high - low)
    # Kolmogorov-Smirnov at the level of 1 %.
    assert np.abs(shares - (np.arange(2000) + 0.5) / 2000).max() < 1.63 / np.sqrt(2000)


def test_distributions_of_the_scale_share_the_rest_of_the_stream():
    image, labels = scene()
    recipe = AugmentationRecipe(crop_width=48, crop_height=32, scale=(0.7, 0.7))
    uniform = dataclasses.replace(recipe, scale_distribution="uniform")
    one, other = (augment(image, labels, r, np.random.default_rng(8)) for r in (recipe, uniform))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


def test_padding_has_its_own_colour_and_no_label():
    image, labels = scene(20, 30)
    colour = (73, 83, 72)
    recipe = AugmentationRecipe(
        crop_width=48, crop_height=32, scale=(1.0, 1.0), padding_colour=colour, brightness=40.0
    )
    cut, target = augment(image, labels, recipe, np.random.default_rng(1))
    padded = np.ones((32, 48), bool)
    padded[:20, :30] = False
    np.testing.assert_array_equal(target == 255, padded)
    assert (cut[padded] == colour).all()
    black = dataclasses.replace(recipe, padding_colour=(0, 0, 0))
    again, _ = augment(image, labels, black, np.random.default_rng(1))
    np.testing.assert_array_equal(cut[~padded], again[~padded])
