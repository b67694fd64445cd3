"""What a checkpoint says about its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from open_set_seg import __version__
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.scores import LogisticMap
from open_set_seg.scoring import Scoring, ScoringError

# The one preprocessing there is: the network takes RGB as it comes and normalises it itself, by
# its definition or from buffers that lie in the checkpoint. Stated in the file so that another one
# can be told apart.
PREPROCESSING = "rgb_0_255_normalised_in_network"


class CheckpointError(ValueError):
    """A file that is no usable checkpoint; says what was expected and what was found."""


@dataclass(frozen=True)
class CheckpointMetadata:
    """Everything beside the weights.

    Attributes:
        architecture: key in ``MODELS``.
        width: factor on the architecture's channel counts.
        label_space: the K classes of the logits.
        outlier_head: whether the network has a second head.
        preprocessing: how an image becomes the network's input.
        score: name of a ``Scoring`` without a temperature; ``temperature`` is its T.
        score_map: publishes an unbounded score in [0, 1]; None for bounded ones.
        threshold: on the published scale; unknown is *above* it.
        threshold_rule: how the threshold was chosen, in words.
        recipe: the training recipe as it was run.
        seed: of the training.
        package_version: of the code that made this.
        code_revision: commit of that code, where known.
        metrics: measured at the end of training, by name.
        weights_sha256: of the weights as stored; set by ``save_checkpoint``.
        score_maps: publish unbounded scorings other than the checkpoint's own, by their names as
            ``str(Scoring)`` writes them.
        statistics_source: what inlier data the statistics and ``score_maps`` were fitted to, in
            words.
        statistics_sha256: of the statistics as stored; empty without them; set by
            ``save_checkpoint``.
    """

    architecture: str
    label_space: LabelSpace
    package_version: str = __version__
    width: float = 1.0
    outlier_head: bool = False
    preprocessing: str = PREPROCESSING
    score: str = "jsd"
    temperature: float = 2.0
    score_map: LogisticMap | None = None
    threshold: float = 0.5
    threshold_rule: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    code_revision: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    weights_sha256: str = ""
    score_maps: Mapping[str, LogisticMap] = field(default_factory=dict)
    statistics_source: str = ""
    statistics_sha256: str = ""

    def __post_init__(self) -> None:
        if self.preprocessing != PREPROCESSING:
            raise CheckpointError(
                f"expected preprocessing {PREPROCESSING!r}, found {self.preprocessing!r}"
            )
        try:
            scoring = Scoring.parse(self.score)
        except ScoringError as error:
            raise CheckpointError(f"expected a score, found {self.score!r}: {error}") from None
        if scoring.temperature is not None:
            raise CheckpointError(
                f"expected a temperature in a field of its own, found {self.score!r}"
            )
        if scoring.bounded == (self.score_map is not None):
            expected = "no score map" if scoring.bounded else "a score map"
            raise CheckpointError(f"expected {expected} for the score {self.score!r}")
        for name in self.score_maps:
            self._check_mapped(name)
        if not 0.0 < self.temperature <= 1000.0:
            raise CheckpointError(f"expected temperature in (0, 1000], found {self.temperature}")
        if not 0.0 <= self.threshold <= 1.0:
            raise CheckpointError(f"expected threshold in [0, 1], found {self.threshold}")
        if not 0.0 < self.width <= 4.0:
            raise CheckpointError(f"expected width in (0, 4], found {self.width}")

    def _check_mapped(self, name: str) -> None:
        try:
            scoring = Scoring.parse(name)
        except ScoringError as error:
            raise CheckpointError(f"expected scores in 'score_maps': {error}") from None
        if str(scoring) != name:
            raise CheckpointError(f"expected {str(scoring)!r} in 'score_maps', found {name!r}")
        if scoring.bounded or name == self.score:
            why = "bounded" if scoring.bounded else "the checkpoint's own"
            raise CheckpointError(f"expected no map of {name!r} in 'score_maps': it is {why}")
