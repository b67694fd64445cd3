"""Validation while training, against plain counts of the same predictions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from made_runs import read_rows, recipe_of
from sklearn.metrics import average_precision_score, roc_curve
from small_trees import save, scene
from torch import nn
from torch.nn import functional

from open_set_seg.ground import GroundConfig, find_ground
from open_set_seg.label_spaces import LABEL_SPACES
from open_set_seg.models import SegmentationOutput
from training.data import ValidationData
from training.datasets.frames import LabelledFrame
from training.prediction import evaluated
from training.train import train
from training.validation import EXAMPLES, Validator

SPACE = LABEL_SPACES["streethazards_12"]
ROAD = SPACE.ground_ids[0]
HEIGHT, WIDTH = 32, 48


class Linear(nn.Module):
    """Logits of the mean colours of 4 x 4 pixels."""

    def __init__(self, seed=0):
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(0.05 * torch.randn(12, 3, 1, 1, generator=random))
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images):
        return SegmentationOutput(
            functional.conv2d(functional.avg_pool2d(images, 4) - 128.0, self.weight)
        )


class Scenes:
    """Noise whose labels follow the prediction now and then, with unknown objects."""

    def __init__(self, count=3):
        random = np.random.default_rng(1)
        model = Linear()
        self.frames = []
        for _ in range(count):
            cells = random.integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3))
            image = cells.repeat(4, 0).repeat(4, 1).astype(np.uint8)
            labels = classes_of(model, image)
            wrong = random.random(labels.shape) < 0.3
            labels[wrong] = random.integers(0, 12, int(wrong.sum()))
            labels[HEIGHT // 2 : HEIGHT // 2 + 6, 10:20] = SPACE.unknown_id
            labels[:2] = 255
            self.frames.append((image, labels.astype(np.uint8)))

    def __len__(self):
        return len(self.frames)

    def load(self, index):
        return self.frames[index]


def full_logits(model, image):
    """(K, H, W) in float64."""
    with torch.no_grad():
        logits = model(torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).float()).logits
    return functional.interpolate(logits.double(), image.shape[:2], mode="bilinear")[0]


def classes_of(model, image):
    return full_logits(model, image).argmax(0).numpy()


def anomaly_of(model, image, temperature=2.0):
    """1 - JS(U, p) / JS of a certain prediction, term by term."""
    p = torch.softmax(full_logits(model, image) / temperature, 0).numpy()

    def js(p):
        u = np.full_like(p, 1 / 12)
        m = (p + u) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            left = np.where(p > 0, p * np.log(p / m), 0.0).sum(0)
        return (left + (u * np.log(u / m)).sum(0)) / 2

    certain = js(np.eye(12)[:1].T)[0]
    return 1.0 - js(p) / certain


def mean_iou(labels, predictions):
    """Over all images together and the classes that occur."""
    labels, predictions = np.concatenate(labels), np.concatenate(predictions)
    values = []
    for k in range(12):
        known = labels < 12
        both = ((labels == k) & (predictions == k) & known).sum()
        either = (((labels == k) | (predictions == k)) & known).sum()
        if either:
            values.append(both / either)
    return np.mean(values)


def assert_figures(figures, region, outliers, scores):
    assert figures[f"validation_{region}_AP"] == pytest.approx(
        average_precision_score(outliers, scores), abs=1e-3
    )
    fpr, tpr, _ = roc_curve(outliers, scores, drop_intermediate=False)
    expected = fpr[np.argmax(tpr >= 0.95)]
    assert figures[f"validation_{region}_FPR95"] == pytest.approx(expected, abs=1e-3)


def validator_of(data, **changes):
    return Validator(recipe_of("closed_set", "unused", **changes), data)


def test_scenes_are_judged_inside_the_hull_of_the_ground():
    scenes, model = Scenes(), Linear()
    validation = validator_of(ValidationData(scenes=scenes)).validate(model)
    labels, predictions, outliers, scores = [], [], [], []
    for image, truth in scenes.frames:
        predicted = classes_of(model, image)
        labels.append(truth.ravel())
        predictions.append(predicted.ravel())
        inside = find_ground(predicted.astype(np.uint8), SPACE, GroundConfig())
        counted = inside & (truth != 255)
        outliers.append(truth[counted] == SPACE.unknown_id)
        scores.append(anomaly_of(model, image)[counted])
    figures = validation.figures()
    assert figures["validation_mIoU"] == pytest.approx(mean_iou(labels, predictions), abs=1e-4)
    assert_figures(figures, "hull", np.concatenate(outliers), np.concatenate(scores))
    assert "development families" in validation.threshold_rule
    # At the threshold the F1 is that of the figures.
    found = np.concatenate(scores) >= validation.threshold - 1e-6
    truth = np.concatenate(outliers)
    f1 = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert f1 == pytest.approx(figures["validation_hull_best_F1"], abs=2e-3)


class Frames:
    """A data set with outliers, or one with classes."""

    def __init__(self, count=5):
        self.ids = [str(index) for index in range(count)]
        self.scenes = Scenes(count)
        self.read = []

    def __len__(self):
        return len(self.ids)

    def load(self, index):
        self.read.append(index)
        image, labels = self.scenes.frames[index]
        outliers = (labels == SPACE.unknown_id).astype(np.uint8)
        outliers[labels == 255] = 255
        return LabelledFrame(str(index), image, None, None if index == 0 else outliers)


class Closed(Frames):
    def load(self, index):
        self.read.append(index)
        image, labels = self.scenes.frames[index]
        return image, np.where(labels == SPACE.unknown_id, 255, labels).astype(np.uint8)


def test_data_sets_are_judged_on_whole_images():
    model, closed, anomalies = Linear(), Closed(4), (Frames(5), Frames(2))
    validator = validator_of(ValidationData(None, closed, anomalies), data__validation_frames=3)
    figures = validator.validate(model).figures()
    assert set(closed.read) == {0, 1, 2}  # evenly spread: 0, 4/3, 8/3
    assert [set(each.read) for each in anomalies] == [{0, 1, 3}, {0, 1}]
    pairs = [closed.load(index) for index in (0, 1, 2)]
    labels = [truth.ravel() for _, truth in pairs]
    predictions = [classes_of(model, image).ravel() for image, _ in pairs]
    assert figures["validation_mIoU"] == pytest.approx(mean_iou(labels, predictions), abs=1e-4)
    outliers, scores = [], []
    for each, indices in zip(anomalies, ((1, 3), (1,)), strict=True):  # 0 has no truth
        for index in indices:
            frame = each.load(index)
            counted = frame.outliers != 255
            outliers.append(frame.outliers[counted])
            scores.append(anomaly_of(model, frame.image)[counted])
    assert_figures(figures, "outlier", np.concatenate(outliers), np.concatenate(scores))


def test_what_is_not_there_is_not_measured():
    model = Linear()
    nothing = validator_of(ValidationData()).validate(model)
    assert nothing.figures() == {}
    assert nothing.threshold == 0.5
    assert nothing.threshold_rule.startswith("none")
    assert nothing.class_iou(SPACE) == {}
    closed = validator_of(ValidationData(closed=Closed(2))).validate(model)
    assert set(closed.figures()) == {"validation_mIoU"}
    assert set(closed.class_iou(SPACE)) == set(SPACE.classes)


def test_scenes_without_any_outlier_have_no_figures_of_it():
    scenes = Scenes()
    for _, labels in scenes.frames:
        labels[labels == SPACE.unknown_id] = ROAD
    validation = validator_of(ValidationData(scenes=scenes)).validate(Linear())
    assert set(validation.figures()) == {"validation_mIoU"}
    assert math.isnan(validation.pixels["AP"])
    assert validation.threshold == 0.5


def test_every_part_of_the_network_is_in_its_own_mode_again():
    model = Linear().train()
    model.norm.eval()
    mean = model.norm.running_mean.clone()
    validator_of(ValidationData(scenes=Scenes(1))).validate(model)
    assert model.training
    assert not model.norm.training
    assert torch.equal(model.norm.running_mean, mean)
    with pytest.raises(ZeroDivisionError), evaluated(model):
        _ = 1 / model.training
    assert model.training


def test_the_map_of_an_unbounded_score_comes_from_the_images():
    scenes, model = Scenes(), Linear()
    validator = validator_of(
        ValidationData(scenes=scenes), score={"name": "energy", "temperature": 1.0}
    )
    found = validator.validate(model).score_map
    values = []
    for image, _ in scenes.frames:
        with torch.no_grad():
            logits = model(torch.from_numpy(image).permute(2, 0, 1)[None].float()).logits
        values.append(-logits.logsumexp(1).flatten())
    low, middle, high = np.quantile(torch.cat(values).numpy(), [0.1, 0.5, 0.9])
    assert found.location == pytest.approx(middle, rel=1e-5)
    assert found.scale == pytest.approx((high - low) / 2, rel=1e-5)


def test_examples_are_a_few_images_and_always_the_same():
    scenes = validator_of(ValidationData(scenes=Scenes(9)))
    images = scenes.examples()
    assert len(images) == EXAMPLES
    assert all(np.array_equal(*pair) for pair in zip(images, scenes.examples(), strict=True))
    both = validator_of(ValidationData(closed=Closed(7), anomalies=(Frames(5),))).examples()
    frames = [image for image, _ in Scenes(7).frames]
    expected = [frames[0], frames[2], frames[0], frames[3]]
    assert all(np.array_equal(*pair) for pair in zip(both, expected, strict=True))
    assert len(validator_of(ValidationData(closed=Closed(7))).examples()) == EXAMPLES
    assert validator_of(ValidationData()).examples() == []


def write_streethazards(root, frames=3):
    """Training, validation and test with all classes, and anomalies in the test."""
    for part, subset, town in (
        ("train", "training", "t1"), ("train", "validation", "t3"), ("test", "test", "t5")
    ):  # fmt: skip
        for number in range(frames):
            image, blobs = scene(number)
            rows, columns = np.indices(blobs.shape)
            raw = (1 + (rows // 12 + columns // 16) % 13).astype(np.uint8)
            raw[(blobs == 1) & (part == "test")] = 14
            save(root / part / "images" / subset / town / f"{number}.png", image)
            save(root / part / "annotations" / subset / town / f"{number}.png", raw)


def test_a_run_on_data_sets_logs_what_it_is_validated_on(tmp_path):
    write_streethazards(tmp_path / "streethazards")
    source = {"name": "streethazards", "root": str(tmp_path)}
    recipe = recipe_of(
        "joint", "unused", optimisation__steps=2, optimisation__validate_every=1,
        data={
            "sets": [source],
            "validation": [source],
            "anomalies": [{**source, "split": "test"}],
            "validation_frames": 2,
        },
    )  # fmt: skip
    train(recipe, tmp_path / "run", progress=False, device="cpu")
    rows = read_rows(tmp_path / "run")
    names = {f"validation_{name}" for name in ("mIoU", "outlier_AP", "outlier_FPR95")}
    assert [row["step"] for row in rows] == [1, 2]
    for row in rows:
        assert names <= set(row)
        assert all(0 <= row[name] <= 1 for name in names)
    assert (tmp_path / "run" / "pictures" / "predictions-000002.png").exists()
