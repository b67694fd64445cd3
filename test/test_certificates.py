"""Certificates: figures against independent ones, limits, and what cannot be said."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, jaccard_score

from open_set_seg.certificates import (
    LIMITS,
    CalibrationFrame,
    CertificateError,
    Comparison,
    Limits,
    Pictures,
    Setting,
    SimulatedScenes,
    certificate_to_json,
    certify,
    describe_certificate,
)
from open_set_seg.certificates.certification import check_kinship
from open_set_seg.checkpoint import DEMO_CHECKPOINT, load_checkpoint, read_metadata
from open_set_seg.frame import Prediction
from open_set_seg.label_spaces import CITYSCAPES, STREETHAZARDS, UNLABELLED
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.simulation import TEST_SEEDS, VALIDATION_SEEDS

SHAPE = (24, 40)
THRESHOLD = 0.6


def predictions(seed, change):
    """Two answers to each of three images, the second ``change`` away, and the truth."""
    rng = np.random.default_rng(seed)
    for _ in range(3):
        labels = rng.integers(0, 13, SHAPE).astype(np.uint8)
        labels[:2] = UNLABELLED
        anomaly = (0.3 * (labels == 12) + 0.7 * rng.random(SHAPE)).astype(np.float32)
        moved = np.clip(anomaly + change * rng.normal(size=SHAPE), 0, 1).astype(np.float32)
        nearest = np.where(rng.random(SHAPE) < 0.7, labels, 0) % 12
        other = np.where(rng.random(SHAPE) < change, (nearest + 1) % 12, nearest)
        yield prediction(anomaly, nearest), prediction(moved, other), labels


def prediction(anomaly, nearest):
    nearest = nearest.astype(np.uint8)
    labels = np.where(anomaly > THRESHOLD, np.uint8(12), nearest)
    return Prediction(labels, anomaly, nearest, THRESHOLD)


def compare(triples, truth=STREETHAZARDS, known=STREETHAZARDS):
    comparison = Comparison(known, truth)
    for before, after, labels in triples:
        comparison.add(before, after, labels)
    return comparison.figures()


def together(triples, number, name):
    return np.concatenate([getattr(triple[number], name).ravel() for triple in triples])


def test_figures_are_those_of_all_pixels_together():
    triples = list(predictions(0, 0.05))
    figures = compare(triples)
    scores = [together(triples, n, "anomaly") for n in (0, 1)]
    classes = [together(triples, n, "nearest") for n in (0, 1)]
    decisions = [together(triples, n, "labels") == 12 for n in (0, 1)]
    truth = np.concatenate([labels.ravel() for _, _, labels in triples])
    difference = np.abs(scores[0].astype(np.float64) - scores[1])
    assert figures.pixels == 3 * 24 * 40
    assert figures.frames == 3
    assert figures.max_score_difference == difference.max()
    assert figures.mean_score_difference == pytest.approx(difference.mean(), rel=1e-12)
    assert figures.classes_changed == (classes[0] != classes[1]).mean() > 0
    assert figures.decisions_changed == (decisions[0] != decisions[1]).mean() > 0
    counted = truth != UNLABELLED
    outlier = truth[counted] == 12
    for quality, score, nearest in zip(
        (figures.reference, figures.candidate), scores, classes, strict=True
    ):
        expected = average_precision_score(outlier, score[counted])
        assert quality.ap == pytest.approx(expected, abs=1e-12)
        known = truth < 12
        expected = jaccard_score(truth[known], nearest[known], average="macro")
        assert quality.miou == pytest.approx(expected, abs=1e-12)
        # FPR95 by brute force: every score a threshold, the first of enough true positives.
        ranked = np.sort(score[counted][outlier])[::-1]
        threshold = ranked[math.ceil(0.95 * ranked.size) - 1]
        assert quality.fpr95 == (score[counted][~outlier] >= threshold).mean()
    changes = figures.changes
    assert changes["ap_change"] == abs(figures.candidate.ap - figures.reference.ap) > 0
    assert changes["miou_change"] == abs(figures.candidate.miou - figures.reference.miou) > 0


def test_equal_answers_change_nothing():
    triples = [(before, before, labels) for before, _, labels in predictions(1, 0.1)]
    assert set(compare(triples).changes.values()) == {0.0}
    assert not LIMITS["fp32"].broken_by(compare(triples))


def test_without_truth_there_is_no_quality():
    changes = compare(predictions(0, 0.05), truth=None).changes
    missing = {name for name, value in changes.items() if value is None}
    assert missing == {"ap_change", "fpr95_change", "miou_change"}


def test_other_classes_have_outliers_but_no_miou():
    figures = compare(predictions(0, 0.05), known=CITYSCAPES)
    assert figures.reference.miou is None
    assert figures.reference.ap == compare(predictions(0, 0.05)).reference.ap


def test_without_outliers_there_is_no_ap():
    triples = [(a, b, np.zeros_like(labels)) for a, b, labels in predictions(0, 0.05)]
    figures = compare(triples)
    assert figures.reference.ap is figures.reference.fpr95 is None
    assert figures.reference.miou is not None


def test_a_comparison_of_nothing_or_of_different_things_is_refused():
    with pytest.raises(ValueError, match="found none"):
        Comparison(STREETHAZARDS, None).figures()
    ((before, after, _), *_) = predictions(0, 0.1)
    comparison = Comparison(STREETHAZARDS, None)
    with pytest.raises(ValueError, match="expected one threshold"):
        comparison.add(before, replace(after, threshold=0.5))
    with pytest.raises(ValueError, match="answers of one size"):
        comparison.add(before, prediction(after.anomaly[:5], after.nearest[:5]))


@given(st.sampled_from([one.name for one in fields(Limits)]), st.floats(0, 1))
def test_a_limit_is_broken_exactly_above_it(name, limit):
    figures = compare(predictions(2, 0.05))
    free = Limits(**dict.fromkeys((one.name for one in fields(Limits)), None))
    broken = replace(free, **{name: limit}).broken_by(figures)
    assert bool(broken) == (figures.changes[name] > limit)
    assert all(text.startswith(f"{name} is ") for text in broken)
    assert not free.broken_by(figures)


def test_not_a_number_breaks_every_limit():
    figures = replace(compare(predictions(0, 0.1)), mean_score_difference=math.nan)
    assert len(LIMITS["fp32"].broken_by(figures)) == len(fields(Limits))


def test_limits_are_read_from_text():
    limits = Limits().changed(["ap_change=0.5", "decisions_changed=none"])
    assert limits == replace(Limits(), ap_change=0.5, decisions_changed=None)
    for setting, expected in {
        "AP=1": "NAME one of max_score_difference",
        "ap_change": "a number or none",
        "ap_change=x": "a number or none",
        "ap_change=1.5": r"in \[0, 1\]",
        "ap_change=nan": r"in \[0, 1\]",
    }.items():
        with pytest.raises(ValueError, match=expected):
            Limits().changed([setting])


def test_scenes_are_of_validation_seeds_and_two_sets_share_none():
    first, last = SimulatedScenes.first(1000, 64, 32), SimulatedScenes.last(1000, 64, 32)
    assert not set(first.seeds) & set(last.seeds)
    for seed in (*first.seeds, *last.seeds):
        assert seed in VALIDATION_SEEDS
        assert seed not in TEST_SEEDS
    for count in (0, 1001):
        with pytest.raises(ValueError, match="1 to 1000"):
            SimulatedScenes.first(count, 64, 32)


def test_scenes_have_their_truth():
    (frame,) = SimulatedScenes.first(1, 96, 48)
    assert frame.image.shape == (48, 96, 3)
    assert frame.labels.shape == (48, 96)


def test_a_picture_of_another_size_is_refused(tmp_path):
    pictures = Pictures([tmp_path / "a.png"], 8, 4, lambda path: np.zeros((5, 8, 3), np.uint8), "x")
    with pytest.raises(ValueError, match="expected calibration pictures of 8x4 pixels, found 8x5"):
        list(pictures)


def setting(precision, **changes):
    model, metadata = load_checkpoint(DEMO_CHECKPOINT)
    segmenter = OpenSetSegmenter(
        model, replace(metadata, **changes), "cpu", precision, backend="pytorch"
    )
    return Setting(segmenter, (DEMO_CHECKPOINT,), precision)


class Repeated:
    """One frame, twice, without truth."""

    label_space = None
    description = "a frame, twice"

    def __len__(self):
        return 2

    def __iter__(self):
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (64, 128, 3), dtype=np.uint8)
        yield from [CalibrationFrame(image)] * 2


def test_a_certificate_says_what_was_compared():
    scenes = SimulatedScenes.first(2, 128, 64)
    certificate = certify(setting("fp32"), setting("bf16"), scenes, Limits(decisions_changed=0.0))
    content = json.loads(json.dumps(certificate_to_json(certificate), allow_nan=False))
    assert content["verdict"] == "failed"
    assert content["changes"]["decisions_changed"] > 0
    assert content["threshold"] == read_metadata(DEMO_CHECKPOINT).threshold
    assert content["reference"]["precision"] == "fp32"
    assert content["candidate"]["precision"] == "bf16"
    assert "bf16" in content["candidate"]["runs_on"]
    assert len(content["reference"]["files"]["demo.safetensors"]) == 64
    assert not content["not_given"]
    lines = describe_certificate(content)
    assert lines["certificate"].startswith("failed; decisions_changed is ")
    assert "2000000 to 2000001" in lines["calibration"]
    with pytest.raises(CertificateError, match="inf times its limit of 0"):
        certificate.require()


def test_what_frames_without_truth_cannot_say_is_said():
    certificate = certify(setting("fp32"), setting("fp32"), Repeated(), Limits())
    assert certificate.not_given == ("AP, FPR95 and mIoU: the pictures have no truth",)
    assert certificate.passed
    certificate.require()
    assert certificate.figures.frames == 2


def test_networks_that_do_not_belong_together_are_not_compared():
    other = setting("fp32", threshold=0.5, seed=7)
    with pytest.raises(ValueError, match="differ in threshold, seed"):
        certify(setting("fp32"), other, Repeated(), Limits())
    metadata = read_metadata(DEMO_CHECKPOINT)
    check_kinship(metadata, replace(metadata))


def test_what_is_no_certificate_is_not_described():
    for content in ({}, {"verdict": "passed"}, {"verdict": 1, "broken_limits": []}):
        with pytest.raises(ValueError, match="expected a certificate"):
            describe_certificate(content)
