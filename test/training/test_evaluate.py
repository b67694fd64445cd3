"""Evaluation on simulated frames, judged by segmenters whose answers are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from open_set_seg.checkpoint import CheckpointMetadata, save_checkpoint
from open_set_seg.frame import Prediction
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.models import build_model
from open_set_seg.simulation import TEST_SEEDS, render_still
from training.evaluate import main
from training.evaluation.simulated import CONDITIONS, RANGES, REGIONS, TRUE_REGIONS, evaluate, render_ahead

SEEDS = TEST_SEEDS[:3]
SIZE = (256, 128)


class Oracle:
    """Knows the truth of the frames that it will be asked about; ``blind`` sees no anomaly."""

    label_space = STREETHAZARDS

    def __init__(self, blind=False):
        self.frames = [render_still(seed, *SIZE) for seed in SEEDS]
        self.blind = blind
        self.calls = 0

    def segment(self, rgb, threshold=None):
        self.calls += 1
        (frame,) = (f for f in self.frames if np.array_equal(f.left, rgb))
        unknown = frame.labels == 12
        anomaly = np.where(unknown & (not self.blind), 0.9, 0.1).astype(np.float32)
        nearest = np.where(unknown, STREETHAZARDS.id_of("road"), frame.labels).astype(np.uint8)
        labels = np.where(anomaly > 0.5, 12, nearest).astype(np.uint8)
        return Prediction(labels, anomaly, nearest, 0.5)


@pytest.fixture(scope="module")
def oracle():
    return Oracle()


def test_frames_come_in_order_and_are_the_rendered_ones(oracle):
    for frame, expected in zip(render_ahead(SEEDS, *SIZE, workers=2), oracle.frames, strict=True):
        np.testing.assert_array_equal(frame.left, expected.left)


def test_a_perfect_segmenter_is_found_perfect(oracle):
    result = evaluate(oracle, SEEDS, *SIZE, progress=False)
    assert oracle.calls == len(SEEDS)  # once a frame, for both range inputs
    assert result.confusion.mean_iou() == 1.0
    assert set(result.pixels) == set(REGIONS)
    for region in ("whole image", "true road"):
        assert result.pixels[region]["AP"] == pytest.approx(1.0)
        assert result.pixels[region]["FPR95"] == 0.0
    assert result.not_examined == 0
    for name in CONDITIONS:
        overall = result.objects[name].overall
        assert overall.objects > 0
        assert result.objects[name].false_per_frame == 0.0
    assert result.objects["exact disparity"].overall.recall > 0.5
    assert result.objects["exact disparity"].overall.median_relative_error < 0.02


def test_a_blind_segmenter_finds_nothing():
    result = evaluate(Oracle(blind=True), SEEDS, *SIZE, progress=False)
    assert result.objects["sensor disparity"].overall.found == 0
    assert result.pixels["whole image"]["AUROC"] == pytest.approx(0.5)
    for name in RANGES:  # what the network sees changes nothing about true regions
        assert result.objects[name + TRUE_REGIONS].overall.recall > 0.5
    assert result.confusion.mean_iou() == 1.0


def test_the_command_writes_a_table_and_json(tmp_path, capsys):
    metadata = CheckpointMetadata("swiftnet_rn18", STREETHAZARDS, "1.0", width=0.125)
    model = build_model("swiftnet_rn18", 12, 0.125)
    save_checkpoint(tmp_path / "model.safetensors", model, metadata)
    output = tmp_path / "out" / "result.json"
    arguments = ["--frames", "2", "--width", "128", "--height", "64", "--device", "cpu"]
    assert main([str(tmp_path / "model.safetensors"), *arguments, "--output", str(output)]) == 0
    text = capsys.readouterr().out
    for word in ("closed mIoU", *REGIONS, *CONDITIONS, "45-50"):
        assert word in text
    content = json.loads(output.read_text())
    assert content["frames"]["count"] == 2
    assert content["environment"]["torch"]
    assert len(content["objects"]["sensor disparity"]["bands"]) == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--frames", "1", "--first-seed", "5"], "test seeds"), (["--frames", "0"], "test seeds")],
)
def test_training_seeds_are_refused(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "none.safetensors"), *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
