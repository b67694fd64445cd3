"""Connected components against flood fill, SciPy and shapes whose answer is plain to see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from scipy import ndimage

from open_set_seg.metrics.connected import label_components


def drawn(picture):
    return np.array([[pixel == "#" for pixel in row] for row in picture.split()], np.bool_)


def flood_fill(mask):
    """Labels by walking from pixel to pixel."""
    labels = np.zeros(mask.shape, np.int32)
    count = 0
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        count += 1
        labels[start] = count
        waiting = [start]
        while waiting:
            row, column = waiting.pop()
            for r in range(max(row - 1, 0), min(row + 2, mask.shape[0])):
                for c in range(max(column - 1, 0), min(column + 2, mask.shape[1])):
                    if mask[r, c] and not labels[r, c]:
                        labels[r, c] = count
                        waiting.append((r, c))
    return labels, count


@settings(max_examples=200, deadline=None)
@given(
    hypothesis_numpy.arrays(
        np.bool_, hypothesis_numpy.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12)
    )
)
def test_any_mask_is_labelled_as_flood_fill_does(mask):
    labels, count = label_components(mask)
    expected, expected_count = flood_fill(mask)
    assert count == expected_count
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.35, 0.45, 0.6, 0.9])
def test_large_noise_is_labelled_as_scipy_does(share):
    mask = np.random.default_rng(int(100 * share)).random((301, 257)) < share
    labels, count = label_components(mask)
    expected, expected_count = ndimage.label(mask, np.ones((3, 3)))
    assert count == expected_count
    np.testing.assert_array_equal(labels, expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_joining_long_chains_in_any_order(seed, teeth):
    # Teeth that hang from a beam below meet only at the very end.
    comb = np.zeros((5, 2 * teeth + 1), np.bool_)
    comb[:, ::2] = np.random.default_rng(seed).random((5, teeth + 1)) < 0.9
    comb[4] = True
    labels, count = label_components(comb)
    expected, expected_count = ndimage.label(comb, np.ones((3, 3)))
    assert count == expected_count
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize(
    ("picture", "count"),
    [
        ("#. .#", 1),
        (".# #.", 1),
        ("#.# ... #.#", 4),
        ("#.# .#. #.#", 1),
        ("##### #...# #.#.# #...# #####", 2),
        ("#######. ......#. #####.#. #...#.#. #.###.#. #.....#. #######.", 1),
        # What ends one row does not touch what begins the next.
        ("..# ... #..", 2),
        ("...# #...", 2),
        ("....", 0),
        ("#", 1),
    ],
)
def test_drawn_masks(picture, count):
    assert label_components(drawn(picture))[1] == count


def test_components_are_numbered_by_their_first_pixels():
    labels, _ = label_components(drawn("..#.. #.#.# #...#"))
    np.testing.assert_array_equal(labels, [[0, 0, 1, 0, 0], [2, 0, 1, 0, 3], [2, 0, 0, 0, 3]])


def test_what_is_not_a_mask_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 2, 1\)"):
        label_components(np.zeros((2, 2, 1), np.bool_))
    with pytest.raises(ValueError, match="uint8"):
        label_components(np.zeros((2, 2), np.uint8))
