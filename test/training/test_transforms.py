"""Augmentation keeps image and labels together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.datasets.transforms import augment, recolour
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
