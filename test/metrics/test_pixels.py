"""Exact pixel metrics against golden numbers, scikit-learn and definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from open_set_seg.metrics import pixel_metrics


def golden_frames(dtype):
    """The two frames for which SegmentMeIfYouCan's and scikit-learn's figures are recorded."""
    for frame in (0, 1):
        row, column = np.mgrid[:120, :200]
        label = np.zeros((120, 200), np.uint8)
        label[30:70, 40:90] = 1
        label[90:105, 150:170] = 1
        label[10:14, 10:18] = 1
        if frame == 1:
            label[60:64, 100:104] = 1
        label[:5] = 255
        label[:, 195:] = 255
        score = 0.5 * ((7 * row + 13 * column + 17 * frame) % 101) / 101
        score[34 + frame : 74 + frame, 44:96] += 0.45
        score[88:101, 148:161] += 0.40
        score[95:111, 20:40] += 0.48
        score[50:55, 120:130] += 0.48
        yield score.astype(dtype), label


def test_golden_numbers():
    metrics = pixel_metrics(golden_frames(np.float64))
    assert metrics["AP"] == pytest.approx(0.5215598749, abs=1e-10)
    assert metrics["AUROC"] == pytest.approx(0.8489056659, abs=1e-10)
    assert metrics["FPR95"] == pytest.approx(0.8103559871, abs=1e-10)
    assert metrics["best_F1"] == pytest.approx(0.6657455628, abs=1e-10)
    assert metrics["best_F1_threshold"] == pytest.approx(0.49900990, abs=1e-8)


def oracle(scores, labels):
    counted = labels != 255
    truth, scores = labels[counted], scores[counted]
    false_rate, true_rate, _ = roc_curve(truth, scores, drop_intermediate=False)
    precision, recall, thresholds = precision_recall_curve(truth, scores)
    with np.errstate(invalid="ignore"):
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))[:-1]
    # scikit-learn's rates are quotients: compare with a hair's breadth of slack.
    return {
        "AP": average_precision_score(truth, scores),
        "AUROC": roc_auc_score(truth, scores),
        "FPR95": false_rate[np.argmax(true_rate >= 0.95 - 1e-12)],
        "best_F1": f1.max(),
        "best_F1_threshold": thresholds[np.flatnonzero(f1 >= f1.max() - 1e-12)[-1]],
    }


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.sampled_from([2, 5, 50, 10**6]),
    st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_agreement_with_scikit_learn_with_and_without_ties(seed, frame_count, levels, dtype):
    generator = np.random.default_rng(seed)
    frames = []
    for _ in range(frame_count):
        labels = generator.choice(np.array([0, 1, 255], np.uint8), (13, 17), p=[0.6, 0.2, 0.2])
        labels[0, :2] = [0, 1]
        scores = generator.integers(0, levels, labels.shape) / levels + 0.1 * (labels == 1)
        frames.append((scores.astype(dtype), labels))
    expected = oracle(*(np.concatenate([frame[part] for frame in frames]) for part in (0, 1)))
    metrics = pixel_metrics(frames)
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, abs=1e-9), name


def test_the_operating_point_is_the_first_that_reaches_95_percent_exactly():
    # 20 outliers: the 19th is exactly 95 %, which counts as reached.
    outliers = np.linspace(1.0, 0.5, 20)
    inliers = np.array([0.51, 0.2])
    scores = np.concatenate([outliers, inliers])[None]
    labels = np.concatenate([np.ones(20), np.zeros(2)]).astype(np.uint8)[None]
    assert pixel_metrics([(scores, labels)])["FPR95"] == 0.0


def test_all_pixels_are_pooled():
    generator = np.random.default_rng(0)
    scores = generator.random((8, 10, 10)).astype(np.float32)
    labels = (generator.random((8, 10, 10)) < 0.2).astype(np.uint8)
    together = pixel_metrics([(scores.reshape(80, 10), labels.reshape(80, 10))])
    # A frame without any outlier takes part too.
    labels_of_frames = zip(scores, labels, strict=True)
    assert pixel_metrics(labels_of_frames) == together


def test_perfect_reversed_and_constant_scores():
    labels = np.array([[0] * 90 + [1] * 10], np.uint8)
    perfect = pixel_metrics([(labels.astype(np.float32), labels)])
    assert perfect == {
        "AP": 1.0, "FPR95": 0.0, "AUROC": 1.0, "best_F1": 1.0, "best_F1_threshold": 1.0,
    }  # fmt: skip
    reversed_ = pixel_metrics([(1 - labels.astype(np.float32), labels)])
    assert (reversed_["FPR95"], reversed_["AUROC"]) == (1.0, 0.0)
    constant = pixel_metrics([(np.zeros((1, 100)), labels)])
    assert constant["AP"] == pytest.approx(0.1)
    assert constant["AUROC"] == 0.5
    assert constant["FPR95"] == 1.0


def test_infinite_scores_are_scores():
    labels = np.array([[0, 0, 1, 1]], np.uint8)
    metrics = pixel_metrics([(np.array([[-np.inf, 0.0, 1.0, np.inf]]), labels)])
    assert metrics["AP"] == 1.0


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([[0.1, np.nan, 0.3]], [[0, 1, 0]], "NaN"),
        ([[0.1, 0.2, np.nan]], [[0, 1, 0]], "NaN"),
        ([[0.1, 0.2, 0.3]], [[0, 1, 2]], "labels"),
        ([[0.1, 0.2]], [[0, 1, 0]], "shape"),
        ([[0.1, 0.2, 0.3]], [[0, 0, 255]], "outliers"),
        ([[0.1, 0.2, 0.3]], [[1, 1, 255]], "inliers"),
    ],
)
def test_what_cannot_be_judged_is_refused(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        pixel_metrics([(np.array(scores), np.array(labels, np.uint8))])


def test_nan_on_ignored_pixels_does_not_matter():
    labels = np.array([[0, 1, 255]], np.uint8)
    assert pixel_metrics([(np.array([[0.1, 0.2, np.nan]]), labels)])["AP"] == 1.0


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match="fishyscapes"):
        pixel_metrics([], protocol="mine")
