"""Places of negative patches, cutting and pasting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.mixed_content import (
    Place,
    choose_places,
    cut,
    outlier_mask,
    paste,
    patch_generators,
    split_by_size,
)


def choose(height=96, width=160, slots=range(4), seed=3, step=5, sizes=(16, 48), **options):
    return choose_places(height, width, slots, seed=seed, step=step, sizes=sizes, **options)


def flat(places):
    return [place for row in places for place in row]


OPTIONS = [
    {},
    {"per_image": 2},
    {"one_size": "image", "per_image": 3},
    {"placement": "perspective", "shape": "ellipse"},
    {"placement": "perspective", "one_size": "image", "per_image": 2, "shape": "blob"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_places_depend_on_seed_step_and_slot_alone(options):
    whole = choose(slots=range(6), **options)
    assert whole == choose(slots=range(6), **options)
    assert whole[2:4] + whole[:1] == choose(slots=[2, 3, 0], **options)
    assert whole != choose(slots=range(6), seed=4, **options)
    assert whole != choose(slots=range(6), step=6, **options)
    corners = [(place.top, place.left) for place in flat(whole)]
    assert len(set(corners)) == len(corners)


def brute_force(images, patches, places, masks):
    mixed = images.clone()
    number = 0
    for index, row in enumerate(places):
        for place in row:
            inside = place.mask()
            for i in range(place.height):
                for j in range(place.width):
                    if inside[i, j] and (masks is None or masks[number, 0, i, j]):
                        patch = 255.0 * patches[number, :, i, j]
                        mixed[index, :, place.top + i, place.left + j] = patch
            number += 1
    return mixed


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    height=st.integers(8, 41),
    width=st.integers(8, 41),
    per_image=st.integers(1, 3),
    placement=st.sampled_from(["uniform", "perspective"]),
    shape=st.sampled_from(["rectangle", "ellipse", "blob"]),
    masked=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_pasting_equals_a_loop_over_pixels(
    height, width, per_image, placement, shape, masked, seed
):
    places = choose(
        height, width, range(2), seed, sizes=(8, 24), per_image=per_image,
        placement=placement, shape=shape,
    )  # fmt: skip
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 3, height, width), generator=random).float()
    first = places[0][0]
    size = (2 * per_image, 3, first.height, first.width)
    patches = torch.rand(size, generator=random)
    masks = torch.rand((size[0], 1, *size[2:]), generator=random) < 0.5 if masked else None
    mixed = paste(images, patches, places, masks)
    torch.testing.assert_close(mixed, brute_force(images, patches, places, masks), rtol=0, atol=0)
    labels = torch.randint(0, 3, (2, height, width), generator=random).to(torch.uint8)
    kept, pasted = outlier_mask(labels, places, masks)
    marker = brute_force(torch.zeros_like(images), torch.ones(size), places, masks)[:, 0] > 0
    assert (pasted == marker).all()
    assert (kept == labels.masked_fill(marker, 255)).all()
    assert ((mixed != images).any(dim=1) <= pasted).all()


def test_cutting_what_was_pasted_gives_it_back():
    places = choose(one_size="batch")
    images = torch.zeros(4, 3, 96, 160, dtype=torch.uint8)
    place = places[0][0]
    patches = torch.rand(4, 3, place.height, place.width)
    crops = cut(paste(images.float(), patches, places), places)
    torch.testing.assert_close(crops, 255.0 * patches, rtol=0, atol=0)
    assert cut(images, places).dtype == torch.float32


@pytest.mark.parametrize("shape", ["rectangle", "ellipse", "blob"])
def test_gradients_are_the_mask(shape):
    places = choose(slots=range(2), per_image=2, shape=shape)
    place = places[0][0]
    random = torch.Generator().manual_seed(0)
    images = (255 * torch.rand(2, 3, 96, 160, generator=random)).requires_grad_()
    patches = torch.rand(4, 3, place.height, place.width, generator=random).requires_grad_()
    weights = torch.rand(2, 3, 96, 160, generator=random)
    (weights * paste(images, patches, places)).sum().backward()
    _, pasted = outlier_mask(torch.zeros(2, 96, 160, dtype=torch.long), places)
    assert pasted.any()
    torch.testing.assert_close(images.grad, weights * ~pasted[:, None])
    # The second patch of an image hides the first where they overlap.
    for number, place in enumerate(flat(places)):
        visible = place.mask().clone()
        if number % 2 == 0:
            over = torch.zeros(96, 160, dtype=torch.bool)
            above = places[number // 2][1]
            over[above.rows, above.columns] = above.mask()
            visible &= ~over[place.rows, place.columns]
        expected = 255.0 * weights[number // 2][:, place.rows, place.columns] * visible
        torch.testing.assert_close(patches.grad[number], expected)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    height=st.integers(8, 70),
    width=st.integers(8, 70),
    low=st.integers(1, 40),
    more=st.integers(7, 60),
    placement=st.sampled_from(["uniform", "perspective"]),
    one_size=st.sampled_from(["batch", "image"]),
    seed=st.integers(0, 2**31),
)
def test_sides_are_multiples_of_8_in_range_and_inside(
    height, width, low, more, placement, one_size, seed
):
    sizes = (low, low + more)
    places = choose(
        height, width, range(3), seed, sizes=sizes, per_image=2, placement=placement,
        one_size=one_size,
    )  # fmt: skip
    for place in flat(places):
        for start, side, available in (
            (place.top, place.height, height),
            (place.left, place.width, width),
        ):
            assert side % 8 == 0
            assert side <= sizes[1]
            assert side >= low or side == available // 8 * 8
            assert 0 <= start <= available - side
    sizes_found = {(place.height, place.width) for place in flat(places)}
    assert one_size == "image" or len(sizes_found) == 1


def histogram(values, count):
    return np.bincount(np.asarray(values), minlength=count)


def chi_square(counts):
    expected = counts.sum() / len(counts)
    return ((counts - expected) ** 2 / expected).sum()


def test_sizes_and_positions_are_uniform():
    # The bounds are the 99.99 % quantiles of chi^2 with 4, 24 and 16 degrees of freedom.
    firsts = [choose(step=step, slots=[1])[0][0] for step in range(3000)]
    rows = np.array([place.height // 8 - 2 for place in firsts])
    columns = np.array([place.width // 8 - 2 for place in firsts])
    assert chi_square(histogram(rows, 5)) < 23.5
    assert chi_square(histogram(columns, 5)) < 23.5
    assert chi_square(histogram(5 * rows + columns, 25)) < 59.0
    places = [choose(height=96, width=56, sizes=(40, 40), step=n)[2][0] for n in range(3000)]
    assert chi_square(histogram([place.top for place in places], 57)) < 104.0  # 56
    assert chi_square(histogram([place.left for place in places], 17)) < 45.9


def test_both_images_of_a_step_are_placed_independently():
    rows = [flat(choose(step=step, slots=range(2))) for step in range(2000)]
    tops = np.array([[(p.top / (96 - p.height)) for p in row] for row in rows])
    assert abs(np.corrcoef(tops.T)[0, 1]) < 0.09  # four deviations of 2000 draws


def test_perspective_lets_near_patches_be_larger_and_more_frequent():
    height, sizes = 256, (16, 96)
    for one_size in ("batch", "image"):
        places = flat(
            choose(height, 512, range(1), step=step, sizes=sizes, placement="perspective",
                   one_size=one_size)[0]
            for step in range(1500)
        )  # fmt: skip
        feet = np.array([place.top + place.height for place in places])
        heights = np.array([place.height for place in places])
        depth = (feet / height - 0.42) / 0.58
        assert (feet >= round(0.42 * height)).all()
        # Linear, but for the rounding to multiples of 8 (and of the foot to whole pixels).
        expected = sizes[0] + depth * (sizes[1] - sizes[0])
        assert np.abs(heights - expected).max() <= 4.5
        # Density 2 t: the depth's cumulative share is t^2.
        for t in (0.25, 0.5, 0.75):
            assert (depth < t).mean() == pytest.approx(t**2, abs=0.05)
        ratio = np.array([place.width / place.height for place in places if place.height == 48])
        assert 0.4 <= ratio.min() < 0.75
        assert 1.4 < ratio.max() <= 2.0


def test_masks_of_the_shapes():
    assert Place(0, 0, 8, 16).mask().all()
    ellipse = Place(0, 0, 40, 72, "ellipse").mask()
    assert ellipse.float().mean().item() == pytest.approx(np.pi / 4, abs=0.01)
    for lines in (ellipse, ellipse.T):
        assert lines.any(dim=1).all()
        assert (lines == lines.flip(0)).all()
    blobs = [Place(0, 0, 40, 72, "blob", (0, 1, slot, 0)).mask() for slot in range(30)]
    shares = [blob.float().mean().item() for blob in blobs]
    assert 0.29 < min(shares) < 0.4
    assert 0.6 < max(shares) < 0.71
    # Smooth: a pixel's neighbours are like it; noise of single pixels would differ at every other.
    changes = [(blob[:, 1:] != blob[:, :-1]).float().mean().item() for blob in blobs]
    assert max(changes) < 0.06
    assert not (blobs[0] == blobs[1]).all()
    assert (blobs[0] == Place(9, 5, 40, 72, "blob", (0, 1, 0, 0)).mask()).all()


@given(height=st.integers(1, 6), width=st.integers(1, 6), slot=st.integers(0, 10**6))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_no_shape_is_ever_empty(height, width, slot):
    for shape in ("rectangle", "ellipse", "blob"):
        mask = Place(0, 0, 8 * height, 8 * width, shape, (0, 0, slot, 0)).mask()
        assert mask.shape == (8 * height, 8 * width)
        assert mask.any()


def test_a_border_around_patches_loses_its_class():
    labels = torch.full((1, 20, 30), 2, dtype=torch.uint8)
    place = Place(0, 4, 8, 16, "ellipse")
    kept, pasted = outlier_mask(labels, [[place]], ignore_border=2)
    rows, columns = np.nonzero(pasted[0].numpy())
    for i in range(20):
        for j in range(30):
            near = (np.maximum(abs(rows - i), abs(columns - j)) <= 2).any()
            assert kept[0, i, j] == (255 if near else 2)
    assert (labels == 2).all()


def test_pasted_pixels_over_unlabelled_ones_are_outliers():
    labels = torch.full((1, 16, 16), 255)
    _, pasted = outlier_mask(labels, [[Place(0, 0, 8, 8)]])
    assert pasted.sum() == 64


def test_groups_of_one_size_hold_every_place_once_in_one_order():
    places = choose(slots=range(5), one_size="image", per_image=3)
    groups = split_by_size(places)
    for group in groups:
        assert len({(place.height, place.width) for place in flat(group)}) == 1
        assert len(group) == 5
        cut(torch.zeros(5, 3, 96, 160), group)
    assert sorted(map(str, flat(places))) == sorted(str(p) for g in groups for p in flat(g))
    # An image's patches are pasted in the same order when it is alone.
    together = [place for group in groups for place in group[3]]
    assert together == [place for group in split_by_size([places[3]]) for place in group[0]]


def test_generators_of_patches_are_functions_of_the_key():
    places = choose(slots=range(3), per_image=2)
    numbers = [torch.rand(3, generator=each).tolist() for each in patch_generators(places)]
    alone = [torch.rand(3, generator=each).tolist() for each in patch_generators([places[1]])]
    assert alone == numbers[2:4]
    assert len(set(map(tuple, numbers))) == 6


def test_requests_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"no side that is a multiple of 8 lies in \(9, 15\)"):
        choose(sizes=(9, 15))
    with pytest.raises(ValueError, match="no side that is a multiple of 8"):
        choose(sizes=(0, 7))
    with pytest.raises(ValueError, match="images of 8 pixels, found 7"):
        choose(height=7)
    with pytest.raises(ValueError, match="unknown placement 'road'"):
        choose(placement="road")
    with pytest.raises(ValueError, match="shape 'star'"):
        choose(shape="star")
    with pytest.raises(ValueError, match="a batch or an image, found 'patch'"):
        choose(one_size="patch")
    images = torch.zeros(1, 3, 16, 16)
    with pytest.raises(ValueError, match="places of one size"):
        cut(images, [[Place(0, 0, 8, 8), Place(0, 0, 8, 16)]])
    with pytest.raises(ValueError, match="places of one size"):
        cut(images, [[]])
    with pytest.raises(ValueError, match="2 patches and 1 images for 1 places"):
        paste(images, torch.zeros(2, 3, 8, 8), [[Place(0, 0, 8, 8)]])
    with pytest.raises(ValueError, match=r"\(8, 16\) pixels does not fit"):
        paste(images, torch.zeros(1, 3, 8, 16), [[Place(0, 0, 8, 8)]])
    with pytest.raises(ValueError, match="is outside an image"):
        paste(images, torch.zeros(1, 3, 8, 8), [[Place(10, 0, 8, 8)]])
    with pytest.raises(ValueError, match="expected 1 masks, found 2"):
        paste(images, torch.zeros(1, 3, 8, 8), [[Place(0, 0, 8, 8)]], torch.ones(2, 1, 8, 8))
