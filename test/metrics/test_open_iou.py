"""open-mIoU: golden numbers, both folds, and what it must equal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score, roc_curve

from open_set_seg.metrics import (
    ConfusionMatrix,
    OpenSetFold,
    OpenWorldConfusionMatrix,
    ScoreCounts,
    open_set_labels,
    open_set_metrics,
    other_fold,
)


def golden():
    """Truth (4 = outlier, 255 = ignored), nearest classes and scores."""
    row, column = np.mgrid[:24, :32]
    truth = (row // 6 + column // 8) % 4
    truth[4:10, 5:12] = 4
    truth[18:22, 20:30] = 4
    truth[0] = 255
    nearest = (row // 6 + (column + 2) // 8) % 4
    score = ((5 * row + 3 * column) % 29) / 29
    score[4:9, 6:12] += 0.6
    score[18:21, 22:30] += 0.5
    score[12:14, 2:6] += 0.7
    return truth.astype(np.uint8), nearest.astype(np.uint8), score


def open_world(truth, predicted, classes=4):
    matrix = OpenWorldConfusionMatrix(classes)
    matrix.add(truth, predicted)
    return matrix


@pytest.mark.parametrize(
    ("threshold", "known", "unknown", "mean"),
    [
        (0.7, [0.45539906, 0.45744681, 0.32275132, 0.46543779], 0.17647059, 0.4252587451),
        (0.95, [0.59375, 0.56435644, 0.42028986, 0.57894737], 0.27192982, 0.5393359148),
    ],
)
def test_golden_numbers_at_a_threshold(threshold, known, unknown, mean):
    truth, nearest, score = golden()
    matrix = open_world(truth, open_set_labels(nearest, score, threshold, 4))
    assert matrix.class_iou() == pytest.approx([*known, unknown], abs=5.1e-9)
    assert matrix.unknown_iou() == pytest.approx(unknown, abs=5.1e-9)
    assert matrix.open_mean_iou() == pytest.approx(mean, abs=5.1e-11)
    assert matrix.mean_iou_with_unknown() == pytest.approx(np.mean([*known, unknown]), abs=1e-8)


def test_golden_closed_mean_iou():
    truth, nearest, _ = golden()
    matrix = ConfusionMatrix(4)
    matrix.add(truth, nearest)
    assert matrix.mean_iou() == pytest.approx(0.5978534699, abs=5.1e-11)


def threshold_by_scikit_learn(score, outliers):
    counted = outliers != 255
    false_rate, true_rate, thresholds = roc_curve(
        outliers[counted], score[counted], drop_intermediate=False
    )
    first = np.flatnonzero(true_rate > 0.95)[0]
    return thresholds[first], true_rate[first], false_rate[first]


def outlier_mask(truth, classes=4):
    return np.where(truth == 255, 255, truth == classes).astype(np.uint8)


def counted_scores(frames, classes):
    counts = ScoreCounts()
    for truth, _, score in frames:
        counts.add(score, outlier_mask(truth, classes))
    return counts


def test_golden_threshold():
    truth, _, score = golden()
    threshold, true_rate, false_rate = threshold_by_scikit_learn(score, outlier_mask(truth))
    assert threshold == pytest.approx(0.1724137931, abs=5.1e-11)
    assert true_rate == pytest.approx(0.9634146341, abs=5.1e-11)
    assert false_rate == pytest.approx(0.8287461774, abs=5.1e-11)
    counts = counted_scores([golden()], 4)
    assert counts.threshold_at_tpr(0.95, strict=True) == threshold


def scene(seed, classes=5, shape=(20, 30)):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes + 1, shape).astype(np.uint8)
    truth[generator.random(shape) < 0.1] = 255
    nearest = np.where(generator.random(shape) < 0.8, truth, generator.integers(0, classes, shape))
    nearest = np.where(nearest >= classes, 0, nearest).astype(np.uint8)
    return truth, nearest, generator.random(shape) + 0.5 * (truth == classes)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_perfect_detector_leaves_the_closed_set_figure(seed):
    truth, nearest, _ = scene(seed)
    closed = ConfusionMatrix(5)
    closed.add(truth, nearest)
    matrix = open_world(truth, np.where(truth == 5, 5, nearest), 5)
    assert matrix.open_mean_iou() == closed.mean_iou()
    assert matrix.unknown_iou() == 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_outliers_that_are_missed_only_lower_it(seed):
    truth, nearest, _ = scene(seed)
    closed = ConfusionMatrix(5)
    closed.add(truth, nearest)
    assert open_world(truth, nearest, 5).open_mean_iou() <= closed.mean_iou()


def fold_of(frames, threshold, group="t5"):
    matrix, closed = OpenWorldConfusionMatrix(5), ConfusionMatrix(5)
    for truth, nearest, score in frames:
        matrix.add(truth, open_set_labels(nearest, score, threshold, 5))
        closed.add(truth, nearest)
    return OpenSetFold(group, len(frames), threshold, matrix, closed)


def test_folds_weigh_by_their_images():
    one = fold_of([scene(1)], 0.6)
    two = fold_of([scene(2), scene(3), scene(4)], 0.9, "t6")
    metrics = open_set_metrics([one, two])
    assert metrics.open_mIoU == pytest.approx(
        0.25 * one.open_world.open_mean_iou() + 0.75 * two.open_world.open_mean_iou()
    )
    assert metrics.closed_mIoU == pytest.approx(
        0.25 * one.closed_set.mean_iou() + 0.75 * two.closed_set.mean_iou()
    )
    assert metrics.mIoU_K_plus_1 == pytest.approx(
        0.25 * one.open_world.mean_iou_with_unknown()
        + 0.75 * two.open_world.mean_iou_with_unknown()
    )
    assert metrics == open_set_metrics([two, one])


def test_two_folds_from_scores_to_the_figure():
    groups = ("t5", "t6")
    frames = {"t5": [scene(1), scene(2)], "t6": [scene(3), scene(4), scene(5)]}
    folds, expected = [], 0.0
    for group in groups:
        other = frames[other_fold(groups, group)]
        threshold = counted_scores(other, 5).threshold_at_tpr(0.95, strict=True)
        folds.append(fold_of(frames[group], threshold, group))
        # The same, by scikit-learn and by the definition.
        truth, nearest, score = (
            np.concatenate([one[part] for one in frames[group]]) for part in (0, 1, 2)
        )
        found, _, _ = threshold_by_scikit_learn(
            np.concatenate([one[2] for one in other]),
            np.concatenate([outlier_mask(one[0], 5) for one in other]),
        )
        predicted = np.where(score > found, 5, nearest)[truth != 255]
        ious = jaccard_score(truth[truth != 255], predicted, labels=range(5), average=None)
        expected += len(frames[group]) / 5 * ious.mean()
    assert open_set_metrics(folds).open_mIoU == pytest.approx(expected, abs=1e-12)


def test_every_fold_takes_the_threshold_of_the_other():
    assert other_fold(("t5", "t6"), "t5") == "t6"
    assert other_fold(("t5", "t6"), "t6") == "t5"
    with pytest.raises(ValueError, match="'t7'"):
        other_fold(("t5", "t6"), "t7")


def test_a_pixel_at_the_threshold_stays_known():
    nearest = np.array([[0, 1]], np.uint8)
    scores = np.array([[0.5, 0.75]], np.float32)
    np.testing.assert_array_equal(open_set_labels(nearest, scores, 0.5, 2), [[0, 2]])
    np.testing.assert_array_equal(open_set_labels(nearest, scores, 0.75, 2), [[0, 1]])


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ValueError, match="images"):
        open_set_metrics([])
    with pytest.raises(ValueError, match=r"\[0\]"):
        open_set_metrics([fold_of([], 0.5)])
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        open_set_labels(np.zeros((2, 2), np.uint8), np.zeros((2, 3)), 0.5, 3)
