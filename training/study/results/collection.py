"""The results of one group of families, which must belong to one study."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.study.results.files import Result, list_results, read_result, result_path
from training.study.results.measurements import Families
from training.study.results.reading import ResultError

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Endpoint:
    """A figure of merit in a region.

    Attributes:
        metric: AP or FPR95.
        region: whole or road.
    """

    metric: str
    region: str

    @property
    def title(self) -> str:
        """Such as ``AP, whole image``."""
        return f"{self.metric}, {REGION_TITLES[self.region]}"

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return -1 if self.metric == "FPR95" else 1


REGION_TITLES = {"whole": "whole image", "road": "road"}
ENDPOINTS = tuple(
    Endpoint(metric, region) for region in REGION_TITLES for metric in ("AP", "FPR95")
)


@dataclass(frozen=True)
class Study:
    """Results by arm and seed, all of one configuration on the same scenes.

    Attributes:
        families: group of the unknown objects.
        arms: by key of the arm, then by seed in rising order.
    """

    families: Families
    arms: Mapping[str, Mapping[int, Result]]

    @property
    def results(self) -> list[Result]:
        """All of them, by arm and seed."""
        return [result for seeds in self.arms.values() for result in seeds.values()]

    def seeds(self, *arms: str) -> tuple[int, ...]:
        """The seeds that all of the arms have; none of an arm without a result."""
        found = [set(self.arms.get(arm, {})) for arm in arms]
        return tuple(sorted(set.intersection(*found))) if found else ()

    def title(self, arm: str) -> str:
        """What the arm is called; its key where it has no result."""
        return next((result.title for result in self.arms.get(arm, {}).values()), arm)

    def scores(self, arm: str, resampled: bool = False) -> tuple[str, ...]:
        """The scores that every seed of the arm was measured with, and resampled where asked."""
        measured = [result.measured for result in self.arms.get(arm, {}).values()]
        found = [one.resampled.scores if resampled else one.scores for one in measured]
        shared = [name for name in found[0] if all(name in one for one in found)] if found else []
        return tuple(shared)

    def figures(self, arm: str, seeds: Iterable[int], of: Callable[[Result], float]) -> Values:
        """(S,) a figure of each of the seeds."""
        return np.array([of(self.arms[arm][seed]) for seed in seeds], np.float64)

    def values(self, arm: str, seeds: Iterable[int], score: str, endpoint: Endpoint) -> Values:
        """(S,) an endpoint of each of the seeds, a fraction."""

        def of(result: Result) -> float:
            found = result.measured.scores[score][endpoint.region]
            return float(getattr(found, endpoint.metric))

        return self.figures(arm, seeds, of)

    def resampled(self, arm: str, seeds: Iterable[int], score: str, endpoint: Endpoint) -> Values:
        """(S, B) the endpoint for every resample of the images."""
        kept = [self.arms[arm][seed].measured.resampled.scores[score] for seed in seeds]
        return np.array([one[endpoint.region][endpoint.metric] for one in kept], np.float64)


def read_study(folder: Path, families: Families) -> Study:
    """Every result of one group under ``folder``.

    Raises:
        ResultError: an unreadable result, or results that differ in configuration, study, scenes
            or draws of resamples, so that no table may hold them together.
    """
    arms: dict[str, dict[int, Result]] = {}
    first: Result | None = None
    for path in list_results(folder, families):
        result = read_result(path)
        first = first or result
        if differing := _differences(first, result):
            other = result_path(folder, families, first.arm, first.seed)
            raise ResultError(f"{path} and {other} differ in {'; '.join(differing)}")
        arms.setdefault(result.arm, {})[result.seed] = result
    for arm, seeds in arms.items():
        if len(titles := {result.title for result in seeds.values()}) > 1:
            raise ResultError(f"{folder / families / arm}: called {' and '.join(sorted(titles))}")
    return Study(families, {arm: dict(sorted(seeds.items())) for arm, seeds in arms.items()})


def _differences(first: Result, second: Result) -> list[str]:
    pairs = {
        "study": (first.study, second.study),
        "config_sha256": (first.config_sha256, second.config_sha256),
        "images": (first.measured.images, second.measured.images),
        "resampled.seed": (first.measured.resampled.seed, second.measured.resampled.seed),
        "resampled.count": (first.measured.resampled.count, second.measured.resampled.count),
    }
    if first.probe and second.probe:
        lengths = [len(one.images.before) for one in (first.probe, second.probe)]
        pairs["images of the probe"] = (lengths[0], lengths[1])
    return [f"{name} ({one} and {other})" for name, (one, other) in pairs.items() if one != other]
