"""What is measured of a network, against brute force on small scenes, and laws."""

from __future__ import annotations

import dataclasses
import json
import math

import made_scenes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_scenes import CLASSES, ROAD_LABELS, UNKNOWN, UNLABELLED, Knowing, Linear, MadeScenes
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from torch.nn import functional

from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.metrics import ScoreCounts
from open_set_seg.metrics.bootstrap import resample_counts
from open_set_seg.models import SwiftNet
from open_set_seg.scores import SCORES
from training.study.measuring.network import (
    FITTED_SCORES,
    LOGIT_SCORES,
    MeasuringSettings,
    fit_on_scenes,
    measure,
)
from training.study.measuring.pixel_figures import pixel_figures
from training.study.results.measurements import Measured
from training.study.results.reading import read_file

SETTINGS = MeasuringSettings(resamples=12, draws_seed=3)


@pytest.fixture(scope="module")
def scenes():
    return made_scenes.make_scenes()


@pytest.fixture(scope="module")
def result(scenes):
    return measure(Linear(), scenes, SETTINGS)


@pytest.fixture(scope="module")
def known(scenes):
    """Pixels of all scenes, by brute force: scores by name, labels, depth, objects."""
    model = Linear()
    parts = []
    for number, scene in enumerate(scenes):
        image = torch.from_numpy(scene.image).permute(2, 0, 1)[None].double()
        with torch.no_grad():
            logits = model.double()(image).logits
        size = scene.labels.shape
        full = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
        owners = np.full(size, -1)
        for place, each in enumerate(scene.objects):
            owners[scene.ids == each.id] = 100 * number + place
        parts.append((full[0].numpy(), scene.labels, scene.depth, owners, np.full(size, number)))
    logits = np.concatenate([part[0].reshape(CLASSES, -1) for part in parts], axis=1)
    flat = [np.concatenate([part[i].ravel() for part in parts]) for i in range(1, 5)]
    return {"scores": brute_scores(logits), "nearest": logits.argmax(0)} | dict(
        zip(("labels", "depth", "owner", "image"), flat, strict=True)
    )


def brute_scores(logits):
    """The formulas, naively, in float64."""

    def softmax(temperature):
        raised = np.exp(logits / temperature)
        return raised / raised.sum(0)

    def jsd(temperature):
        p, uniform = softmax(temperature), np.full_like(logits, 1 / CLASSES)
        middle = (p + uniform) / 2
        divergence = (p * np.log(p / middle) + uniform * np.log(uniform / middle)).sum(0) / 2
        sure = np.zeros(CLASSES)
        sure[0], flat = 1.0, np.full(CLASSES, 1 / CLASSES)
        both = (sure + flat) / 2
        most = (sure[0] * np.log(sure[0] / both[0]) + (flat * np.log(flat / both)).sum()) / 2
        return 1 - divergence / most

    p, p2 = softmax(1.0), softmax(2.0)
    return {
        "msp": 1 - p.max(0),
        "entropy": -(p * np.log(p)).sum(0) / np.log(CLASSES),
        "max_logit": -logits.max(0),
        "energy": -np.log(np.exp(logits).sum(0)),
        "jsd": jsd(2.0),
        "jsd:temperature=1": jsd(1.0),
        "jsd:temperature=1.5": jsd(1.5),
        "jsd:temperature=4": jsd(4.0),
        "kl": np.log(p2).mean(0) + np.log(CLASSES),
        "reverse_kl": -(p2 * np.log(p2)).sum(0) / np.log(CLASSES),
    }


def brute_figures(scores, outlier, weights=None):
    """AP, FPR95, AUROC and best F1 of scikit-learn and of plain counting."""
    weights = np.ones(scores.size) if weights is None else weights
    precision, recall, _ = precision_recall_curve(outlier, scores, sample_weight=weights)
    order = np.argsort(-scores[outlier], kind="stable")
    reached = np.cumsum(weights[outlier][order])
    needed = 0.95 * weights[outlier].sum() - 1e-9
    threshold = scores[outlier][order][np.argmax(reached >= needed)]
    inliers = ~outlier
    false = weights[inliers & (scores >= threshold)].sum() / weights[inliers].sum()
    return {
        "AP": average_precision_score(outlier, scores, sample_weight=weights),
        "FPR95": false,
        "AUROC": roc_auc_score(outlier, scores, sample_weight=weights),
        "best_F1": np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)),
    }


