"""Results of evaluations, made of random scores and counted by scikit-learn."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from open_set_seg.metrics.protocols import BANDS
from training.datasets.frames import LabelledFrame
from training.presentation.pictures import frame_picture

CLASSES = ("sky", "building", "road", "car")
HEIGHT, WIDTH = 48, 96


def make_result(
    model: str = "swiftnet",
    protocol: str = "fishyscapes",
    dataset: str = "fishyscapes_lost_and_found",
    scores: tuple[str, ...] = ("jsd", "msp"),
    regions: tuple[str, ...] = ("whole image",),
    split: str = "val",
    frames: int = 12,
    seed: int = 0,
    intervals: bool = True,
    components: bool = False,
    distance: bool = False,
    open_set: bool = False,
    objects: bool = False,
    folder: Path | None = None,
) -> dict:
    """A result.json whose figures belong to its curves; pictures are written to ``folder``."""
    random = np.random.default_rng(seed)
    content = {}
    pictures = []
    for place, score in enumerate(scores):
        images = [_frame(random, separation=1.6 - 0.4 * place) for _ in range(frames)]
        content[score] = _score(random, images, regions, intervals, components, distance, open_set)
        if folder is not None and place == 0:
            pictures = _pictures(images, content[score]["frames"], folder, score)
    return {
        "format": 1,
        "protocol": {"name": protocol, "title": protocol.capitalize(), "source": "a test"},
        "dataset": {
            "name": dataset, "title": dataset.replace("_", " "), "split": split, "frames": frames,
            "skipped": [{"id": "0007", "reason": "cut off"}],
        },
        "model": {"name": model, "kind": "checkpoint", "architecture": "swiftnet_rn18"},
        "closed_set": {
            "mIoU": 0.75, "pixel_accuracy": 0.9,
            "class_IoU": dict(zip(CLASSES, random.random(len(CLASSES)).tolist(), strict=True)),
        },
        "scores": content,
        "objects": {"exact disparity": _objects(random)} if objects else None,
        "pictures": pictures,
        "environment": {"device": "CPU", "package": "0.1.0", "commit": "abc", "python": "3.11"},
        "seconds": 12.5,
    }  # fmt: skip


def _frame(random, separation):
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    top, left = random.integers(10, 30), random.integers(5, 70)
    labels[top : top + 9, left : left + 14] = 1
    labels[:4] = 255
    scores = random.normal(-2.0, 1.0, labels.shape)
    scores = cv2.GaussianBlur(scores, (0, 0), 1.5) * 2 + (labels == 1) * separation
    return labels, (1 / (1 + np.exp(-scores))).astype(np.float32)


def _score(random, images, regions, intervals, components, distance, open_set):
    truth = np.concatenate([labels[labels != 255] for labels, _ in images])
    values = np.concatenate([scores[labels != 255] for labels, scores in images])
    pixels, curves, histograms, ranges = {}, {}, {}, {}
    for place, region in enumerate(regions):
        keep = random.random(truth.size) < 1 - 0.3 * place
        pixels[region], curves[region] = _pixels(truth[keep], values[keep])
        edges = np.linspace(values.min(), values.max(), 41)
        histograms[region] = {
            "edges": edges.tolist(),
            "inliers": np.histogram(values[truth == 0], edges)[0].tolist(),
            "outliers": np.histogram(values[truth == 1], edges)[0].tolist(),
        }
        ranges[region] = {
            key: {"low": value * 0.9, "high": min(1.0, value * 1.1), "level": 0.95, "resamples": 9}
            for key, value in pixels[region].items()
            if key != "best_F1_threshold"
        }
    taus = np.linspace(0.25, 0.75, 11)
    return {
        "pixels": pixels,
        "deviation": None,
        "runs": None,
        "intervals": ranges if intervals else None,
        "components": {
            "threshold": 0.5, "sIoU_gt": 0.4, "PPV": 0.3, "mean_F1": 0.25, "intervals": None,
            "by_tau": [
                {"tau": tau, "TP": 5, "FP": place, "FN": 2, "F1": 10 / (12 + place)}
                for place, tau in enumerate(taus.tolist())
            ],
        } if components else None,
        "distance": {
            "rule": "official",
            "bands": [
                {
                    "band": list(band), "outliers": 9000 // (place + 1), "inliers": 1234567,
                    "AP": None if place == 8 else 0.9 - 0.05 * place, "FPR95": 0.01 * place**1.5,
                    "AUROC": 0.99 - 0.01 * place,
                }
                for place, band in enumerate(BANDS)
            ],
        } if distance else None,
        "open_set": _open_set(random) if open_set else None,
        "curves": curves,
        "histogram": histograms,
        "frames": [_one_frame(f"{i:04d}", *image) for i, image in enumerate(images)],
    }  # fmt: skip


def _pixels(truth, values):
    precision, recall, thresholds = precision_recall_curve(truth, values)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(np.argmax(f1))
    false, true, cuts = roc_curve(truth, values, drop_intermediate=False)
    keep = np.unique(np.linspace(1, len(cuts) - 1, 200).round().astype(int))
    positives, negatives = truth.sum(), (truth == 0).sum()
    hits, alarms = true[keep] * positives, false[keep] * negatives
    return (
        {
            "AP": float(average_precision_score(truth, values)),
            "FPR95": float(false[np.argmax(true >= 0.95)]),
            "AUROC": float(roc_auc_score(truth, values)),
            "best_F1": float(f1[best]),
            "best_F1_threshold": float(thresholds[min(best, len(thresholds) - 1)]),
        },
        {
            "thresholds": cuts[keep].tolist(),
            "TPR": true[keep].tolist(),
            "FPR": false[keep].tolist(),
            "precision": (hits / (hits + alarms)).tolist(),
        },
    )


def _one_frame(name, labels, scores):
    truth, values = labels[labels != 255], scores[labels != 255]
    false, true, _ = roc_curve(truth, values)
    return {
        "id": name, "outliers": int(truth.sum()), "inliers": int((truth == 0).sum()),
        "AP": float(average_precision_score(truth, values)),
        "FPR95": float(false[np.argmax(true >= 0.95)]),
    }  # fmt: skip


def _open_set(random):
    folds = [
        {
            "group": group, "images": images, "threshold": 0.7, "open_mIoU": 0.4,
            "closed_mIoU": 0.6, "mIoU_K_plus_1": 0.38, "unknown_IoU": 0.1,
            "class_IoU": dict(zip(CLASSES, random.random(len(CLASSES)).tolist(), strict=True)),
            "confusion": random.integers(1, 9999, (len(CLASSES) + 1, len(CLASSES) + 1)).tolist(),
        }
        for group, images in (("t5", 10), ("t6", 5))
    ]  # fmt: skip
    return {"open_mIoU": 0.4, "closed_mIoU": 0.6, "mIoU_K_plus_1": 0.38, "folds": folds}


def _objects(random):
    def band(limits):
        return {
            "band": list(limits), "objects": 20, "found": 12, "recall": 0.6,
            "false_per_frame": 0.5, "measured": 11, "median_relative_error": 0.01,
            "bias": -0.02, "spread": float(random.random()), "bias_in_sigmas": None,
            "spread_in_sigmas": 0.9,
        }  # fmt: skip

    return {
        "frames": 12, "bands": [band(limits) for limits in BANDS], "overall": band((5.0, 50.0)),
        "false_of_unknown_distance_per_frame": 0.1, "false_per_frame": 1.5,
    }  # fmt: skip


def _pictures(images, frames, folder, score):
    order = sorted(range(len(frames)), key=lambda place: frames[place]["AP"])
    found = []
    for rank, place in (("worst", order[0]), ("best", order[-1])):
        labels, scores = images[place]
        grey = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
        grey[labels == 1] = (150, 90, 60)
        frame = LabelledFrame(frames[place]["id"], grey, outliers=labels)
        picture = frame_picture(frame, scores, (0.0, 1.0))
        name = f"pictures/{rank}.png"
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), picture[..., ::-1])
        found.append(
            {"file": name, "id": frame.id, "score": score, "rank": rank, "AP": frames[place]["AP"]}
        )
    return found
