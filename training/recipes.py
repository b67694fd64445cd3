"""Training recipes: YAML files read into frozen dataclasses, strictly.

A key that no dataclass has is an error that names the nearest key; a value of another type is an
error too. ``section.key=value`` on the command line replaces single values.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from open_set_seg.label_spaces import LABEL_SPACES
from open_set_seg.models import MODELS, LadderDenseNet
from open_set_seg.scoring import Scoring, ScoringError


class RecipeError(ValueError):
    """A recipe that says something unknown, of the wrong type or out of range."""


@dataclass(frozen=True)
class NetworkRecipe:
    """Which network.

    Attributes:
        imagenet_weights: file with torchvision's ResNet-18 or DenseNet-121, for full width.
        gradient_checkpointing: compute features again in the backward pass instead of keeping
            them: less memory, more time, the same results. For ``ldn_121``.
    """

    architecture: str = "swiftnet_rn18"
    width: float = 1.0
    imagenet_weights: str | None = None
    gradient_checkpointing: bool = False


@dataclass(frozen=True)
class DataRecipe:
    """Simulated scenes, rendered once into ``cache``.

    Training scenes carry no unknown objects; validation scenes carry those of the development
    families (their pixels count for the threshold, never for the closed-set mIoU).
    """

    training_scenes: int = 1000
    validation_scenes: int = 60
    width: int = 1024
    height: int = 512
    supersampling: int = 2
    workers: int = 2
    cache: str = "runs/cache"


@dataclass(frozen=True)
class AugmentationRecipe:
    """Random scale, crop, mirror and colour.

    Attributes:
        scale: smallest and largest factor on the image size, drawn log-uniformly.
        colour: largest relative change of contrast and of each channel's gain.
        brightness: largest shift on the 0..255 scale.
    """

    crop_width: int = 640
    crop_height: int = 320
    scale: tuple[float, float] = (0.7, 1.4)
    mirror: float = 0.5
    colour: float = 0.15
    brightness: float = 16.0


@dataclass(frozen=True)
class OptimisationRecipe:
    """AdamW with a linear warm-up and a cosine to ``final_learning_rate``, stepped every step.

    Attributes:
        class_weight_power: a class of pixel share f weighs f ** -power in the loss, scaled so that
            the mean over pixels is 1; 0: no weighting.
        precision: ``bf16`` runs the network under autocast; loss and weights stay float32.
    """

    steps: int = 3000
    batch: int = 8
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-6
    warmup_steps: int = 100
    weight_decay: float = 1e-2
    class_weight_power: float = 0.25
    precision: Literal["fp32", "bf16"] = "fp32"
    validate_every: int = 1000
    save_every: int = 200


@dataclass(frozen=True)
class ScoreRecipe:
    """The score that the checkpoint publishes.

    Attributes:
        name: of a ``Scoring`` without intervention and temperature that reads nothing but logits:
            the class logits, or those of an outlier head.
        temperature: T, for a score that has one.
    """

    name: str = "jsd"
    temperature: float = 2.0

    @property
    def scoring(self) -> Scoring:
        """How an image becomes its anomaly map."""
        found = Scoring.parse(self.name)
        has_temperature = found.entry.temperature is not None
        return dataclasses.replace(found, temperature=self.temperature if has_temperature else None)


@dataclass(frozen=True)
class Recipe:
    """One training run."""

    name: str
    seed: int = 0
    label_space: str = "streethazards_12"
    network: NetworkRecipe = field(default_factory=NetworkRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    augmentation: AugmentationRecipe = field(default_factory=AugmentationRecipe)
    optimisation: OptimisationRecipe = field(default_factory=OptimisationRecipe)
    score: ScoreRecipe = field(default_factory=ScoreRecipe)

    def __post_init__(self) -> None:
        data, crop, run = self.data, self.augmentation, self.optimisation
        _require(self.label_space in LABEL_SPACES, "label_space", sorted(LABEL_SPACES))
        _require(self.network.architecture in MODELS, "network.architecture", sorted(MODELS))
        _check_score(self.score.name)
        _require(self.score.temperature > 0, "score.temperature", "a positive number")
        _require(0 < self.network.width <= 4, "network.width", "a number in (0, 4]")
        can_checkpoint = MODELS[self.network.architecture] is LadderDenseNet
        _require(
            can_checkpoint or not self.network.gradient_checkpointing,
            "network.gradient_checkpointing",
            f"false for {self.network.architecture}",
        )
        for name in ("training_scenes", "validation_scenes", "width", "height", "workers"):
            _require(getattr(data, name) >= 1, f"data.{name}", "at least 1")
        _require(data.supersampling >= 1, "data.supersampling", "at least 1")
        _require(min(crop.crop_width, crop.crop_height) >= 32, "augmentation.crop", "at least 32")
        _require(
            0 < crop.scale[0] <= crop.scale[1], "augmentation.scale", "0 < smallest <= largest"
        )
        _require(0 <= crop.mirror <= 1, "augmentation.mirror", "a probability")
        _require(0 <= crop.colour < 1, "augmentation.colour", "a number in [0, 1)")
        for name in ("steps", "batch", "validate_every", "save_every"):
            _require(getattr(run, name) >= 1, f"optimisation.{name}", "at least 1")
        _require(run.learning_rate > 0, "optimisation.learning_rate", "a positive number")
        _require(run.warmup_steps >= 0, "optimisation.warmup_steps", "at least 0")


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a YAML file with ``section.key=value`` replacements.

    Raises:
        RecipeError: unreadable file, unknown key, wrong type, or a value out of range.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"expected a mapping in {path}, found {type(content).__name__}")
    for override in overrides:
        _apply_override(content, override)
    return recipe_from_mapping(content)


def recipe_from_mapping(content: Mapping[str, Any]) -> Recipe:
    """The recipe of nested mappings, as YAML or a checkpoint gives them.

    Raises:
        RecipeError: unknown key, wrong type, or a value out of range.
    """
    recipe: Recipe = _read(Recipe, content, "")
    return recipe


def recipe_to_mapping(recipe: Recipe) -> dict[str, Any]:
    """Nested mappings and lists of plain values, for YAML and JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return list(value) if isinstance(value, tuple) else value

    mapping: dict[str, Any] = plain(dataclasses.asdict(recipe))
    return mapping


