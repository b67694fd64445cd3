"""Confusion matrices by image: any draw of images gives what those images give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.metrics import ConfusionMatrix, OpenWorldConfusionMatrix
from open_set_seg.metrics.image_confusions import ImageConfusions, accuracies, mean_ious


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4))
def test_resampled_confusions_are_those_of_the_drawn_frames(seed, frames, classes):
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes + 1, (frames, 3, 5)).astype(np.uint8)
    truth[random.random(truth.shape) < 0.2] = 255
    guess = random.integers(0, classes + 1, truth.shape).astype(np.uint8)
    confusions = ImageConfusions(classes, open_world=True)
    for index in random.permutation(frames):
        confusions.add(f"{index}", truth[index], guess[index])
    weights = random.integers(0, 3, (6, frames))
    drawn = confusions.resampled(weights)
    known, all_labels = mean_ious(drawn, range(classes)), mean_ious(drawn, range(classes + 1))
    right = accuracies(drawn)
    for row, times in enumerate(weights):
        matrix = OpenWorldConfusionMatrix(classes)
        for index in np.repeat(np.arange(frames), times):
            matrix.add(truth[index], guess[index])
        np.testing.assert_array_equal(drawn[row], matrix.counts)
        assert known[row] == pytest.approx(matrix.open_mean_iou(), nan_ok=True)
        assert all_labels[row] == pytest.approx(matrix.mean_iou_with_unknown(), nan_ok=True)
        assert right[row] == pytest.approx(matrix.pixel_accuracy(), nan_ok=True)


def counted(names, seed=0, **options):
    random = np.random.default_rng(seed)
    confusions = ImageConfusions(4, **options)
    for name in names:
        confusions.add(name, *random.integers(0, 4, (2, 6, 7)).astype(np.uint8))
    return confusions


def test_the_figures_of_all_images_are_those_of_one_matrix(tmp_path):
    confusions = counted("ab")
    confusions.merge(counted("c", seed=1))
    confusions.save(tmp_path)
    loaded = ImageConfusions.load(tmp_path)
    assert loaded.ids == ["a", "b", "c"]
    matrix = loaded.total()
    assert isinstance(matrix, ConfusionMatrix)
    np.testing.assert_array_equal(matrix.counts, confusions.total().counts)
    statistics = loaded.statistics(np.ones((1, 3), np.int64))
    assert statistics["mIoU"][0] == pytest.approx(matrix.mean_iou())
    assert statistics["pixel_accuracy"][0] == pytest.approx(matrix.pixel_accuracy())


def test_images_are_counted_once_and_classes_must_fit():
    confusions = counted("ab")
    with pytest.raises(ValueError, match="'a' was added before"):
        confusions.add("a", np.zeros(2, np.uint8), np.zeros(2, np.uint8))
    with pytest.raises(ValueError, match="'b' was counted twice"):
        confusions.merge(counted("b"))
    for other in (ImageConfusions(5), counted("c", open_world=True)):
        with pytest.raises(ValueError, match="different classes"):
            confusions.merge(other)


def test_nothing_counted_is_nan(tmp_path):
    empty = ImageConfusions(3)
    empty.save(tmp_path)
    statistics = ImageConfusions.load(tmp_path).statistics(np.zeros((2, 0), np.int64))
    assert np.isnan(statistics["mIoU"]).all()
    assert np.isnan(statistics["pixel_accuracy"]).all()
