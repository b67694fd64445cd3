"""The study's configuration: scenes, seeds, arms, and the hash under which it is frozen."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from training.recipes import RecipeError, recipe_from_mapping
from training.recipes.reading import read_section, read_yaml, require
from training.study.results.plan import Aims, Ordering, Plan, PlannedArm

Changes = Mapping[str, Any]

# What a recipe says of the machine, not of the result.
_MACHINE = ("name", "seed", "data.simulation.cache", "data.simulation.workers")


@dataclass(frozen=True)
class ScenesConfig:
    """Test scenes.

    Attributes:
        width, height, supersampling: as they are rendered.
        development, sealed: numbers of scenes with unknown objects of each group.
        probe: number of scenes without any, for the artefact probe.
    """

    width: int = 384
    height: int = 192
    supersampling: int = 2
    development: int = 100
    sealed: int = 240
    probe: int = 100


@dataclass(frozen=True)
class ArmConfig:
    """One way to train stage 2.

    Attributes:
        title: what it is called.
        changes: values of the stage-2 recipe by dotted keys; ``negatives: null`` for none.
        stage: ``closed_set`` for the network before stage 2.
        classifier: whether stage 2 starts from the closed-set network; else from nothing.
        flow: key in ``flows``, of the flow that stage 2 starts from; None: a fresh one.
        headline: whether it is run with all seeds; else with ``exploratory_seeds``.
    """

    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    stage: Literal["closed_set", "mixed"] = "mixed"
    classifier: bool = True
    flow: str | None = "glow_small"
    headline: bool = False


@dataclass(frozen=True)
class StudyConfig:
    """The whole study.

    Attributes:
        closed_set, flow, mixed: recipes of the stages, paths beside the configuration.
        flows: changes of the flow's recipe by the name of the flow.
        arms: by key, in the order of the tables.
        ours, control, likelihood_only, noise: keys of the arms that claims are about.
        score: of all arms but the control, which has its best one.
        scores: further scorings that are measured.
        seeds, exploratory_seeds: how many of each arm.
        fitted_scenes: training scenes for the statistics of fitted scores; 0: none of these scores.
        margin: of non-inferiority in mIoU, a fraction.
    """

    name: str
    closed_set: str
    flow: str
    mixed: str
    flows: Mapping[str, Any]
    arms: Mapping[str, Any]
    scenes: ScenesConfig = field(default_factory=ScenesConfig)
    ours: str = "nflowjs"
    control: str = "control"
    likelihood_only: str = "likelihood_only"
    noise: str = "fractal_noise"
    score: str = "jsd"
    seeds: int = 8
    exploratory_seeds: int = 3
    fitted_scenes: int = 100
    margin: float = 0.005
    aims: Aims = field(default_factory=Aims)
    orderings: tuple[Ordering, ...] = ()


@dataclass(frozen=True)
class Stage:
    """A run of ``training.train`` without its seed.

    Attributes:
        kind: folder of its runs.
        mapping: of its recipe, as the files have it.
        digest: of everything that its result depends on, the stages before it included.
        needs: stages whose results it starts from, by the dotted key that takes the path.
    """

    kind: str
    mapping: Mapping[str, Any]
    digest: str
    needs: Mapping[str, Stage] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """What the run makes."""
        return "flow.safetensors" if self.mapping.get("task") == "flow" else "model.safetensors"

    def place(self, work: Path, seed: int) -> Path:
        """The folder of the run of ``seed``."""
        return work / f"{self.kind}-{self.digest[:12]}" / str(seed)

    def all_needs(self) -> list[Stage]:
        """The stages before this one, first things first."""
        return [one for need in self.needs.values() for one in (*need.all_needs(), need)]

    def recipe(self, work: Path, seed: int) -> Any:
        """The recipe of ``seed``, with the paths of what it starts from."""
        content = copy.deepcopy(dict(self.mapping))
        content["seed"] = seed
        for key, stage in self.needs.items():
            set_value(content, key, str(stage.place(work, seed) / stage.file))
        return recipe_from_mapping(content)


class Study:
    """A configuration with its stages resolved.

    Args:
        path: of the YAML file.

    Raises:
        RecipeError: the file or a recipe that it names says something unknown or impossible.
    """

    def __init__(self, path: str | Path) -> None:
        self._content = read_yaml(path)
        self.config = read_section(StudyConfig, self._content)
        beside = Path(path).parent
        self._mixed = read_yaml(beside / self.config.mixed)
        self._flow = read_yaml(beside / self.config.flow)
        self.closed_set = _stage("closed_set", read_yaml(beside / self.config.closed_set), {})
        self.flows = {
            name: _stage(f"flow_{name}", changed(self._flow, changes or {}), {})
            for name, changes in self.config.flows.items()
        }
        self.arms: dict[str, ArmConfig] = {
            key: read_section(ArmConfig, content, f"arms.{key}")
            for key, content in self.config.arms.items()
        }
        for name in ("ours", "control", "likelihood_only", "noise"):
            require(getattr(self.config, name) in self.arms, name, sorted(self.arms))
        self.stages = {key: self._resolve(arm) for key, arm in self.arms.items()}

    @property
    def cache(self) -> Path:
        """Folder of rendered scenes, the one of the closed-set recipe."""
        recipe = recipe_from_mapping(self.closed_set.mapping)
        assert recipe.data.scenes is not None
        return Path(recipe.data.scenes.cache)

    @property
    def digest(self) -> str:
        """SHA-256 of all that claims rest on: what is frozen before sealed families are met.

        Exploratory arms carry no claim: they may be added later.
        """
        paths = ("closed_set", "flow", "mixed")
        content = {key: value for key, value in self._content.items() if key not in paths}
        content["arms"] = {
            key: stage.digest for key, stage in self.stages.items() if self.arms[key].headline
        }
        for exploratory in ("flows", "orderings", "exploratory_seeds"):
            content.pop(exploratory, None)
        return _digest(content)

    def seeds(self, arm: str) -> range:
        """Of an arm."""
        headline = self.arms[arm].headline
        return range(self.config.seeds if headline else self.config.exploratory_seeds)

    def plan(self, frozen: Mapping[str, str]) -> Plan:
        """How the results are judged."""
        config = self.config
        return Plan(
            ours=config.ours,
            control=config.control,
            likelihood_only=config.likelihood_only,
            noise=config.noise,
            score=config.score,
            arms=tuple(
                PlannedArm(key, arm.title, len(self.seeds(key))) for key, arm in self.arms.items()
            ),
            margin=config.margin,
            aims=config.aims,
            orderings=config.orderings,
            frozen=frozen,
        )

    def _resolve(self, arm: ArmConfig) -> Stage:
        if arm.stage == "closed_set":
            return self.closed_set
        mapping = changed(self._mixed, arm.changes)
        needs: dict[str, Stage] = {}
        if arm.classifier:
            needs["network.checkpoint"] = self.closed_set
        else:
            set_value(mapping, "network.checkpoint", None)
        negatives = mapping.get("negatives")
        if negatives and negatives.get("source", "flow") == "flow":
            if arm.flow is None:
                set_value(mapping, "negatives.flow.checkpoint", None)
            else:
                require(arm.flow in self.flows, "arms.flow", sorted(self.flows))
                needs["negatives.flow.checkpoint"] = self.flows[arm.flow]
        elif negatives:
            negatives.pop("flow", None)
        return _stage("mixed", mapping, needs)


def changed(content: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """A copy of nested mappings with values at dotted keys replaced."""
    copied: dict[str, Any] = copy.deepcopy(dict(content))
    for key, value in changes.items():
        set_value(copied, key, value)
    return copied


def set_value(content: dict[str, Any], key: str, value: Any) -> None:
    """Set the value at a dotted key.

    Raises:
        RecipeError: a part of the key is a value, not a section.
    """
    *sections, last = key.split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise RecipeError(f"{key}: {section!r} is a value, not a section")
    content[last] = value


def _stage(kind: str, content: Mapping[str, Any], needs: Mapping[str, Stage]) -> Stage:
    recipe_from_mapping(content)  # refuses what is wrong
    # What the files say is hashed, not what the defaults add: a key that recipes get later, with a
    # default that changes nothing, leaves old results valid.
    described = copy.deepcopy(dict(content))
    for key in _MACHINE:
        *sections, last = key.split(".")
        part: Any = described
        for section in sections:
            part = part.get(section) or {}
        part.pop(last, None)
    for key, need in needs.items():
        set_value(described, key, need.digest)
    return Stage(kind, dict(content), _digest(described), dict(needs))


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
