"""Exact pixel metrics against golden numbers, scikit-learn and definitions."""

import numpy as np
import pytest
from golden_frames import golden_frames
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from open_set_seg.metrics import PROTOCOLS, ImageMetrics, PixelRule, pixel_metrics


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


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_every_protocol_gives_its_figures(name):
    metrics = pixel_metrics(golden_frames(np.float32), protocol=name)
    for key in ("AP", "FPR95", "AUROC", "best_F1"):
        assert 0 < metrics[key] < 1, key


def images_with_and_without_classes(seed=3):
    generator = np.random.default_rng(seed)
    for share in (0.3, 0.0, 0.1, 1.0, 0.02):
        labels = (generator.random((30, 40)) < share).astype(np.uint8)
        labels[generator.random((30, 40)) < 0.1] = 255
        scores = generator.integers(0, 40, labels.shape) + 8.0 * (labels == 1)
        yield scores.astype(np.float32), labels


def test_the_mean_over_images_leaves_out_those_that_lack_a_class():
    images = list(images_with_and_without_classes())
    expected = [oracle(*images[index]) for index in (0, 2, 4)]
    metrics = pixel_metrics(images, PixelRule(pooling="images"))
    assert (metrics["images"], metrics["skipped_images"]) == (3, 2)
    for key in ("AP", "FPR95", "AUROC", "best_F1"):
        mean = np.mean([figures[key] for figures in expected])
        assert metrics[key] == pytest.approx(mean, abs=1e-9), key
    assert np.isnan(metrics["best_F1_threshold"])


def test_images_without_outliers_alone_are_refused():
    labels = np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError, match="none of 1 images"):
        pixel_metrics([(np.zeros((2, 2)), labels)], PixelRule(pooling="images"))


def test_image_metrics_are_the_same_however_they_are_split(tmp_path):
    images = list(images_with_and_without_classes())
    rule = PROTOCOLS["streethazards"].pixels
    whole, parts = ImageMetrics(rule), [ImageMetrics(rule) for _ in range(2)]
    for index, (scores, labels) in enumerate(images):
        whole.add(str(index), scores, labels)
        parts[index % 2].add(str(index), scores, labels)
    parts[1].save(tmp_path)
    merged = ImageMetrics.load(tmp_path)
    merged.merge(parts[0])
    assert merged.ids == whole.ids == list("01234")
    assert str(merged.metrics()) == str(whole.metrics())
    with pytest.raises(ValueError, match="added before"):
        merged.merge(parts[1])
    with pytest.raises(ValueError, match="closest"):
        merged.merge(ImageMetrics(PixelRule(operating_point="closest")))


def test_resampled_image_metrics_are_weighted_means():
    images = ImageMetrics()
    for index, (scores, labels) in enumerate(images_with_and_without_classes()):
        images.add(str(index), scores, labels)
    once, twice, none = [1, 1, 1, 1, 1], [2, 1, 0, 0, 3], [0, 1, 0, 1, 0]
    drawn = images.statistics(np.array([once, twice, none]))
    for key in ("AP", "FPR95", "AUROC", "best_F1"):
        first, last = (images.rows[name][key] for name in "04")
        assert drawn[key][0] == pytest.approx(images.metrics()[key])
        assert drawn[key][1] == pytest.approx((2 * first + 3 * last) / 5)
        assert np.isnan(drawn[key][2])
