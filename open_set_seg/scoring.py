"""Scores with everything around them, under one name: ``odin:epsilon=0.001+msp+ground_focus``.

A name is a list of parts joined by ``+``: at most one intervention, one score, and any number of
steps of postprocessing in the order in which they are taken; ``coarse`` asks for the cheap order of
operations. Settings follow a part after colons. Case matters, spaces do not belong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from open_set_seg.interventions import INTERVENTIONS, MCDropout, Odin, ReAct
from open_set_seg.postprocessing import POSTPROCESSING, Step
from open_set_seg.scores import SCORES, Score

COARSE = "coarse"
_TEMPERATURE = "temperature"


class ScoringError(ValueError):
    """A name that means no scoring, or a scoring that cannot be had here; says why in one line."""


@dataclass(frozen=True)
class Scoring:
    """How an image becomes one anomaly map.

    Attributes:
        score: key in ``SCORES``.
        temperature: T of the score; None: the default of whoever asks.
        intervention: changes the forward pass.
        coarse: the score is taken on the logits' grid and upsampled, instead of taken from
            upsampled logits: less work where no kernel does it, but other numbers, for which
            another threshold is due.
        steps: of postprocessing, in their order.
    """

    score: str
    temperature: float | None = None
    intervention: Odin | ReAct | MCDropout | None = None
    coarse: bool = False
    steps: tuple[Step, ...] = ()

    @classmethod
    def parse(cls, name: str) -> Scoring:
        """The scoring of a name.

        Raises:
            ScoringError: a part that is unknown, twice there or missing, or a setting that is.
        """
        score = temperature = intervention = None
        coarse, steps = False, []
        for part in name.split("+"):
            key, *settings = part.split(":")
            if key in SCORES:
                _require(score is None, f"{name!r} holds two scores, {score} and {key}")
                score, temperature = key, _read_temperature(key, settings)
            elif key in INTERVENTIONS:
                _require(intervention is None, f"{name!r} holds two interventions")
                intervention = _build(key, INTERVENTIONS[key], settings)
            elif key in POSTPROCESSING:
                steps.append(_build(key, POSTPROCESSING[key], settings))
            elif key == COARSE:
                _require(not coarse, f"{name!r} says {COARSE} twice")
                _require(not settings, f"{COARSE} has no settings")
                coarse = True
            else:
                raise ScoringError(f"unknown score {key!r}; {describe_names()}")
        if score is None:
            raise ScoringError(f"{name!r} holds no score; {describe_names()}")
        found = cls(score, temperature, intervention, coarse, tuple(steps))
        needs = found.entry.needs
        sampled = intervention is not None and intervention.gives_samples
        missing = "samples" in needs and not sampled
        _require(not missing, f"the score {score!r} needs samples: write mc_dropout+{score}")
        changed = intervention is None or any(need in intervention.changes for need in needs)
        _require(changed, f"{name!r}: the intervention changes nothing that {score} reads")
        return found

    def __str__(self) -> str:
        """The name, in the order in which things happen, with settings that are not defaults."""
        parts = [] if self.intervention is None else [_name(self.intervention, INTERVENTIONS)]
        given = "" if self.temperature is None else f":{_TEMPERATURE}={_text(self.temperature)}"
        parts += [COARSE] if self.coarse else []
        parts += [self.score + given, *(_name(step, POSTPROCESSING) for step in self.steps)]
        return "+".join(parts)

    @property
    def entry(self) -> Score:
        """The score itself."""
        return SCORES[self.score]

    @property
    def bounded(self) -> bool:
        """Whether values lie in [0, 1] without a map."""
        return self.entry.bounded

    @property
    def lowest(self) -> float:
        """The least anomalous value that there is."""
        return 0.0 if self.bounded else -math.inf

    @property
    def statistics(self) -> tuple[str, ...]:
        """Fields of ``ScoreStatistics`` that are needed."""
        return self.entry.fields + (self.intervention.fields if self.intervention else ())

    @property
    def needs_features(self) -> bool:
        """Whether the network's features or its classifier are needed."""
        return "features" in self.entry.needs or isinstance(self.intervention, ReAct | MCDropout)

    @property
    def needs_network(self) -> bool:
        """Whether more than the network's logits is needed: its features, or itself."""
        return self.needs_features or self.intervention is not None


def describe_names() -> str:
    """Every part that a name may have, in one line."""
    return (
        f"scores are {', '.join(SCORES)}; before them with a plus {', '.join(INTERVENTIONS)} or "
        f"{COARSE}, after them {', '.join(POSTPROCESSING)}"
    )


def _build(name: str, kind: type[Any], settings: list[str]) -> Any:
    known = {one.name: type(one.default) for one in fields(kind)}
    given = {key: _number(name, key, text, known) for key, text in map(_split, settings)}
    _require(len(given) == len(settings), f"{name} is told the same setting twice")
    try:
        return kind(**given)
    except ValueError as error:
        raise ScoringError(f"{name}: {error}") from None


def _read_temperature(score: str, settings: list[str]) -> float | None:
    if not settings:
        return None
    known = {} if SCORES[score].temperature is None else {_TEMPERATURE: float}
    _require(len(settings) == 1 or not known, f"{score} has one setting, {_TEMPERATURE}")
    key, text = _split(settings[0])
    temperature = float(_number(score, key, text, known))
    _require(0.0 < temperature <= 1e6, f"{score}: expected a temperature in (0, 1e6], found {text}")
    return temperature


def _number(name: str, key: str, text: str, known: Mapping[str, type]) -> float | int:
    if key not in known:
        expected = f"known are {', '.join(known)}" if known else "it has none"
        raise ScoringError(f"{name} has no setting {key!r}; {expected}")
    try:
        number: float | int = known[key](text)
    except ValueError:
        raise ScoringError(f"{name}: expected a number for {key}, found {text!r}") from None
    _require(math.isfinite(number), f"{name}: expected a finite {key}, found {text}")
    return number


def _split(setting: str) -> tuple[str, str]:
    key, _, text = setting.partition("=")
    return key, text


def _name(part: Any, registry: Mapping[str, type[Any]]) -> str:
    key = next(name for name, kind in registry.items() if kind is type(part))
    changed = (
        f":{one.name}={_text(getattr(part, one.name))}"
        for one in fields(part)
        if getattr(part, one.name) != one.default
    )
    return key + "".join(changed)


def _text(number: float | int) -> str:
    """The shortest text that reads as the same number, without the plus that joins parts."""
    if isinstance(number, int):
        return str(number)
    short = f"{number:g}"
    return (short if float(short) == number else repr(number)).replace("e+", "e")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ScoringError(message)
