"""Which scorings a network can give, and what makes their maps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from open_set_seg.backends import NetworkRunner
from open_set_seg.checkpoint import CheckpointMetadata
from open_set_seg.frame import FloatImage, LabelImage
from open_set_seg.head import ScoreChannel
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.scores import LogisticMap, ScoreStatistics
from open_set_seg.scoring import Scoring, ScoringError


@dataclass(frozen=True)
class Request:
    """A map that is wanted.

    Attributes:
        scoring: with its temperature.
        score_map: publishes it in [0, 1]; None: as its formula gives it.
    """

    scoring: Scoring
    score_map: LogisticMap | None = None

    @property
    def channel(self) -> ScoreChannel:
        """The head's share of it."""
        scoring = self.scoring
        score_map = None if scoring.steps else self.score_map
        return ScoreChannel(scoring.score, scoring.temperature, score_map, scoring.coarse)

    @property
    def is_of_head(self) -> bool:
        """Whether the head's map of the plain pass is the map that is wanted."""
        return self.scoring.intervention is None and not self.scoring.steps

    def finish(self, anomaly: FloatImage, nearest: LabelImage, space: LabelSpace) -> FloatImage:
        """The channel's values with what comes after the head."""
        for step in self.scoring.steps:
            anomaly = step(anomaly, nearest, space, self.scoring.lowest)
        if self.scoring.steps and self.score_map is not None:
            anomaly = self.score_map(torch.from_numpy(anomaly)).numpy()
        return anomaly


class Repertoire:
    """The scorings of one network.

    Args:
        metadata: says the checkpoint's own scoring, and which maps publish others.
        statistics: of inlier data, for the scorings that need them.

    Attributes:
        own: the checkpoint's scoring, with its temperature.
    """

    def __init__(self, metadata: CheckpointMetadata, statistics: ScoreStatistics | None) -> None:
        self._metadata, self._statistics = metadata, statistics
        own = Scoring.parse(metadata.score)
        has_temperature = own.entry.temperature is not None
        self.own = replace(own, temperature=metadata.temperature if has_temperature else None)

    def publish(self, name: str) -> Request:
        """What makes the published map of a scoring.

        Raises:
            ScoringError: an unbounded score without a map that brings it to [0, 1].
        """
        scoring, metadata = self.read(name), self._metadata
        if scoring == self.own:
            return Request(scoring, metadata.score_map)
        score_map = metadata.score_maps.get(str(Scoring.parse(name)))
        if score_map is None and not scoring.bounded:
            raise ScoringError(
                f"the score {name!r} is unbounded and the checkpoint has no map that publishes it "
                f"in [0, 1]: `open-set-seg fit --scores {name}` adds one"
            )
        return Request(scoring, score_map)

    def read(self, name: str) -> Scoring:
        """The scoring of a name; the checkpoint's own score has the checkpoint's temperature.

        Raises:
            ScoringError: the name means none.
        """
        scoring, own = Scoring.parse(name), self.own
        if scoring.score == own.score and scoring.temperature is None:
            return replace(scoring, temperature=own.temperature)
        return scoring

    def check(self, name: str, runner: NetworkRunner, has_features: bool) -> None:
        """Raise ``ScoringError`` with one line if a scoring is unknown or needs what is not there.

        Args:
            name: of the scoring.
            runner: runs the network.
            has_features: whether the network gives features and a classifier of its own.
        """
        scoring = self.read(name)
        fitted = {} if self._statistics is None else self._statistics.tensors()
        missing = [field for field in scoring.statistics if field not in fitted]
        network = self._metadata.architecture
        if "outlier_logits" in scoring.entry.needs and not self._metadata.outlier_head:
            raise ScoringError(
                f"the score {name!r} needs outlier logits, and this network ({network}) has no "
                "outlier head"
            )
        if scoring.needs_network and not runner.gives_features:
            raise ScoringError(
                f"the score {name!r} needs features or an intervention, and {runner.name} "
                "gives logits alone: take the backend auto or pytorch"
            )
        if scoring.needs_features and not has_features:
            raise ScoringError(
                f"the score {name!r} needs features, and this network ({network}) does not give "
                "them"
            )
        if missing:
            raise ScoringError(
                f"the score {name!r} needs statistics of inlier data ({', '.join(missing)}), and "
                "the checkpoint carries none: `open-set-seg fit` adds them"
            )
