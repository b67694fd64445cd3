"""Closed-set intersection over union."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from open_set_seg.metrics import ConfusionMatrix, OpenWorldConfusionMatrix


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


def random_labels(seed, labels, shape=(12, 15)):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, labels, shape).astype(np.uint8)
    truth[generator.random(shape) < 0.1] = 255
    return truth, generator.integers(0, labels, shape).astype(np.uint8)


def test_the_open_world_counts_outliers_and_rejections():
    # Rows: known 0, known 1, outlier; one pixel is ignored.
    truth = np.array([[0, 0, 1, 1, 2, 2, 2, 255]], np.uint8)
    predicted = np.array([[0, 2, 1, 0, 2, 2, 1, 2]], np.uint8)
    matrix = OpenWorldConfusionMatrix(2)
    matrix.add(truth, predicted)
    np.testing.assert_array_equal(matrix.counts, [[1, 0, 1], [1, 1, 0], [0, 1, 2]])
    np.testing.assert_allclose(matrix.class_iou(), [1 / 3, 1 / 3, 2 / 4])
    assert matrix.open_mean_iou() == pytest.approx(1 / 3)
    assert matrix.unknown_iou() == 0.5
    assert matrix.mean_iou_with_unknown() == pytest.approx((1 / 3 + 1 / 3 + 1 / 2) / 3)
    assert matrix.pixel_accuracy() == pytest.approx(4 / 7)


def test_the_open_world_agrees_with_scikit_learn():
    truth, predicted = random_labels(0, 5, (40, 50))
    matrix = OpenWorldConfusionMatrix(4)
    matrix.add(truth, predicted)
    flat = truth[truth != 255], predicted[truth != 255]
    np.testing.assert_array_equal(matrix.counts, confusion_matrix(*flat))
    assert matrix.mean_iou_with_unknown() == pytest.approx(jaccard_score(*flat, average="macro"))
    assert matrix.open_mean_iou() == pytest.approx(
        jaccard_score(*flat, labels=[0, 1, 2, 3], average="macro")
    )


def test_nothing_unknown_is_nan_and_a_world_without_outliers_is_closed():
    truth, predicted = random_labels(1, 4)
    matrix, closed = OpenWorldConfusionMatrix(4), ConfusionMatrix(4)
    for one in (matrix, closed):
        one.add(truth, predicted)
    assert np.isnan(matrix.unknown_iou())
    assert matrix.open_mean_iou() == matrix.mean_iou_with_unknown() == closed.mean_iou()


@pytest.mark.parametrize("truth", [3, 254, -1])
def test_true_labels_that_mean_nothing_in_the_open_world_are_refused(truth):
    with pytest.raises(ValueError, match=f"not {truth}"):
        OpenWorldConfusionMatrix(2).add(np.array([0, truth]), np.array([0, 0]))
    with pytest.raises(ValueError, match="3 classes"):
        OpenWorldConfusionMatrix(2).add(np.array([0]), np.array([3]))


@pytest.mark.parametrize("kind", [ConfusionMatrix, OpenWorldConfusionMatrix])
def test_splitting_merging_and_saving_change_nothing(kind, tmp_path):
    together, parts = kind(4), [kind(4), kind(4)]
    for seed in range(5):
        truth, predicted = random_labels(seed, 4)
        together.add(truth, predicted)
        parts[seed % 2].add(truth, predicted)
    parts[0].save(tmp_path)
    parts[1].merge(kind.load(tmp_path))
    np.testing.assert_array_equal(parts[1].counts, together.counts)
    assert parts[1].num_classes == 4
    assert parts[1].mean_iou() == together.mean_iou()


def test_matrices_that_do_not_add_up_are_refused(tmp_path):
    with pytest.raises(ValueError, match="of 2 classes"):
        ConfusionMatrix(2).merge(ConfusionMatrix(3))
    with pytest.raises(ValueError, match="OpenWorld"):
        ConfusionMatrix(2).merge(OpenWorldConfusionMatrix(2))
    with pytest.raises(ValueError, match="at least one"):
        ConfusionMatrix(0)
    for counts in (np.zeros((2, 3), np.int64), np.zeros((2, 2)), np.full((2, 2), -1)):
        np.save(tmp_path / "confusion.npy", counts)
        with pytest.raises(ValueError, match=r"confusion\.npy"):
            ConfusionMatrix.load(tmp_path)
