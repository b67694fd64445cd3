"""Closed-set intersection over union."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from open_set_seg.metrics import ConfusionMatrix


def test_golden_closed_mean_iou():
    row, column = np.mgrid[:24, :32]
    truth = (row // 6 + column // 8) % 4
    truth[4:10, 5:12] = 4
    truth[18:22, 20:30] = 4
    truth[0] = 5
    predicted = (row // 6 + (column + 2) // 8) % 4
    matrix = ConfusionMatrix(4)
    matrix.add(truth, predicted)
    assert matrix.mean_iou() == pytest.approx(0.5978534699, abs=1e-10)


def test_agreement_with_scikit_learn_pooled_over_frames():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 5, (6, 20, 30)).astype(np.uint8)
    predicted = np.where(generator.random(truth.shape) < 0.6, truth, 4 - truth).astype(np.uint8)
    matrix = ConfusionMatrix(5)
    for true, guess in zip(truth, predicted, strict=True):
        matrix.add(true, guess)
    flat = truth.ravel(), predicted.ravel()
    np.testing.assert_array_equal(matrix.counts, confusion_matrix(*flat))
    np.testing.assert_allclose(matrix.class_iou(), jaccard_score(*flat, average=None))
    assert matrix.pixel_accuracy() == pytest.approx((truth == predicted).mean())


def test_unknown_and_unlabelled_pixels_are_not_counted_whatever_was_predicted():
    truth = np.array([[0, 1, 2, 3, 255]], np.uint8)
    matrix = ConfusionMatrix(3)
    matrix.add(truth, np.array([[0, 1, 2, 3, 200]], np.uint8))
    assert matrix.counts.sum() == 3
    assert matrix.mean_iou() == 1.0


def test_a_class_that_never_occurs_does_not_weigh_in():
    matrix = ConfusionMatrix(3)
    matrix.add(np.array([0, 0, 1]), np.array([0, 0, 0]))
    np.testing.assert_allclose(matrix.class_iou(), [2 / 3, 0, np.nan])
    assert matrix.mean_iou() == pytest.approx(1 / 3)


def test_nothing_counted_is_nan():
    assert np.isnan(ConfusionMatrix(2).mean_iou())
    assert np.isnan(ConfusionMatrix(2).pixel_accuracy())


def test_foreign_predictions_and_shapes_are_refused():
    with pytest.raises(ValueError, match="classes"):
        ConfusionMatrix(2).add(np.array([0]), np.array([2]))
    with pytest.raises(ValueError, match=r"\(3,\)"):
        ConfusionMatrix(2).add(np.zeros(2, np.uint8), np.zeros(3, np.uint8))
