"""A small network without training: its answers mean nothing, but they are always the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import open_set_seg
from open_set_seg.checkpoint import CheckpointMetadata, save_checkpoint
from open_set_seg.frame import ImageRGB
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.models import build_model
from open_set_seg.segmenter import OpenSetSegmenter

# Every class is ground, so that there always is some and every region may become an obstacle.
LABEL_SPACE = replace(STREETHAZARDS, ground=STREETHAZARDS.classes)


def save_untrained(path: Path, image: ImageRGB) -> Path:
    """Save a checkpoint whose threshold leaves a tenth of the image above it."""
    torch.manual_seed(0)
    network = build_model("swiftnet_rn18", num_classes=LABEL_SPACE.num_classes, width=0.25)
    metadata = CheckpointMetadata(
        architecture="swiftnet_rn18",
        label_space=LABEL_SPACE,
        package_version=open_set_seg.__version__,
        width=0.25,
        metrics={"mean_iou": 0.125},
    )
    save_checkpoint(path, network, metadata)
    segmenter = OpenSetSegmenter.from_checkpoint(path, device="cpu", backend="pytorch")
    anomaly = segmenter.segment(image).anomaly
    threshold = float(np.quantile(anomaly, 0.9))
    save_checkpoint(path, network, replace(metadata, threshold=threshold))
    return path
