"""What a checkpoint says about its weights, and its strict reading from JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from open_set_seg.label_spaces import LABEL_SPACES, LabelSpace
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
        package_version: of the code that wrote the file.
        code_revision: commit of that code, where known.
        metrics: measured at the end of training, by name.
        weights_sha256: of the weights as stored; set by ``save_checkpoint``.
    """

    architecture: str
    label_space: LabelSpace
    package_version: str
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
        if not 0.0 < self.temperature <= 1000.0:
            raise CheckpointError(f"expected temperature in (0, 1000], found {self.temperature}")
        if not 0.0 <= self.threshold <= 1.0:
            raise CheckpointError(f"expected threshold in [0, 1], found {self.threshold}")
        if not 0.0 < self.width <= 4.0:
            raise CheckpointError(f"expected width in (0, 4], found {self.width}")


def metadata_to_json(metadata: CheckpointMetadata) -> dict[str, Any]:
    """A JSON object; a label space of the package is stored by name, another one in full."""
    space = metadata.label_space
    known = LABEL_SPACES.get(space.name) == space
    score_map = metadata.score_map
    content = {
        name: getattr(metadata, name)
        for name in CheckpointMetadata.__dataclass_fields__
        if name not in ("label_space", "score_map")
    }
    content["num_classes"] = space.num_classes
    content["label_space"] = space.name if known else _label_space_to_json(space)
    content["score_map"] = None if score_map is None else vars(score_map)
    content["recipe"] = dict(metadata.recipe)
    content["metrics"] = dict(metadata.metrics)
    return content


def metadata_from_json(content: Mapping[str, Any], source: str) -> CheckpointMetadata:
    """The metadata of a JSON object.

    Raises:
        CheckpointError: a field that is missing, of another type, out of range, or contradictory.
            Fields that this version does not know are ignored.
    """
    read = _Reader(content, source)
    space = _label_space_from_json(content.get("label_space"), source)
    num_classes = read.integer("num_classes")
    if num_classes != space.num_classes:
        raise CheckpointError(
            f"expected {space.num_classes} classes, as many as the label space {space.name!r} has, "
            f"found {num_classes} in {source}"
        )
    score_map = read.mapping("score_map") if content.get("score_map") is not None else None
    metrics = read.mapping("metrics")
    try:
        return CheckpointMetadata(
            architecture=read.text("architecture"),
            label_space=space,
            package_version=read.text("package_version"),
            width=read.number("width"),
            outlier_head=read.boolean("outlier_head"),
            preprocessing=read.text("preprocessing"),
            score=read.text("score"),
            temperature=read.number("temperature"),
            score_map=None if score_map is None else _score_map_from_json(score_map, source),
            threshold=read.number("threshold"),
            threshold_rule=read.text("threshold_rule"),
            recipe=read.mapping("recipe"),
            seed=None if content.get("seed") is None else read.integer("seed"),
            code_revision=(
                None if content.get("code_revision") is None else read.text("code_revision")
            ),
            metrics={name: _Reader(metrics, source).number(name) for name in metrics},
            weights_sha256=read.text("weights_sha256"),
        )
    except CheckpointError as error:
        raise CheckpointError(
            str(error) if source in str(error) else f"{error} in {source}"
        ) from error


class _Reader:
    """Typed look-ups in a JSON object that say what was expected and what was found."""

    def __init__(self, content: Mapping[str, Any], source: str) -> None:
        self.content = content
        self.source = source

    def _fail(self, name: str, expected: str) -> CheckpointError:
        found = repr(self.content[name]) if name in self.content else "nothing"
        return CheckpointError(
            f"expected {expected} for {name!r} in {self.source}, found {found:.80}"
        )

    def text(self, name: str) -> str:
        value = self.content.get(name)
        if not isinstance(value, str):
            raise self._fail(name, "a string")
        return value

    def boolean(self, name: str) -> bool:
        value = self.content.get(name)
        if not isinstance(value, bool):
            raise self._fail(name, "true or false")
        return value

    def integer(self, name: str) -> int:
        value = self.content.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._fail(name, "an integer")
        return value

    def number(self, name: str) -> float:
        value = self.content.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._fail(name, "a finite number")
        try:
            number = float(value)
        except OverflowError:
            raise self._fail(name, "a finite number") from None
        if not math.isfinite(number):
            raise self._fail(name, "a finite number")
        return number

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.content.get(name)
        if not isinstance(value, dict):
            raise self._fail(name, "an object")
        return value


def _score_map_from_json(content: Mapping[str, Any], source: str) -> LogisticMap:
    read = _Reader(content, source)
    try:
        return LogisticMap(location=read.number("location"), scale=read.number("scale"))
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{error} in {source}") from error


def _label_space_to_json(space: LabelSpace) -> dict[str, Any]:
    return {
        "name": space.name,
        "classes": list(space.classes),
        "colours": [list(colour) for colour in space.colours],
        "ground": list(space.ground),
    }


def _label_space_from_json(content: Any, source: str) -> LabelSpace:
    if isinstance(content, str):
        if content not in LABEL_SPACES:
            raise CheckpointError(
                f"expected a label space of {', '.join(sorted(LABEL_SPACES))} or a full "
                f"definition in {source}, found {content!r:.80}"
            )
        return LABEL_SPACES[content]
    if not isinstance(content, dict):
        raise CheckpointError(
            f"expected a name or an object for 'label_space' in {source}, found {content!r:.80}"
        )
    try:
        colours = []
        for red, green, blue in content["colours"]:
            if not all(type(v) is int and 0 <= v <= 255 for v in (red, green, blue)):
                raise ValueError(f"a colour {(red, green, blue)} outside 0..255")
            colours.append((red, green, blue))
        names = [content["name"], *content["classes"], *content["ground"]]
        if not all(isinstance(name, str) for name in names):
            raise ValueError("a name that is not a string")
        return LabelSpace(
            content["name"], tuple(content["classes"]), tuple(colours), tuple(content["ground"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"expected a label space with name, classes, colours and ground in {source}, "
            f"found {error}"
        ) from error
