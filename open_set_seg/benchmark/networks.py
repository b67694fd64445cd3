"""The network that is benchmarked: a checkpoint's, or one with random weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import open_set_seg
from open_set_seg.checkpoint import CheckpointMetadata
from open_set_seg.label_spaces import LABEL_SPACES, LabelSpace
from open_set_seg.models import build_model, count_parameters
from open_set_seg.opening import OpenedModel, open_model
from open_set_seg.scores import ScoreStatistics

RANDOM = "random: speed only"


@dataclass(frozen=True)
class NetworkSource:
    """Where the network comes from; gives an equal one every time.

    Args:
        checkpoint: a model file, or None for random weights.
        architecture, width, classes: of the random network, as ``build_model``.
    """

    checkpoint: Path | None
    architecture: str = "swiftnet_rn18"
    width: float = 1.0
    classes: int = 19

    def open(self, outlier_head: bool = False) -> OpenedModel:
        """The network in fp32 on the CPU; ``outlier_head`` is for random ones."""
        if self.checkpoint is not None:
            return open_model(self.checkpoint, torch.device("cpu"))
        network = build_random(self.architecture, self.classes, self.width, outlier_head)
        metadata = CheckpointMetadata(
            architecture=self.architecture,
            label_space=_label_space(self.classes),
            package_version=open_set_seg.__version__,
            width=self.width,
            outlier_head=outlier_head,
            recipe={"weights": RANDOM},
        )
        statistics = make_statistics(network, self.classes)
        return OpenedModel(network, metadata, statistics)

    def describe(self) -> dict[str, Any]:
        """For a result."""
        opened = self.open()
        metadata = opened.metadata
        return {
            "architecture": metadata.architecture,
            "width": metadata.width,
            "classes": metadata.label_space.num_classes,
            "outlier_head": metadata.outlier_head,
            "parameters": count_parameters(opened.network),
            "weights": metadata.recipe.get("weights", metadata.weights_sha256),
            "file": None if self.checkpoint is None else self.checkpoint.name,
        }


def build_random(architecture: str, classes: int, width: float, outlier_head: bool) -> nn.Module:
    """A network with random weights from a fixed seed, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(architecture, classes, width, outlier_head).eval()


def make_statistics(network: nn.Module, classes: int) -> ScoreStatistics:
    """Statistics that were fitted to nothing, of the shapes that scores want: for speed only."""
    with torch.inference_mode():
        features = network(torch.zeros(1, 3, 64, 64)).features
    channels = features.shape[1]
    means = torch.linspace(-1.0, 1.0, classes * channels).view(classes, channels)
    identity = torch.eye(channels)
    levels = torch.tensor([0.9])
    return ScoreStatistics(
        max_logit_mean=torch.zeros(classes),
        max_logit_deviation=torch.ones(classes),
        feature_mean=means,
        feature_precision=identity,
        density_weight=torch.full((classes,), 1.0 / classes),
        density_mean=means.clone(),
        density_cholesky=identity.repeat(classes, 1, 1),
        activation_levels=levels,
        activation_quantiles=torch.ones(1),
    )


def _label_space(classes: int) -> LabelSpace:
    """Classes of which every one is ground: a random network then has ground, and obstacles."""
    known = next((s for s in LABEL_SPACES.values() if s.num_classes == classes), None)
    if known is not None:
        return replace(known, ground=known.classes)
    names = tuple(f"class {number}" for number in range(classes))
    colours = tuple((number, 255 - number, 128) for number in range(classes))
    return LabelSpace(f"numbered_{classes}", names, colours, names)