def region_pixels(known, region):
    labels = known["labels"]
    allowed = (*range(CLASSES), UNKNOWN) if region == "whole" else (*ROAD_LABELS, UNKNOWN)
    return np.isin(labels, allowed)


@pytest.mark.parametrize("region", ["whole", "road"])
@pytest.mark.parametrize("name", LOGIT_SCORES)
def test_figures_are_those_of_brute_force(result, known, name, region):
    inside = region_pixels(known, region)
    expected = brute_figures(known["scores"][name][inside], known["labels"][inside] == UNKNOWN)
    # float32 may order two pixels of nearly the same score differently, and one is 0.0003 here.
    assert result["scores"][name][region] == pytest.approx(expected, abs=7e-4)


def test_the_closed_set_counts_known_pixels_only(result, known):
    labels, nearest = known["labels"], known["nearest"]
    counted = labels < CLASSES
    iou = [
        np.sum(counted & (labels == c) & (nearest == c))
        / np.sum(counted & ((labels == c) | (nearest == c)))
        for c in range(CLASSES)
    ]
    found = result["closed_set"]
    assert found["mIoU"] == pytest.approx(np.mean(iou), abs=1e-12)
    assert list(found["class_iou"]) == list(STREETHAZARDS.classes)
    assert list(found["class_iou"].values()) == pytest.approx(iou, abs=1e-12)


@pytest.mark.parametrize("region", ["whole", "road"])
@pytest.mark.parametrize("name", ["jsd", "max_logit"])
def test_resampled_figures_weigh_images_as_often_as_they_were_drawn(result, known, name, region):
    draws = resample_counts(6, 12, seed=3)
    inside = region_pixels(known, region)
    scores, outlier = known["scores"][name][inside], known["labels"][inside] == UNKNOWN
    found = result["resampled"]["scores"][name][region]
    for row, draw in enumerate(draws):
        weights = draw[known["image"][inside]].astype(float)
        expected = brute_figures(scores, outlier, weights)
        for figure in ("AP", "FPR95"):
            # Scores are grouped for resampling, which few pixels feel more than many.
            assert found[figure][row] == pytest.approx(expected[figure], abs=0.01)
            assert found[figure][row] == round(found[figure][row], 5)


def test_resampled_miou_is_that_of_the_drawn_images(result, known):
    draws = resample_counts(6, 12, seed=3)
    labels, nearest, image = known["labels"], known["nearest"], known["image"]
    for found, draw in zip(result["resampled"]["mIoU"], draws, strict=True):
        weights = draw[image] * (labels < CLASSES)
        iou = [
            np.sum(weights * ((labels == c) & (nearest == c)))
            / np.sum(weights * ((labels == c) | (nearest == c)))
            for c in range(CLASSES)
        ]
        assert found == pytest.approx(np.mean(iou), abs=1e-5)
    assert result["resampled"]["count"] == 12
    assert result["resampled"]["seed"] == 3
    assert set(result["resampled"]["scores"]) == set(SETTINGS.resampled)


def brute_row(known, name, wanted, inlier):
    chosen = wanted | inlier
    scores, outlier = known["scores"][name][chosen], wanted[chosen]
    if not wanted.any() or not inlier.any():
        return {"AP": None, "FPR95": None}
    figures = brute_figures(scores, outlier)
    return {key: pytest.approx(figures[key], abs=7e-4) for key in ("AP", "FPR95")}


def brute_object_row(scenes, known, name, holds):
    owners = [
        100 * number + place
        for number, scene in enumerate(scenes)
        for place, each in enumerate(scene.objects)
        if each.visible_px >= 20 and holds(each)
    ]
    wanted = np.isin(known["owner"], owners)
    inlier = np.isin(known["labels"], ROAD_LABELS)
    counts = {"objects": len(owners), "positives": int(wanted.sum())}
    return brute_row(known, name, wanted, inlier) | counts


