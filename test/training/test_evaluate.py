"""Evaluation on simulated frames, judged by sources whose answers are known, and the command."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from open_set_seg.checkpoint import CheckpointMetadata, save_checkpoint
from open_set_seg.frame import Prediction
from open_set_seg.ground import GroundConfig, find_ground
from open_set_seg.label_spaces import CITYSCAPES, STREETHAZARDS
from open_set_seg.metrics import PROTOCOLS, pixel_metrics
from open_set_seg.models import build_model
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.simulation import TEST_SEEDS, render_still
from training.datasets.loading import CorruptFrame, load_ahead
from training.datasets.simulated_frames import SimulatedFrames, encode_disparity
from training.evaluate import main
from training.evaluation.obstacles import CONDITIONS, RANGES, TRUE_REGIONS
from training.evaluation.passes import Pace
from training.evaluation.plans import Plan
from training.evaluation.runner import Evaluation
from training.evaluation.seen import REGIONS
from training.ranks import Ranks
from training.sources import Answer, EvaluationError

SEEDS = TEST_SEEDS[:3]
SIMULATED = SimulatedFrames(SEEDS, 256, 128)


class Rendered:
    """The simulation, each frame rendered once."""

    name, label_space, ids = "simulation", STREETHAZARDS, SIMULATED.ids

    @staticmethod
    @cache
    def load(index):
        return SIMULATED.load(index)


FRAMES = Rendered()
PLAN = Plan(
    "simulation", PROTOCOLS["simulation"], "simulation", "Simulation", "test", lambda run: FRAMES
)
PACE = Pace(workers=0, progress=False)


class Oracle:
    """Knows the truth; ``blind`` sees no anomaly."""

    name, kind, device = "oracle", "checkpoint", "none"
    label_space, scores = STREETHAZARDS, ("jsd",)
    remembered, has_threshold = False, True

    def __init__(self, blind=False):
        self.blind = blind
        self.identity = {"blind": blind}
        self.calls = 0

    def answer(self, frame):
        self.calls += 1
        unknown = frame.labels == 12
        anomaly = np.where(unknown & (not self.blind), 0.9, 0.1).astype(np.float32)
        nearest = np.where(unknown, STREETHAZARDS.id_of("road"), frame.labels).astype(np.uint8)
        labels = np.where(anomaly > 0.5, 12, nearest).astype(np.uint8)
        return Answer({"jsd": anomaly}, nearest, Prediction(labels, anomaly, nearest, 0.5))


def run(source, folder, plan=PLAN):
    return Evaluation(source, plan, folder, Ranks(), PACE).run()


def test_frames_come_in_order_and_are_the_rendered_ones():
    found = list(load_ahead(SIMULATED, [2, 0, 1], workers=2))
    assert [index for index, _ in found] == [2, 0, 1]
    for index, frame in found:
        expected = render_still(SEEDS[index], 256, 128)
        np.testing.assert_array_equal(frame.image, expected.left)
        np.testing.assert_array_equal(frame.labels, expected.labels)
        assert frame.id == str(SEEDS[index])


def test_disparity_is_encoded_as_its_format_says():
    disparity = np.array([[0.0, 1.0, 2.001, 255.9]], np.float32)
    codes = encode_disparity(disparity)
    assert codes.dtype == np.uint16
    assert codes[0, 0] == 0
    np.testing.assert_allclose((codes[0, 1:] - 1.0) / 256, disparity[0, 1:], atol=1 / 512)
    with pytest.raises(ValueError, match="above"):
        encode_disparity(np.array([[300.0]], np.float32))


def test_a_perfect_source_is_found_perfect(tmp_path):
    oracle = Oracle()
    result = run(oracle, tmp_path)
    frames = len(SEEDS)
    pictures = len(result["pictures"])
    assert pictures
    assert oracle.calls == frames + pictures  # once a frame, for all regions and conditions
    assert result["closed_set"]["mIoU"] == 1.0
    pixels = result["scores"]["jsd"]["pixels"]
    assert set(pixels) == set(REGIONS)
    for region in ("whole image", "true road"):
        assert pixels[region]["AP"] == pytest.approx(1.0)
        assert pixels[region]["FPR95"] == 0.0
    assert result["dataset"]["not_examined"] == 0
    assert result["dataset"]["frames"] == frames
    assert set(result["objects"]) == set(CONDITIONS)
    for found in result["objects"].values():
        assert found["overall"]["objects"] > 0
        assert found["false_per_frame"] == 0.0
    overall = result["objects"]["exact disparity"]["overall"]
    assert overall["recall"] > 0.5
    assert overall["median_relative_error"] < 0.02
    bands = result["scores"]["jsd"]["distance"]["bands"]
    seen = [band for band in bands if band["outliers"] and band["inliers"]]
    assert seen
    assert all(band["AP"] == 1.0 for band in seen)


def test_regions_hold_what_they_are_called_after(tmp_path):
    histograms = run(Oracle(), tmp_path)["scores"]["jsd"]["histogram"]
    expected = dict.fromkeys(REGIONS, 0)
    for index in range(len(SEEDS)):
        frame = FRAMES.load(index)
        ground = find_ground(Oracle().answer(frame).nearest, STREETHAZARDS, GroundConfig())
        inlier = frame.outliers == 0
        road = (frame.labels == 5) | (frame.labels == 6)  # line, road
        expected["whole image"] += int(inlier.sum())
        expected["true road"] += int((inlier & road).sum())
        expected["ground hull"] += int((inlier & ground).sum())
    assert len(set(expected.values())) == 3
    assert {name: sum(one["inliers"]) for name, one in histograms.items()} == expected


def test_a_blind_source_finds_nothing(tmp_path):
    result = run(Oracle(blind=True), tmp_path)
    assert result["objects"]["sensor disparity"]["overall"]["found"] == 0
    assert result["scores"]["jsd"]["pixels"]["whole image"]["AUROC"] == pytest.approx(0.5)
    for name in RANGES:  # what the source sees changes nothing about true regions
        assert result["objects"][name + TRUE_REGIONS]["overall"]["recall"] > 0.5
    assert result["closed_set"]["mIoU"] == 1.0
    assert result["pictures"] == []  # a map of one value has no colours


def test_a_source_of_other_classes_is_measured_as_far_as_it_goes(tmp_path):
    oracle = Oracle()
    oracle.label_space, oracle.has_threshold = CITYSCAPES, False
    result = run(oracle, tmp_path)
    assert result["closed_set"] is None
    assert result["objects"] is None
    assert result["scores"]["jsd"]["pixels"]["whole image"]["AP"] == pytest.approx(1.0)
    assert len(result["notes"]) == 2
    assert "knows the classes of cityscapes_19" in result["notes"][0]
    oracle.label_space = None
    result = run(oracle, tmp_path / "none")
    assert "ground hull" not in result["scores"]["jsd"]["pixels"]


def test_numbers_are_those_of_the_metrics_on_the_same_maps(tmp_path, checkpoint):
    around = ["odin:epsilon=0.01+coarse+kl+erosion", "mc_dropout+mutual_information"]
    scores = ["jsd", "energy+ground_focus", *around]
    arguments = ["--scores", *scores, "--bootstrap", "30", "--output", str(tmp_path)]
    assert main([str(checkpoint), *TINY, *arguments]) == 0
    folder = tmp_path / "tiny" / "simulation-simulation-test"
    result = json.loads((folder / "result.json").read_text())
    frames = SimulatedFrames(TEST_SEEDS[:2], 128, 64)
    segmenter = OpenSetSegmenter.from_checkpoint(checkpoint, "cpu", backend="pytorch")
    for score in scores:
        judged = [frames.load(index) for index in range(2)]
        maps = [segmenter.score_maps(frame.image, [score])[1][score] for frame in judged]
        expected = pixel_metrics(zip(maps, [one.outliers for one in judged], strict=True))
        found = result["scores"][score]["pixels"]["whole image"]
        # JSON has no infinite numbers, and off the ground every score is -inf.
        stored = {key: value if np.isfinite(value) else None for key, value in expected.items()}
        assert found == pytest.approx(stored, rel=1e-12)
        interval = result["scores"][score]["intervals"]["whole image"]["AP"]
        assert interval["low"] <= found["AP"] * 1.01
        assert interval["high"] >= found["AP"] * 0.99
        histogram = result["scores"][score]["histogram"]["whole image"]
        counted = [int((one.outliers == 0).sum()) for one in judged]
        # What lies off the ground has no place on a finite axis.
        shown = [np.isfinite(m[f.outliers == 0]).sum() for m, f in zip(maps, judged, strict=True)]
        assert sum(histogram["inliers"]) == sum(shown)
        assert [row["inliers"] for row in result["scores"][score]["frames"]] == counted
    drawn = [*result["scores"]["jsd"]["distance"]["bands"], *result["objects"].values()]
    assert any(one["intervals"] for one in drawn)
    interval = result["closed_set"]["intervals"]["mIoU"]
    assert interval["low"] <= result["closed_set"]["mIoU"] <= interval["high"]
    assert (folder / "settings.json").stat().st_size > 0
    for name in ("table.md", "report.html"):
        text = (folder / name).read_text(encoding="utf-8")
        for title in ("energy + ground focus", "ODIN (epsilon 0.01) + coarse + KL + erosion"):
            assert title in text
    left = {path.name for path in folder.iterdir()}
    assert not left & {"parts", "maps", "looks"}


def test_the_command_prints_tables_and_needs_no_folder(checkpoint, capsys):
    assert main([str(checkpoint), *TINY]) == 0
    text = capsys.readouterr().out
    for word in ("closed mIoU", "true road", "ground hull", *CONDITIONS, "45-50"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "1", "--first-seed", "5"], "test seeds"),
        (["--frames", "0"], "a whole number from 1 is wanted, not 0"),
        (["--threads", "-2"], "--threads: a whole number from 1 is wanted, not -2"),
        (["--workers", "-1"], "--workers: a whole number from 0 is wanted, not -1"),
        (["--data", "/data"], "for data of your own give --protocol"),
        (
            ["--protocol", "road_anomaly", "--frames", "2", "--width", "64"],
            "--frames, --width: only the protocol simulation renders scenes",
        ),
        (["--dataset", "road_anomaly"], "is defined on simulation, not on 'road_anomaly'"),
        (["--protocol", "fishyscapes"], "give --data"),
        (["--split", "train"], "has the splits test, not 'train'"),
        (["--repeats", "3"], "nothing in Simulation is made at random"),
        (["--bootstrap", "-1"], "--bootstrap"),
        (["--model-options", "width"], "KEY=VALUE"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "none.safetensors"), *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_frame_without_truth_is_refused_with_advice(tmp_path):
    class Hidden(Rendered):
        def load(self, index):
            return replace(FRAMES.load(index), outliers=None)

    with pytest.raises(EvaluationError, match=r"the truth of 3000000 is hidden.*training\.submit"):
        run(Oracle(), tmp_path, replace(PLAN, open=lambda run: Hidden()))


def test_repeats_give_means_and_deviations(tmp_path):
    class Pasted(Rendered):
        def __init__(self, run):
            self.run = run

        def load(self, index):
            frame = FRAMES.load(index)
            outliers = frame.outliers.copy()
            outliers[: 20 + 10 * self.run, :40] = 1
            return replace(frame, outliers=outliers)

    class Dark(Oracle):
        def answer(self, frame):
            scores = (255.0 - frame.image.mean(axis=2)).astype(np.float32)
            return Answer({"jsd": scores})

    protocol = PROTOCOLS["wd_pascal"]
    plan = replace(PLAN, protocol_name="wd_pascal", protocol=protocol, open=Pasted, repeats=3)
    content = run(Dark(), tmp_path, plan)["scores"]["jsd"]
    assert len(content["runs"]) == 3
    for name in ("AP", "FPR95", "AUROC"):
        values = [one["whole image"][name] for one in content["runs"]]
        assert len(set(values)) == 3
        assert content["pixels"]["whole image"][name] == pytest.approx(np.mean(values))
        deviation = content["deviation"]["whole image"][name]
        assert deviation == pytest.approx(np.std(values, ddof=1))


def test_corrupt_frames_are_named_or_skipped_and_counted(tmp_path, monkeypatch):
    def load(dataset, index):
        if index == 1:
            return CorruptFrame("/data/0001.png: is empty")
        return FRAMES.load(index)

    monkeypatch.setattr("training.datasets.loading._load", load)
    with pytest.raises(EvaluationError, match=r"/data/0001\.png: is empty \(--skip-corrupt"):
        run(Oracle(), tmp_path / "strict")
    skipping = replace(PACE, skip_corrupt=True)
    result = Evaluation(Oracle(), PLAN, tmp_path / "skipping", Ranks(), skipping).run()
    assert result["dataset"]["frames"] == 2
    skipped = [{"id": str(SEEDS[1]), "reason": "/data/0001.png: is empty"}]
    assert result["dataset"]["skipped"] == skipped
    assert result["objects"]["exact disparity"]["frames"] == 2


TINY = ["--frames", "2", "--width", "128", "--height", "64", "--device", "cpu", "--workers", "0",
        "--threads", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    metadata = CheckpointMetadata("swiftnet_rn18", STREETHAZARDS, "1.0", width=0.125)
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    torch.manual_seed(0)
    save_checkpoint(path, build_model("swiftnet_rn18", 12, 0.125), metadata)
    return path


def test_a_figure_that_is_not_finite_is_null(tmp_path):
    result = run(Oracle(), tmp_path)
    bands = result["scores"]["jsd"]["distance"]["bands"]
    empty = [band for band in bands if not band["outliers"]]
    assert empty
    assert all(band["AP"] is None for band in empty)
    assert not math.isnan(result["scores"]["jsd"]["pixels"]["whole image"]["AP"])
