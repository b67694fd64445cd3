"""Components of masks: against OpenCV's own statistics, and against counting pixel by pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from open_set_seg.components import find_runs, label_components

masks = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
)


@given(masks)
def test_runs_put_the_mask_together_again(mask):
    runs = find_runs(mask)
    made = np.zeros_like(mask)
    for row, column, length in zip(runs.rows, runs.columns, runs.lengths, strict=True):
        assert length > 0
        assert not made[row, max(0, column - 1) : column + length + 1].any(), "runs touch"
        made[row, column : column + length] = 1
    np.testing.assert_array_equal(made, mask)
    np.testing.assert_array_equal(runs.pixels(mask.shape[1]), np.flatnonzero(mask))


@given(masks)
def test_areas_and_boxes_are_those_of_the_labels(mask):
    found = label_components(mask)
    assert set(np.unique(found.labels)) - {0} == set(range(1, found.count))
    np.testing.assert_array_equal(found.labels > 0, mask > 0)
    areas, boxes = found.areas(), found.boxes()
    assert areas[0] == 0
    for number in range(1, found.count):
        rows, columns = np.nonzero(found.labels == number)
        assert areas[number] == rows.size
        left, top, width, height = boxes[number]
        assert (left, top) == (columns.min(), rows.min())
        assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6])
def test_large_masks_give_what_opencv_gives(share):
    mask = (np.random.default_rng(0).random((301, 517)) < share).astype(np.uint8)
    found = label_components(mask)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    assert found.count == count
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.areas()[1:], stats[1:, cv2.CC_STAT_AREA])
    np.testing.assert_array_equal(found.boxes()[1:], stats[1:, :4])


def test_runs_can_be_chosen():
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 1], [1, 0, 0, 0]], np.uint8)
    found = label_components(mask)
    chosen = found.runs.select(found.areas()[found.numbers] == 2)
    np.testing.assert_array_equal(chosen.pixels(4), [0, 1, 3, 7])