@pytest.mark.parametrize("name", ["jsd", "energy"])
def test_strata_of_objects_are_those_of_brute_force(scenes, result, known, name):
    found = result["strata"][name]
    sizes = [(20, 50), (50, 200), (200, 800), (800, math.inf)]
    for row, (low, high) in zip(found["size"], sizes, strict=True):
        limits = {"from": low, "to": None if high == math.inf else high}
        expected = brute_object_row(
            scenes, known, name, lambda each, low=low, high=high: low <= each.visible_px < high
        )
        assert row == limits | expected
    assert found["size"][3] == {
        "from": 800, "to": None, "AP": None, "FPR95": None, "objects": 0, "positives": 0,
    }  # fmt: skip
    assert list(found["family"]) == ["ball", "cone", "crate", "tyre"]
    for family, row in found["family"].items():
        expected = brute_object_row(
            scenes, known, name, lambda each, family=family: each.family == family
        )
        assert row == expected
    assert found["family"]["ball"]["objects"] == 2  # the third has 9 pixels
    expected = brute_object_row(scenes, known, name, lambda each: each.camouflaged)
    assert found["camouflaged"] == expected


def test_strata_of_distance_are_those_of_brute_force(scenes, result, known):
    bands = [(5, 10), (10, 20), (20, 30), (30, 50)]
    seen = 0
    for row, (near, far) in zip(result["strata"]["entropy"]["distance"], bands, strict=True):
        with np.errstate(invalid="ignore"):
            inside = (known["depth"] >= near) & (known["depth"] < far)
        wanted = inside & (known["labels"] == UNKNOWN)
        inlier = inside & np.isin(known["labels"], ROAD_LABELS)
        expected = {
            "from": near,
            "to": far,
            "objects": sum(
                near <= each.visible_distance < far for scene in scenes for each in scene.objects
            ),
            "positives": int(wanted.sum()),
        }
        assert row == brute_row(known, "entropy", wanted, inlier) | expected
        seen += row["AP"] is not None
    assert seen >= 2


def test_confidence_is_the_share_of_sure_pixels(result, known):
    sure = 1 - known["scores"]["msp"] > 0.9
    unknown, labelled = known["labels"] == UNKNOWN, known["labels"] != UNLABELLED
    inlier = labelled & ~unknown
    assert 0 < sure[inlier].mean() < 1
    assert result["confidence"] == pytest.approx(
        {"unknown": sure[unknown].mean(), "inlier": sure[inlier].mean()}, abs=1e-9
    )


def test_a_network_that_knows_everything_is_perfect_until_masks_are_permuted(scenes):
    # Enough scenes for chance to even out.
    many = MadeScenes()
    for seed in range(40):
        top, left = 14 + seed % 12, 2 + (7 * seed) % 36
        many.append(made_scenes.make_scene(seed, [("ball", False, top, left, 5, 8)]))
    found = measure(Knowing(), many, SETTINGS)
    assert found["closed_set"]["mIoU"] == 1.0
    perfect = {"AP": 1.0, "FPR95": 0.0, "AUROC": 1.0, "best_F1": 1.0}
    for name in LOGIT_SCORES:
        assert found["scores"][name] == {"whole": perfect, "road": perfect}, name
    assert set(found["resampled"]["scores"]["jsd"]["whole"]["AP"]) == {1.0}
    assert set(found["resampled"]["mIoU"]) == {1.0}
    assert found["confidence"] == {"unknown": 0.0, "inlier": 1.0}
    labels = np.stack([scene.labels for scene in many])
    for region, classes in (("whole", range(CLASSES)), ("road", ROAD_LABELS)):
        unknown = np.count_nonzero(labels == UNKNOWN)
        share = unknown / (unknown + np.count_nonzero(np.isin(labels, list(classes))))
        assert found["null"]["prevalence"][region] == pytest.approx(share, abs=1e-12)
        assert 0.5 * share < found["null"]["permuted_AP"][region] < 2 * share


