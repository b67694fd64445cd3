"""Runs of a network over inlier images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from open_set_seg.backends import PyTorchBackend
from open_set_seg.fitting.histogram import FloatHistogram
from open_set_seg.fitting.score_maps import fit_score_map
from open_set_seg.fitting.statistics import FittingRules, StatisticsAccumulator
from open_set_seg.frame import ImageRGB
from open_set_seg.models import PixelClassifier
from open_set_seg.scores import SCORES, LogisticMap, ScoreStatistics
from open_set_seg.scoring import Scoring, ScoringError
from open_set_seg.segmenter import OpenSetSegmenter, check_image

# Beside the scores themselves: what ReAct's authors use it with.
COMBINATIONS = ("react+energy",)


def fit_statistics(
    network: nn.Module,
    num_classes: int,
    images: Iterable[ImageRGB],
    device: torch.device,
    rules: FittingRules | None = None,
) -> ScoreStatistics:
    """The statistics of a network's answers to inlier images, on the CPU.

    Args:
        network: maps RGB (B, 3, H, W) on 0..255 to a ``SegmentationOutput``; it is moved. One that
            does not give its features and its classifier gets statistics of its logits alone.
        num_classes: K.
        images: (H, W, 3) uint8 each, of any size, that show known things only.
        device: where the network runs, in float32.
        rules: of the fit.

    Raises:
        ValueError: something that is no image, or no image at all.
    """
    backend = PyTorchBackend(network, device, "fp32")
    seen = StatisticsAccumulator(num_classes)
    for image in images:
        check_image(image)
        with torch.inference_mode():
            output, activations = backend(image), None
            if isinstance(network, PixelClassifier) and output.features is not None:
                activations = network.logits.activations(output.features)
            else:
                output = output._replace(features=None)
            seen.add(output, image.shape[:2], activations)
    return seen.finish(rules)


def fit_score_maps(
    segmenter: OpenSetSegmenter, images: Iterable[ImageRGB], scores: Sequence[str]
) -> dict[str, LogisticMap]:
    """The maps that publish unbounded scorings of a segmenter, by their names as ``Scoring`` has.

    Args:
        segmenter: has the statistics that the scorings need.
        images: as ``fit_statistics``.
        scores: names of unbounded scorings.

    Raises:
        ValueError: a scoring that is bounded or cannot be had, or that gave no finite number.
    """
    for name in scores:
        if Scoring.parse(name).bounded:
            raise ScoringError(f"the score {name!r} lies in [0, 1] and takes no map")
    inliers = {name: FloatHistogram() for name in scores}
    for image in images:
        _, maps = segmenter.score_maps(image, scores)
        for name, values in maps.items():
            inliers[name].add(torch.from_numpy(values))
    fitted = {}
    for name, histogram in inliers.items():
        try:
            fitted[str(Scoring.parse(name))] = fit_score_map(histogram)
        except ValueError as error:
            raise ValueError(f"the score {name!r}: {error}") from None
    return fitted


def choose_scores(segmenter: OpenSetSegmenter) -> tuple[str, ...]:
    """Every unbounded score that a segmenter can give, its checkpoint's own left out."""
    names = [name for name, score in SCORES.items() if not score.bounded]
    return tuple(
        name
        for name in (*names, *COMBINATIONS)
        if name != segmenter.metadata.score and _can_give(segmenter, name)
    )


def _can_give(segmenter: OpenSetSegmenter, name: str) -> bool:
    try:
        segmenter.check_scores([name])
    except ScoringError:
        return False
    return True
