"""Where scores come from: our checkpoints, networks of others, or score maps in files."""

from training.sources.answers import Answer, EvaluationError, ScoreMap, Source, SourceOptions
from training.sources.networks import NetworkSource
from training.sources.opening import distinctly_named, open_source

__all__ = [
    "Answer",
    "EvaluationError",
    "NetworkSource",
    "ScoreMap",
    "Source",
    "SourceOptions",
    "distinctly_named",
    "open_source",
]
