"""OpenSetSegmenter: what it returns, what it refuses, and that it says where it runs."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from open_set_seg.checkpoint import CheckpointMetadata, save_checkpoint
from open_set_seg.head import reference_head
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.models import SegmentationOutput, build_model
from open_set_seg.scores import SCORES, LogisticMap, ScoreStatistics
from open_set_seg.scoring import ScoringError
from open_set_seg.segmenter import OpenSetSegmenter

# What the fastest backend of a machine makes of the network is for test_backends to say.
make_segmenter = partial(OpenSetSegmenter, backend="pytorch")
METADATA = CheckpointMetadata("swiftnet_rn18", STREETHAZARDS, "1.0", width=0.125, threshold=0.6)


def image(height=48, width=80, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model("swiftnet_rn18", 12, 0.125)


@pytest.fixture
def segmenter(model):
    return make_segmenter(model, METADATA, device="cpu")


def test_prediction_is_that_of_network_and_head(segmenter, model):
    rgb = image()
    prediction = segmenter.segment(rgb)
    with torch.inference_mode():
        tensor = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
        nearest, anomaly = reference_head(model(tensor).logits, (48, 80))
    np.testing.assert_allclose(prediction.anomaly, anomaly[0].numpy(), atol=1e-4)
    assert (prediction.nearest != nearest[0].numpy()).mean() < 0.01
    assert prediction.threshold == 0.6
    above = prediction.anomaly > 0.6
    assert 0 < above.sum() < above.size
    assert (prediction.labels[above] == 12).all()
    np.testing.assert_array_equal(prediction.labels[~above], prediction.nearest[~above])
    assert prediction.labels.dtype == prediction.nearest.dtype == np.uint8
    assert prediction.anomaly.dtype == np.float32


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 64), (7, 130)])
def test_any_size(segmenter, size):
    prediction = segmenter.segment(image(*size))
    assert prediction.labels.shape == prediction.anomaly.shape == prediction.nearest.shape == size
    assert np.isfinite(prediction.anomaly).all()


def test_the_same_image_gives_the_same_bits_and_stays_as_it_was(segmenter):
    rgb = image()
    before = rgb.copy()
    one, two = segmenter.segment(rgb), segmenter.segment(rgb)
    np.testing.assert_array_equal(one.anomaly, two.anomaly)
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(rgb, before)


def test_views_and_read_only_images_are_taken(segmenter):
    rgb = image()
    expected = segmenter.segment(rgb).anomaly
    read_only = rgb.copy()
    read_only.flags.writeable = False
    bgr = np.ascontiguousarray(rgb[:, :, ::-1])
    for view in (read_only, bgr[:, :, ::-1], np.asfortranarray(rgb)):
        np.testing.assert_array_equal(segmenter.segment(view).anomaly, expected)


def test_the_threshold_of_a_call_replaces_that_of_the_checkpoint(segmenter):
    rgb = image()
    assert (segmenter.segment(rgb, threshold=0.0).labels == 12).any()
    never = segmenter.segment(rgb, threshold=1.0)
    np.testing.assert_array_equal(never.labels, never.nearest)
    shares = [(segmenter.segment(rgb, t).labels == 12).mean() for t in (0.2, 0.5, 0.8)]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(
    "score", ["jsd", "coarse+jsd", "jsd+ground_focus", "odin+jsd", "msp", "mc_dropout+jsd"]
)
def test_labels_are_those_of_the_published_map_whatever_made_it(model, score):
    """Also at thresholds that equal values of the map."""
    one = make_segmenter(model, METADATA, "cpu", score=score, threshold=0.5)
    values = np.unique(one.segment(image()).anomaly)
    for threshold in (0.5, 0.1, *values[:: max(1, len(values) // 4)].tolist()):
        torch.manual_seed(0)
        prediction, maps = one.segment_with_scores(image(), ["energy", "odin+msp"], threshold)
        assert set(maps) == {"energy", "odin+msp"}
        expected = np.where(prediction.anomaly > threshold, np.uint8(12), prediction.nearest)
        np.testing.assert_array_equal(prediction.labels, expected)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_outside_the_scale_is_refused(segmenter, threshold):
    with pytest.raises(ValueError, match="threshold"):
        segmenter.segment(image(), threshold)


@pytest.mark.parametrize(
    "wrong",
    [
        image().astype(np.float32),
        image()[:, :, 0],
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        [[1, 2, 3]],
        None,
    ],
    ids=["float", "grey", "rgba", "planes", "empty", "list", "none"],
)
def test_what_is_no_image_is_refused(segmenter, wrong):
    with pytest.raises(ValueError, match="expected an"):
        segmenter.segment(wrong)


class Constant(nn.Module):
    """A network that answers every image with the same logits."""

    def __init__(self, logits):
        super().__init__()
        self.values = torch.tensor(logits)

    def forward(self, x):
        size = (-(-x.shape[2] // 4), -(-x.shape[3] // 4))
        logits = self.values.view(1, -1, 1, 1).expand(1, -1, *size)
        return SegmentationOutput(logits, None, logits)


def test_a_network_that_answers_nan_knows_nothing():
    segmenter = make_segmenter(Constant([float("nan")] * 12), METADATA, device="cpu")
    prediction = segmenter.segment(image(16, 16))
    assert (prediction.anomaly == 1.0).all()
    assert (prediction.labels == 12).all()


def test_score_and_map_come_from_the_metadata():
    metadata = CheckpointMetadata(
        "swiftnet_rn18",
        STREETHAZARDS,
        "1.0",
        score="max_logit",
        temperature=1.0,
        score_map=LogisticMap(-5.0, 2.0),
    )
    logits = [0.0] * 12
    logits[3] = 7.0
    segmenter = make_segmenter(Constant(logits), metadata, device="cpu")
    prediction = segmenter.segment(image(8, 8))
    expected = 1 / (1 + np.exp(-(-7.0 + 5.0) / 2.0))
    np.testing.assert_allclose(prediction.anomaly, expected, rtol=1e-6)
    assert (prediction.nearest == 3).all()


def test_all_scores_come_from_one_forward_pass(model):
    calls = []

    class Counting(nn.Module):
        def forward(self, x):
            calls.append(x.shape)
            return model(x)

    metadata = replace(METADATA, temperature=3.0)
    segmenter = make_segmenter(Counting(), metadata, device="cpu")
    rgb = image(33, 47)
    names = [name for name, score in SCORES.items() if score.needs == ("logits",)]
    prediction, maps = segmenter.segment_with_scores(rgb, names)
    assert len(calls) == 1
    np.testing.assert_array_equal(maps["jsd"], prediction.anomaly)
    nearest, again = segmenter.score_maps(rgb, names)
    assert len(calls) == 2
    np.testing.assert_array_equal(nearest, prediction.nearest)
    assert all(np.array_equal(again[name], values) for name, values in maps.items())
    with torch.inference_mode():
        tensor = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
        logits = model(tensor).logits.double()
        logits = nn.functional.interpolate(logits, size=(33, 47), mode="bilinear")
    for name, values in maps.items():
        expected = SCORES[name](logits, 3.0 if name == "jsd" else None)[0].numpy()
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected, atol=2e-4)


def test_an_unbounded_score_is_published_for_decisions_and_handed_out_as_it_is(model):
    score_map = LogisticMap(-1.0, 0.5)
    metadata = replace(METADATA, score="energy", temperature=1.0, score_map=score_map)
    segmenter = make_segmenter(model, metadata, device="cpu")
    prediction, maps = segmenter.segment_with_scores(image(), ["energy"], threshold=0.25)
    assert maps["energy"].min() < 0.0
    published = 1.0 / (1.0 + np.exp(-(maps["energy"].astype(float) + 1.0) / 0.5))
    np.testing.assert_allclose(prediction.anomaly, published, atol=1e-6)
    assert prediction.threshold == 0.25


def test_scores_that_the_network_cannot_give_are_refused_in_one_line(segmenter, monkeypatch):
    with pytest.raises(ValueError, match=r"unknown score 'none'; scores are .*jsd"):
        segmenter.score_maps(image(), ["none"])
    needy = replace(SCORES["msp"], needs=("logits", "outlier_logits"))
    monkeypatch.setitem(SCORES, "needy", needy)
    with pytest.raises(ValueError, match=r"'needy' needs outlier logits.*has no outlier head"):
        segmenter.check_scores(["jsd", "needy"])


# Another scoring than the checkpoint's own

FITTED = replace(
    METADATA,
    score_maps={
        "energy": LogisticMap(-1.0, 0.5),
        "coarse+energy": LogisticMap(-1.5, 0.5),
        "react+energy": LogisticMap(-2.0, 0.25),
    },
)
STATISTICS = ScoreStatistics(
    activation_levels=torch.tensor([0.9, 0.99]), activation_quantiles=torch.tensor([0.5, 1.5])
)


def sigmoid(values):
    return 1.0 / (1.0 + np.exp(-np.asarray(values, float)))


def test_a_bounded_scoring_is_published_as_it_is(model, segmenter):
    rgb = image()
    other = make_segmenter(model, METADATA, "cpu", score="msp", threshold=0.7)
    prediction = other.segment(rgb)
    np.testing.assert_array_equal(prediction.anomaly, segmenter.score_maps(rgb, ["msp"])[1]["msp"])
    np.testing.assert_array_equal(prediction.nearest, segmenter.segment(rgb).nearest)
    assert prediction.threshold == other.threshold == 0.7
    assert str(other.scoring) == "msp"
    assert other.metadata == METADATA


@pytest.mark.parametrize(
    ("name", "where", "scale"),
    [("energy", -1, 0.5), ("coarse+energy", -1.5, 0.5), ("react+energy", -2, 0.25)],
)
def test_an_unbounded_scoring_is_published_by_its_map(model, name, where, scale):
    rgb = image()
    plain = make_segmenter(model, FITTED, "cpu", statistics=STATISTICS)
    raw = plain.score_maps(rgb, [name])[1][name]
    other = make_segmenter(model, FITTED, "cpu", statistics=STATISTICS, score=name)
    anomaly = other.segment(rgb, 0.5).anomaly
    np.testing.assert_allclose(anomaly, sigmoid((raw - where) / scale), atol=1e-6)
    assert not np.allclose(raw, plain.score_maps(rgb, ["max_logit"])[1]["max_logit"])


def test_an_unbounded_scoring_without_a_map_is_refused_and_the_command_named(model):
    for name in ("max_logit", "energy:temperature=3", "react:quantile=0.99+energy"):
        with pytest.raises(ScoringError, match=r"no map.*`open-set-seg fit --scores ") as caught:
            make_segmenter(model, FITTED, "cpu", statistics=STATISTICS, score=name)
        assert f"--scores {name}`" in str(caught.value)
    with pytest.raises(ScoringError, match=r"activation_levels.*`open-set-seg fit` adds them"):
        make_segmenter(model, FITTED, "cpu", score="react+energy")
    with pytest.raises(ScoringError, match="unknown score 'magic'"):
        make_segmenter(model, FITTED, "cpu", score="magic")


def test_the_checkpoints_threshold_belongs_to_its_own_scoring(model):
    other = make_segmenter(model, METADATA, "cpu", score="msp")
    assert other.threshold is None
    with pytest.raises(ScoringError, match=r"'msp' needs a threshold.*'jsd:temperature=2'"):
        other.segment(image())
    assert other.segment(image(), threshold=0.25).threshold == 0.25
    assert set(other.score_maps(image(), ["msp"])[1]) == {"msp"}, "maps need no threshold"
    for own in ("jsd", "jsd:temperature=2"):
        assert make_segmenter(model, METADATA, "cpu", score=own).threshold == 0.6
    moved = make_segmenter(model, METADATA, "cpu", threshold=0.1)
    assert moved.segment(image()).threshold == moved.threshold == 0.1
    with pytest.raises(ValueError, match="threshold must lie in"):
        make_segmenter(model, METADATA, "cpu", threshold=1.5)


def test_the_own_scoring_keeps_its_temperature_when_another_is_published(model):
    metadata = replace(METADATA, temperature=3.0)
    own = make_segmenter(model, metadata, "cpu").segment(image()).anomaly
    other = make_segmenter(model, metadata, "cpu", score="msp", threshold=0.5)
    np.testing.assert_array_equal(other.score_maps(image(), ["jsd"])[1]["jsd"], own)


def test_a_fitted_checkpoint_brings_what_its_scores_need(tmp_path, model):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model, FITTED, statistics=STATISTICS)
    loaded = OpenSetSegmenter.from_checkpoint(
        path, "cpu", score="react+energy", threshold=0.3, backend="pytorch"
    )
    made = make_segmenter(model, FITTED, "cpu", statistics=STATISTICS, score="react+energy")
    np.testing.assert_array_equal(loaded.segment(image()).labels, made.segment(image(), 0.3).labels)


def test_from_checkpoint(tmp_path, model, segmenter):
    save_checkpoint(tmp_path / "model.safetensors", model, METADATA)
    loaded = OpenSetSegmenter.from_checkpoint(
        tmp_path / "model.safetensors", device="cpu", backend="pytorch"
    )
    assert loaded.label_space == STREETHAZARDS
    assert loaded.threshold == 0.6
    assert loaded.metadata.weights_sha256
    np.testing.assert_array_equal(
        loaded.segment(image()).anomaly, segmenter.segment(image()).anomaly
    )


def test_it_says_where_it_runs(model, caplog):
    with caplog.at_level(logging.INFO, logger="open_set_seg.segmenter.segmenter"):
        segmenter = make_segmenter(model, METADATA, device="auto")
    assert segmenter.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert str(segmenter.device) in segmenter.device_description
    assert "fp32" in segmenter.device_description
    assert segmenter.device_description in caplog.text


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_refused(model, device):
    with pytest.raises(ValueError, match="device"):
        make_segmenter(model, METADATA, device=device)


def test_low_precision_is_asked_for_by_name(model, segmenter):
    low = make_segmenter(
        build_model("swiftnet_rn18", 12, 0.125), METADATA, device="cpu", precision="bf16"
    )
    assert "bf16" in low.device_description
    prediction = low.segment(image())
    assert prediction.anomaly.dtype == np.float32
    assert np.isfinite(prediction.anomaly).all()
    for precision in ("fp16", "int3"):
        with pytest.raises(ValueError, match=precision):
            make_segmenter(model, METADATA, device="cpu", precision=precision)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_agrees_with_the_cpu(model, segmenter):
    expected = segmenter.segment(image())
    torch.manual_seed(0)
    found = make_segmenter(build_model("swiftnet_rn18", 12, 0.125), METADATA, "cuda")
    assert np.abs(found.segment(image()).anomaly - expected.anomaly).max() < 1e-2
