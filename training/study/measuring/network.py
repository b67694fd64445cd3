"""Everything that the study says about one network, from one forward pass a scene."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from open_set_seg.fitting import fit_statistics
from open_set_seg.head import ScoreChannel
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.metrics.bootstrap import Counts, resample_counts
from open_set_seg.scores import ScoreStatistics
from open_set_seg.scoring import Scoring
from training.data import TrainingFrames
from training.study.measuring.answers import Answers, Scenes, answer_scenes
from training.study.measuring.pixel_figures import Scores
from training.study.measuring.score_pixels import ScorePixels, displace, resample_figures, rounded
from training.study.measuring.strata import StrataRule, stratify

# ``jsd``, ``kl`` and ``reverse_kl`` are at T = 2.
LOGIT_SCORES = (
    "msp",
    "entropy",
    "max_logit",
    "energy",
    "jsd",
    "jsd:temperature=1",
    "jsd:temperature=1.5",
    "jsd:temperature=4",
    "kl",
    "reverse_kl",
)
FITTED_SCORES = ("sml", "mahalanobis", "embedding_density")
RESAMPLED_SCORES = ("msp", "entropy", "max_logit", "energy", "jsd")
CONFIDENT = 0.9


@dataclass(frozen=True)
class MeasuringSettings:
    """What to measure.

    Attributes:
        scores: names of ``Scoring``, without interventions and postprocessing.
        resampled: those of them of which AP and FPR95 of resampled images are kept.
        stratified: those of them that are told apart by distance, size, family and camouflage.
        resamples, draws_seed: number and seed of the draws of images. Results with the same two,
            on the same scenes, can be compared draw by draw.
        strata: limits of the strata.
        null_score: whose map is held against the masks of other scenes.
        statistics: of inlier data. The scores that need them are measured as well.

    Raises:
        ValueError: a score that cannot be had here, or one that is used but not measured.
    """

    scores: tuple[str, ...] = LOGIT_SCORES
    resampled: tuple[str, ...] = RESAMPLED_SCORES
    stratified: tuple[str, ...] = ("jsd", "entropy", "energy")
    resamples: int = 300
    draws_seed: int = 0
    strata: StrataRule = field(default_factory=StrataRule)
    null_score: str = "jsd"
    statistics: ScoreStatistics | None = None

    def __post_init__(self) -> None:
        used = {*self.resampled, *self.stratified, self.null_score, "msp"}
        if missing := sorted(used - set(self.all_scores)):
            raise ValueError(f"not among the measured scores: {', '.join(missing)}")
        for name in self.all_scores:
            scoring = Scoring.parse(name)
            if scoring.intervention is not None or scoring.steps:
                raise ValueError(f"{name!r} is more than a score of one forward pass")

    @property
    def all_scores(self) -> tuple[str, ...]:
        """``scores``, and those whose statistics are there."""
        fitted = () if self.statistics is None else self.statistics.tensors().keys()
        more = [n for n in FITTED_SCORES if set(Scoring.parse(n).statistics) <= set(fitted)]
        return tuple(dict.fromkeys((*self.scores, *more)))

    @property
    def reads_features(self) -> bool:
        """Whether any score does."""
        return any(Scoring.parse(name).needs_features for name in self.all_scores)


def measure(
    model: nn.Module, scenes: Scenes, settings: MeasuringSettings | None = None
) -> dict[str, Any]:
    """Measure a network on scenes.

    Two regions: ``whole`` is all labelled pixels, ``road`` those whose truth is road, road line or
    unknown. Figures are fractions; those without a value are None.

    Args:
        model: maps RGB (1, 3, H, W) on 0..255 to a ``SegmentationOutput`` in the classes of
            StreetHazards.
        scenes: with their truth; 192 x 384 pixels need about 1 MB a scene, larger ones more.
        settings: what to measure.

    Returns:
        JSON values: ``images`` and ``families``; ``closed_set`` mIoU and class IoU (unknown pixels
        are not counted); ``scores`` by name and region: AP, FPR95, AUROC, best_F1 of all pixels
        pooled, exact; ``resampled``: mIoU, and AP and FPR95 of some scores, for every draw of the
        images; ``strata`` as ``stratify`` gives them; ``confidence``: share of unknown and of
        known pixels with a largest softmax above 0.9; ``null``: share of unknown pixels, and AP
        where the truth is that of another scene, shifted at random: chance.
    """
    settings = settings or MeasuringSettings()
    answers = answer_scenes(model, scenes, settings.reads_features)
    draws = resample_counts(len(scenes), settings.resamples, settings.draws_seed)
    total = answers.confusions.total()
    iou = dict(zip(STREETHAZARDS.classes, total.class_iou().tolist(), strict=True))
    result: dict[str, Any] = {
        "images": len(scenes),
        "families": scenes.families,
        "closed_set": {"mIoU": total.mean_iou(), "class_iou": iou},
        "scores": {},
        "resampled": {
            "seed": settings.draws_seed,
            "count": settings.resamples,
            "mIoU": rounded(answers.confusions.statistics(draws)["mIoU"]),
            "scores": {},
        },
        "strata": {},
        "confidence": {},
        "null": {},
    }
    for name in settings.all_scores:
        _measure_score(result, name, answers, draws, settings)
    cleaned: dict[str, Any] = without_nan(result)
    return cleaned


def _measure_score(
    result: dict[str, Any],
    name: str,
    answers: Answers,
    draws: Counts,
    settings: MeasuringSettings,
) -> None:
    scoring, truth = Scoring.parse(name), answers.truth
    channel = ScoreChannel(scoring.score, scoring.temperature, coarse=scoring.coarse)
    maps = list(answers.maps(channel, settings.statistics))
    pixels = ScorePixels.gather(maps, truth.codes)
    result["scores"][name] = pixels.by_region()
    if name in settings.resampled:
        result["resampled"]["scores"][name] = resample_figures(maps, truth.codes, draws)
    if name in settings.stratified:
        strata = stratify(truth, pixels.unknown, pixels.road, settings.strata)
        result["strata"][name] = strata
    if name == "msp":
        result["confidence"] = _measure_confidence(pixels)
    if name == settings.null_score:
        displaced = displace(truth.codes, settings.draws_seed)
        chance = ScorePixels.gather(maps, displaced).by_region()
        result["null"] = {
            "prevalence": pixels.prevalence(),
            "permuted_AP": {region: figures["AP"] for region, figures in chance.items()},
        }


def _measure_confidence(msp: ScorePixels) -> dict[str, float]:
    known = np.concatenate([msp.beside, msp.road])
    return {"unknown": _share_confident(msp.unknown), "inlier": _share_confident(known)}


def _share_confident(scores: Scores) -> float:
    """Share of pixels with a largest softmax above ``CONFIDENT``, of their scores 1 - softmax."""
    if not scores.size:
        return math.nan
    return float(np.count_nonzero(scores < 1.0 - CONFIDENT) / scores.size)


def without_nan(value: Any) -> Any:
    """The same JSON values with None for every NaN."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def fit_on_scenes(model: nn.Module, scenes: TrainingFrames, count: int) -> ScoreStatistics:
    """Statistics for the fitted scores, of ``count`` training scenes that are evenly spaced.

    Raises:
        ValueError: more scenes than there are, or none.
    """
    if not 1 <= count <= len(scenes):
        raise ValueError(f"between 1 and {len(scenes)} scenes can be fitted to, not {count}")
    chosen = np.linspace(0, len(scenes) - 1, count).round().astype(int).tolist()
    images = (np.ascontiguousarray(scenes.load(index)[0]) for index in chosen)
    device: torch.device = next(model.parameters()).device
    return fit_statistics(model, STREETHAZARDS.num_classes, images, device)