def test_scenes_without_unknown_objects_have_no_figures_but_an_iou():
    empty = MadeScenes([made_scenes.make_scene(seed, []) for seed in range(2)])
    found = measure(Linear(), empty, SETTINGS)
    nothing = dict.fromkeys(("AP", "FPR95", "AUROC", "best_F1"))
    assert found["scores"]["jsd"] == {"whole": nothing, "road": nothing}
    assert found["closed_set"]["mIoU"] > 0
    assert found["null"]["prevalence"] == {"whole": 0.0, "road": 0.0}
    json.dumps(found, allow_nan=False)


def test_one_pass_a_scene_in_evaluation_mode(scenes):
    model = Linear()
    model.train()
    measure(model, scenes, SETTINGS)
    assert model.calls == len(scenes)
    assert model.modes == {False}
    assert model.training


def test_the_result_is_what_results_are_read_from(result, tmp_path):
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(result, allow_nan=False))
    read = read_file(Measured, path)
    assert read.images == 6
    assert read.families == "development"
    assert read.strata["jsd"].size[3].AP != read.strata["jsd"].size[3].AP  # NaN again


def test_the_same_network_measures_the_same_twice(scenes, result):
    assert measure(Linear(), scenes, SETTINGS) == result
    other = measure(Linear(), scenes, dataclasses.replace(SETTINGS, draws_seed=4))
    assert other["scores"] == result["scores"]
    assert other["resampled"]["mIoU"] != result["resampled"]["mIoU"]


SCORE = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 0.25, 0.5, 1.0, np.inf])


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, st.integers(1, 30), elements=SCORE),
    st.lists(arrays(np.float32, st.integers(0, 30), elements=SCORE), min_size=1, max_size=3),
)
def test_sorted_inliers_give_the_figures_of_counted_ones(outliers, parts):
    counts = ScoreCounts()
    counts.add(outliers, np.ones(outliers.size, np.uint8))
    for part in parts:
        counts.add(part, np.zeros(part.size, np.uint8))
    found = pixel_figures(outliers, [np.sort(part) for part in parts])
    if not counts.inliers:
        assert all(math.isnan(value) for value in found.values())
        return
    expected = counts.metrics()
    assert found == {name: expected[name] for name in found}


def test_fitted_scores_are_measured_where_their_statistics_are(scenes):
    class Images:
        def __len__(self):
            return 3

        def load(self, index):
            return scenes[index].image, scenes[index].labels

    torch.manual_seed(0)
    model = SwiftNet(CLASSES, width=0.0625).eval()
    statistics = fit_on_scenes(model, Images(), 2)
    fitted = MeasuringSettings(resamples=2, statistics=statistics)
    found = measure(model, scenes, fitted)
    assert set(found["scores"]) == {*LOGIT_SCORES, *FITTED_SCORES}
    values, labels = [], np.concatenate([scene.labels.ravel() for scene in scenes])
    for scene in scenes:
        with torch.no_grad():
            output = model(torch.from_numpy(scene.image).permute(2, 0, 1)[None].float())
        grid = SCORES["mahalanobis"](features=output.features, statistics=statistics)
        size = scene.labels.shape
        full = functional.interpolate(grid[None], size, mode="bilinear", align_corners=False)
        values.append(full.numpy().ravel())
    counted = labels != UNLABELLED
    expected = brute_figures(np.concatenate(values)[counted], labels[counted] == UNKNOWN)
    assert found["scores"]["mahalanobis"]["whole"] == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match="can be fitted to"):
        fit_on_scenes(model, Images(), 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resampled": ("sml",)}, "not among the measured scores: sml"),
        ({"stratified": ("op",)}, "not among the measured scores: op"),
        ({"null_score": "dense_hybrid"}, "not among the measured scores"),
        ({"scores": ("jsd", "energy", "entropy", "max_logit")}, "not among .* msp"),
        ({"scores": (*LOGIT_SCORES, "odin+msp")}, "more than a score of one forward pass"),
        ({"scores": (*LOGIT_SCORES, "jsd+ground_focus")}, "more than a score"),
        ({"scores": (*LOGIT_SCORES, "jds")}, "unknown score"),
    ],
)
def test_scores_that_cannot_be_had_are_refused_at_once(change, message):
    with pytest.raises(ValueError, match=message):
        MeasuringSettings(**change)
