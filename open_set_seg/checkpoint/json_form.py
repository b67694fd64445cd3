"""Metadata as JSON, read strictly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from open_set_seg.checkpoint.metadata import CheckpointError, CheckpointMetadata
from open_set_seg.label_spaces import LABEL_SPACES, LabelSpace
from open_set_seg.scores import LogisticMap

FORMAT_VERSION = 1


def metadata_to_text(metadata: CheckpointMetadata) -> str:
    """What files hold: the JSON object with the version of its format, in ASCII."""
    content = {"format_version": FORMAT_VERSION, **metadata_to_json(metadata)}
    return json.dumps(content, allow_nan=False)


def metadata_from_text(text: str, source: str) -> CheckpointMetadata:
    """The inverse.

    Raises:
        CheckpointError: no JSON object, another version, or as ``metadata_from_json``.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"expected JSON in the header of {source}, found {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"expected a JSON object in the header of {source}, found {type(content).__name__}"
        )
    version = content.pop("format_version", None)
    if type(version) is not int or version != FORMAT_VERSION:
        raise CheckpointError(
            f"expected format version {FORMAT_VERSION} in {source}, found {version!r}"
        )
    return metadata_from_json(content, source)


def metadata_to_json(metadata: CheckpointMetadata) -> dict[str, Any]:
    """A JSON object; a label space of the package is stored by name, another one in full."""
    space = metadata.label_space
    known = LABEL_SPACES.get(space.name) == space
    score_map = metadata.score_map
    content = {
        name: getattr(metadata, name)
        for name in CheckpointMetadata.__dataclass_fields__
        if name not in ("label_space", "score_map", "score_maps")
    }
    content["num_classes"] = space.num_classes
    content["label_space"] = space.name if known else _label_space_to_json(space)
    content["score_map"] = None if score_map is None else vars(score_map)
    content["score_maps"] = {name: vars(one) for name, one in metadata.score_maps.items()}
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
            **_read_fitted(read),
        )
    except CheckpointError as error:
        raise CheckpointError(
            str(error) if source in str(error) else f"{error} in {source}"
        ) from error


def _read_fitted(read: _Reader) -> dict[str, Any]:
    """What ``open-set-seg fit`` adds; files of before it have none of it."""
    fitted: dict[str, Any] = {
        name: read.text(name)
        for name in ("statistics_source", "statistics_sha256")
        if name in read.content
    }
    if "score_maps" in read.content:
        maps = _Reader(read.mapping("score_maps"), read.source)
        fitted["score_maps"] = {
            name: _score_map_from_json(maps.mapping(name), read.source) for name in maps.content
        }
    return fitted


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