def _require(condition: bool, name: str, expected: object) -> None:
    if not condition:
        raise RecipeError(f"{name}: expected {expected}")


def _check_score(name: str) -> None:
    try:
        scoring = Scoring.parse(name)
    except ScoringError as error:
        raise RecipeError(f"score.name: {error}") from error
    _require(scoring.temperature is None, "score.name", "no temperature: score.temperature has it")
    _require(scoring.intervention is None, "score.name", "a score without intervention")
    others = {*scoring.entry.needs} - {"logits", "outlier_logits"}
    needs = " and ".join(sorted(others))
    _require(not others, "score.name", f"a score of logits alone; {name} needs {needs}")


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise RecipeError(f"expected section.key=value, found {override!r}")
    *sections, last = key.strip().split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise RecipeError(f"{key}: {section!r} is a value, not a section")
    content[last] = yaml.safe_load(text)


def _read(kind: Any, content: Any, where: str) -> Any:
    if not isinstance(content, Mapping):
        raise RecipeError(f"{where or 'recipe'}: expected a section, found {content!r}")
    hints = typing.get_type_hints(kind)
    for key in content:
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1, cutoff=0.0)
            raise RecipeError(f"unknown key {_join(where, key)!r}; did you mean {near[0]!r}?")
    for name, item in kind.__dataclass_fields__.items():
        required = item.default is item.default_factory is dataclasses.MISSING
        if required and name not in content:
            raise RecipeError(f"{_join(where, name)}: expected a value, found nothing")
    return kind(**{key: _convert(hints[key], v, _join(where, key)) for key, v in content.items()})


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _read(hint, value, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value in arguments:
            return value
    elif origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(arguments[0], value, where)
    elif origin is tuple:
        if isinstance(value, Sequence) and len(value) == len(arguments):
            return tuple(_convert(h, v, where) for h, v in zip(arguments, value, strict=True))
    elif hint is float:
        # YAML reads 1e-3 (without a point) as text.
        if isinstance(value, str):
            value = _number(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    expected = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise RecipeError(f"{where}: expected {expected}, found {value!r}")


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
