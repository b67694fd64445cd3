"""Distance bands: the two readings of a disparity image, and every pixel in its band."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from open_set_seg.metrics import DistanceCounts, DistanceRule, PixelRule, decode_distance
from open_set_seg.metrics.protocols import BANDS

OFFICIAL, ENCODED = DistanceRule("official"), DistanceRule("encoded")
BASELINE, FOCAL = 0.2, 2000.0


def test_the_two_rules_on_codes_that_can_be_read_off():
    codes = np.array([[0, 1, 2, 257, 513, 65535]], np.uint16)
    official = decode_distance(codes, BASELINE, FOCAL, OFFICIAL)
    encoded = decode_distance(codes, BASELINE, FOCAL, ENCODED)
    # b f = 400; I = 257 is a disparity of one pixel by the format, 257 / 256 by the official rule.
    assert official[0, 1:5] == pytest.approx([102400, 51200, 400 * 256 / 257, 400 * 256 / 513])
    assert official[0, 0] == official[0, 1:].max() == 102400
    assert np.isnan(encoded[0, :2]).all()
    assert encoded[0, 2:5] == pytest.approx([102400, 400, 200])


def test_at_fifty_metres_the_rules_differ_by_little():
    codes = np.array([[1 + 256 * 8]], np.uint16)
    ratio = decode_distance(codes, BASELINE, FOCAL, OFFICIAL) / decode_distance(
        codes, BASELINE, FOCAL, ENCODED
    )
    assert ratio[0, 0] == pytest.approx(1 - 0.0005, abs=1e-4)


@settings(deadline=None)
@given(arrays.arrays(np.uint16, (3, 4)), st.sampled_from([OFFICIAL, ENCODED]))
def test_distances_fall_with_the_code_and_are_never_negative(codes, rule):
    distance = decode_distance(codes, BASELINE, FOCAL, rule)
    known = ~np.isnan(distance)
    assert np.all(distance[known] > 0)
    if rule is OFFICIAL and codes.any():
        assert known.all()
        assert np.all(distance[codes == 0] == distance[codes > 0].max())
    order = np.argsort(codes[codes > 1])
    assert np.all(np.diff(distance[codes > 1][order]) <= 0)


def test_an_image_without_any_disparity_has_no_distance():
    codes = np.zeros((2, 2), np.uint16)
    for rule in (OFFICIAL, ENCODED):
        assert np.isnan(decode_distance(codes, BASELINE, FOCAL, rule)).all()


@pytest.mark.parametrize(
    ("codes", "baseline", "focal", "message"),
    [
        (np.zeros((2, 2), np.int32), 0.2, 2000.0, "int32"),
        (np.zeros((2, 2), np.uint16), -0.2, 2000.0, "positive"),
        (np.zeros((2, 2), np.uint16), 0.2, 0.0, "positive"),
        (np.zeros((2, 2), np.uint16), np.nan, 2000.0, "positive"),
    ],
)
def test_impossible_input_is_refused(codes, baseline, focal, message):
    with pytest.raises(ValueError, match=message):
        decode_distance(codes, baseline, focal, OFFICIAL)


def frames_of(seed, count=3):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        labels = generator.choice(np.array([0, 1, 255], np.uint8), (30, 40), p=[0.6, 0.3, 0.1])
        scores = generator.integers(0, 30, labels.shape) / 30 + 0.3 * (labels == 1)
        distance = generator.uniform(0, 60, labels.shape)
        distance[generator.random(labels.shape) < 0.1] = np.nan
        distance[0, :10] = np.arange(5.0, 55.0, 5.0)  # bounds
        yield scores.astype(np.float32), labels, distance


def test_bands_are_half_open_and_agree_with_scikit_learn():
    counts = DistanceCounts(OFFICIAL)
    frames = list(frames_of(0))
    for frame in frames:
        counts.add(*frame)
    rows = counts.metrics(PixelRule(operating_point="above_thinned"))
    assert [row["band"] for row in rows] == list(BANDS)
    scores, labels, distance = (np.concatenate(part) for part in zip(*frames, strict=True))
    for row in rows:
        near, far = row["band"]
        inside = (distance >= near) & (distance < far) & (labels != 255)
        truth = labels[inside], scores[inside]
        assert (row["outliers"], row["inliers"]) == (truth[0].sum(), (1 - truth[0]).sum())
        fpr, tpr, _ = roc_curve(*truth)
        assert row["AP"] == pytest.approx(average_precision_score(*truth), abs=1e-12)
        assert row["AUROC"] == pytest.approx(roc_auc_score(*truth), abs=1e-12)
        assert row["FPR95"] == pytest.approx(fpr[np.argmax(tpr > 0.95)], abs=1e-12)


def test_a_band_that_lacks_a_class_has_no_figures():
    counts = DistanceCounts(DistanceRule("official", ((0.0, 10.0), (10.0, 20.0))))
    labels = np.array([0, 1, 0, 0, 1], np.uint8)
    counts.add(np.array([0.1, 0.9, 0.2, 0.3, 0.8]), labels, np.array([5.0, 6, 15, np.nan, 99]))
    near, far = counts.metrics()
    assert (near["AP"], near["outliers"], near["inliers"]) == (1.0, 1, 1)
    assert (far["outliers"], far["inliers"]) == (0, 1)
    assert np.isnan([far["AP"], far["FPR95"], far["AUROC"]]).all()


def test_split_saved_and_merged_counts_give_the_same_to_the_last_bit(tmp_path):
    frames = list(frames_of(1, 6))
    whole, parts = DistanceCounts(ENCODED), [DistanceCounts(ENCODED), DistanceCounts(ENCODED)]
    for index, frame in enumerate(frames):
        whole.add(*frame)
        parts[index % 2].add(*frame)
    parts[0].save(tmp_path)
    merged = DistanceCounts.load(tmp_path)
    merged.merge(parts[1])
    assert merged.rule == ENCODED
    assert merged.metrics() == whole.metrics()
    with pytest.raises(ValueError, match="official"):
        merged.merge(DistanceCounts(OFFICIAL))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shape"):
        DistanceCounts().add(np.zeros(3), np.zeros(3, np.uint8), np.zeros(2))
