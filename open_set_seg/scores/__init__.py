"""Anomaly scores: pure functions from a network's output to one number per pixel.

Higher is more anomalous. All of them are differentiable. Inputs that are not finite give whatever
the formula gives (usually NaN): the open-set head turns such pixels into the largest anomaly.
"""

from open_set_seg.scores.class_scores import (
    energy,
    entropy,
    jsd,
    jsd_maximum,
    jsd_to_uniform,
    kl,
    max_logit,
    msp,
    reverse_kl,
    shannon_entropy,
)
from open_set_seg.scores.fitted_scores import embedding_density, mahalanobis, sml
from open_set_seg.scores.inputs import ScoreInputs
from open_set_seg.scores.outlier_scores import (
    dense_hybrid,
    discriminative,
    generative,
    op,
    op_ms,
)
from open_set_seg.scores.publication import LogisticMap
from open_set_seg.scores.registry import SCORES, Need, Score
from open_set_seg.scores.sampled_scores import mutual_information
from open_set_seg.scores.statistics import ScoreStatistics

__all__ = [
    "SCORES",
    "LogisticMap",
    "Need",
    "Score",
    "ScoreInputs",
    "ScoreStatistics",
    "dense_hybrid",
    "discriminative",
    "embedding_density",
    "energy",
    "entropy",
    "generative",
    "jsd",
    "jsd_maximum",
    "jsd_to_uniform",
    "kl",
    "mahalanobis",
    "max_logit",
    "msp",
    "mutual_information",
    "op",
    "op_ms",
    "reverse_kl",
    "shannon_entropy",
    "sml",
]
